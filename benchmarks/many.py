"""Throughput of solve_many beside a loop of solve, and 397,000 small instances. python -m benchmarks.many [--quick]"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from sslth.subset_sum.instance import Instance
from sslth.subset_sum.solution import Solutions, Status
from sslth.subset_sum.solve import solve
from sslth.subset_sum.solve_many import solve_many

_LOOP_SECONDS = 1.0  # of `solve`, one target after the other
_JOB = 397_000  # weights of a two-layer network, each the target of one instance
_JOB_SECONDS, _JOB_CORES = 77_266, 36
_JOB_KEPT, _JOB_ROWS = 3_725_871, 8_337_000
_CELLS: tuple[tuple[int, int, bool, float | None, dict[str, int]], ...] = (
    (21, 1, True, None, {}),
    (21, 1, True, 0.01, {}),
    (21, 1, False, None, {}),
    (21, 1, False, 0.01, {}),
    (21, 1, False, None, {"cardinality": 10}),
    (21, 2, True, None, {}),
    (21, 2, False, None, {}),
    (21, 2, False, 0.05, {}),
    (30, 1, True, None, {}),
    (30, 1, False, None, {}),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print two tables; half a minute, or some seconds with --quick."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller")
    quick = parser.parse_args(arguments).quick
    print("uniform samples and targets in [-1, 1], one core, solver auto; microseconds a target")
    print(f"  {'':42}{'targets':>8}{'solve_many':>12}{'loop of solve':>15}{'ratio':>7}  found alike")
    for cell in _CELLS[:5] if quick else _CELLS:
        _compare(*cell, seconds=0.2 if quick else _LOOP_SECONDS)
    _job(_JOB // 10 if quick else _JOB)


def _compare(n: int, d: int, shared: bool, tolerance: float | None, sizes: dict[str, int], seconds: float) -> None:
    rng = np.random.default_rng(0)
    m = 20_000 if n <= 21 and d == 1 else 1_000
    samples, targets = rng.uniform(-1, 1, (n, d) if shared else (m, n, d)), rng.uniform(-1, 1, (m, d))
    options: dict[str, Any] = {"tolerance": tolerance, **sizes}
    solve_many(samples if shared else samples[:5], targets if shared else targets[:5], **options)  # compiles
    started = time.perf_counter()
    many = solve_many(samples, targets, **options)
    together = (time.perf_counter() - started) / m
    solve(Instance(samples if shared else samples[0], targets[0], **sizes), tolerance=tolerance)
    alike = count = 0
    started = time.perf_counter()
    while count < m and time.perf_counter() - started < seconds:
        alone = solve(Instance(samples if shared else samples[count], targets[count], **sizes), tolerance=tolerance)
        alike += alone.status is many[count].status and (tolerance is not None or alone.error == many.errors[count])
        count += 1
    loop = (time.perf_counter() - started) / count
    what = f"n={n} d={d} {'shared' if shared else 'own'} samples"
    asked = "optimum" if tolerance is None else f"error <= {tolerance}"
    asked += "".join(f", k = {size}" for size in sizes.values())
    numbers = f"{m:>8,}{together * 1e6:>12.2f}{loop * 1e6:>15.0f}{loop / together:>7.0f}"
    print(f"  {what:26}{asked:16}{numbers}  {alike} of {count}")


def _job(m: int) -> None:
    rng = np.random.default_rng(1)
    samples, targets = rng.uniform(-1, 1, (m, 21, 1)), rng.uniform(-1, 1, (m, 1))
    print(f"{m:,} instances of 21 uniform samples each, targets in [-1, 1] (Pensia et al. 2020), one core")
    print(f"  {'':28}{'seconds':>20}{'instances/s':>13}{'within .01':>12}{'kept rows':>24}  statuses")
    published = f"{_JOB_SECONDS:,} x {_JOB_CORES} cores"
    kept = f"{_JOB_KEPT:,} of {_JOB_ROWS:,}"
    print(f"  {'published, Gurobi, 397,000':28}{published:>20}{_JOB / _JOB_SECONDS:>13.1f}{'':>12}{kept:>24}")
    for name, tolerance in (("first within .01", 0.01), ("optimum", None)):
        started = time.perf_counter()
        many = solve_many(samples, targets, tolerance=tolerance)
        seconds = time.perf_counter() - started
        _say(name, many, seconds)
    print(
        "  What differs: our targets are drawn uniformly, theirs are the weights of a trained network; the machines;"
        "\n  the kept rows, because any subset within the tolerance will do. Every error of ours is recomputed exactly."
    )


def _say(name: str, many: Solutions, seconds: float) -> None:
    m, n = many.masks.shape
    within = int((many.errors <= 0.01).sum())
    kept = f"{int(many.masks.sum()):,} of {m * n:,}"
    counts = Counter(many.statuses)
    statuses = ", ".join(f"{counts[status]:,} {status.value}" for status in Status if counts[status])
    print(f"  {name:28}{seconds:>20.2f}{m / seconds:>13,.0f}{within:>12,}{kept:>24}  {statuses}")


if __name__ == "__main__":
    main()
