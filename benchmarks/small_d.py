"""Small d: k_tree beside its reference values, and one dimension. python -m benchmarks.small_d [--quick]"""

from __future__ import annotations

import argparse
import os
import time

import numpy as np

from sslth.subset_sum.draw_instance import draw_instance
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import Solution
from sslth.subset_sum.solve import solve_within
from sslth.subset_sum.solvers import make_solver

# law, n, d, wanted number of rows, seconds, reference error
_K_TREE = (
    ("gaussian", 1_000, 4, None, 0.9, 1.4e-6),
    ("gaussian", 1_000, 4, None, 6.0, 1e-8),
    ("gaussian", 1_000, 9, None, 0.26, 1.1e-2),
    ("gaussian", 1_000, 9, None, 4.0, 2e-3),
    ("nsn", 1_000, 4, 250, 0.12, 1.1e-5),
    ("nsn", 1_000, 9, None, 4.0, 9e-4),
    ("nsn", 100_000, 9, None, 2.3, 1.1e-5),
    ("nsn", 1_000_000, 9, None, 10.0, 4e-7),
)
_ONE_DIMENSION = ((40, 1.0), (100, 1.0), (300, 1.0), (1_000, 1.0), (10_000, 1.0), (100_000, 2.0), (1_000_000, 5.0))


def main() -> None:
    """Print two tables, errors as geometric means over seeds; two minutes, or 20 seconds with --quick."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, and no run longer than 1 s")
    parser.add_argument("--cpu", action="store_true", help="limit the processor's time: for a machine that is shared")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    clock = time.process_time if options.cpu else time.monotonic
    seeds = range(1 if options.quick else 3)

    def run(instance: Instance, solver: str, seconds: float) -> Solution:
        return solve_within(instance, make_solver(solver), Limits(time_limit=seconds, clock=clock))

    for size in (None, 20):  # compiles
        run(draw_instance("gaussian", 100, 4, cardinality=size), "k_tree", 0.3)
    run(draw_instance("gaussian", 100, 1), "differencing", 0.3)
    print("k_tree: law, n, d, k, seconds, error, reference, error / reference")
    for law, n, d, size, seconds, reference in _K_TREE:
        if options.quick and seconds > 1.0:
            continue
        answers = [run(draw_instance(law, n, d, seed, cardinality=size), "k_tree", seconds) for seed in seeds]
        error = _geometric_mean([answer.error for answer in answers])
        took = max(answer.seconds for answer in answers)
        print(
            f"  {law:8s} {n:9,d} {d} {size or '-':>4} {took:6.2f}",
            f"{error:9.1e} {reference:9.1e} {error / reference:7.3f}",
        )
    print("one dimension, rows with 53 random bits (geometric mean, at least 1e-30): n, seconds, differencing, k_tree")
    for n, seconds in _ONE_DIMENSION:
        if options.quick and seconds > 1.0:
            continue
        cells = []
        for solver in ("differencing", "k_tree"):
            answers = [run(_full_precision(n, seed), solver, seconds) for seed in seeds]
            error = _geometric_mean([max(answer.error, 1e-30) for answer in answers])
            took = float(np.mean([answer.seconds for answer in answers]))
            cells.append(f"{error:9.1e} in {took:5.2f} s")
        print(f"  {n:9,d} {seconds:4.1f}  ", "   ".join(cells))


def _full_precision(n: int, seed: int) -> Instance:
    """Gaussian rows that use every bit of a float64: those of `draw_instance` lie on a coarser grid."""
    rng = np.random.default_rng(seed)
    return Instance(rng.standard_normal(n), rng.uniform(-1.0, 1.0))


def _geometric_mean(values: list[float]) -> float:
    return float(np.exp(np.mean(np.log(np.maximum(values, 1e-300)))))


if __name__ == "__main__":
    main()
