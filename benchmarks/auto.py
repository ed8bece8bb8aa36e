"""Is `auto` within a factor 2 of the best single solver at equal time? python -m benchmarks.auto [--instances 200]

Instances are drawn over n, d, law and size; seeds are not those that the table was measured with. Every solver of ours
that takes the instance gets the same time as `auto`.
"""

from __future__ import annotations

import argparse
import math
import os
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
from rich.progress import track

import sslth
from benchmarks.calibrate import EXACT, HEURISTICS
from sslth.subset_sum.solvers import REGISTRY
from sslth.subset_sum.solvers.auto import member

_MOST_ENTRIES = 4_000_000
_LAWS = ("uniform", "gaussian", "nsn")
_DIMENSIONS = (1, 2, 4, 6, 9, 14, 27, 48, 72, 144, 288)


def main() -> None:
    """Print how far `auto` is from the best of all, and where it is farthest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    rng = np.random.default_rng(2026)
    cells = [_cell(rng, seed) for seed in range(options.instances)]
    with ProcessPoolExecutor(options.workers) as pool:
        jobs = [pool.submit(_compare, cell, options.seconds) for cell in cells]
        rows = [job.result() for job in track(jobs, description="instances")]
    ratios = np.array([row["ratio"] for row in rows])
    within = int((ratios <= 2.0).sum())
    print(
        f"{len(rows)} instances, {options.seconds:g} s each: within a factor 2 of the best single solver on {within};"
    )
    print(
        f"ratio: median {np.median(ratios):.3g}, 95th percentile {np.quantile(ratios, 0.95):.3g},"
        f" largest {ratios.max():.3g}; better than every single one on {int((ratios < 1.0).sum())},"
        f" proven optimal on {sum(row['proven'] for row in rows)}"
    )
    print("| law | n | d | k | auto | by | best | by | ratio |\n|---|---|---|---|---|---|---|---|---|")
    for row in sorted(rows, key=lambda row: -row["ratio"])[:15]:
        print(
            f"| {row['law']} | {row['n']} | {row['d']} | {row['k'] or 'free'} | {row['error']:.3g} | {row['by']} |"
            f" {row['best']:.3g} | {row['best_by']} | {row['ratio']:.3g} |"
        )


def _cell(rng: np.random.Generator, seed: int) -> dict[str, Any]:
    while True:
        n = round(math.exp(rng.uniform(math.log(20), math.log(60_000))))
        d = int(rng.choice(_DIMENSIONS))
        if n * d <= _MOST_ENTRIES:
            size = round(n * float(rng.uniform(0.1, 0.5))) if rng.random() < 1 / 3 else None
            return {"law": str(rng.choice(_LAWS)), "n": n, "d": d, "k": size, "seed": 50_000 + seed}


def _compare(cell: dict[str, Any], seconds: float) -> dict[str, Any]:
    instance = sslth.draw_instance(cell["law"], cell["n"], cell["d"], cell["seed"], cardinality=cell["k"])
    errors: dict[str, float] = {}
    for name in (*HEURISTICS, *EXACT):
        if REGISTRY[name].refusal(instance) is not None:
            continue
        solver = member(name, timed=True)
        try:
            sslth.solve(instance, solver, time_limit=0.0)  # compiles what it needs
            errors[name] = sslth.solve(instance, solver, time_limit=seconds).error
        except sslth.InvalidInputError:  # does not fit the memory
            continue
    found = sslth.solve(instance, time_limit=seconds)
    best_by = min(errors, key=lambda name: errors[name])
    best = errors[best_by]
    ratio = found.error / best if best > 0 else (1.0 if found.error == 0 else math.inf)
    return {
        **cell,
        "error": found.error,
        "by": found.solver,
        "best": best,
        "best_by": best_by,
        "ratio": ratio,
        "proven": found.status is sslth.Status.OPTIMAL,
    }


if __name__ == "__main__":
    main()
