"""The figures of docs/measurements.md on pursuit, its gain and exact search. python -m benchmarks.pursuit"""

from __future__ import annotations

import time

import numpy as np

from sslth.subset_sum.draw_instance import draw_instance
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.solve import solve
from sslth.subset_sum.solvers import Solver
from sslth.subset_sum.solvers.beam_growth import Growth
from sslth.subset_sum.solvers.best_first_pursuit import BestFirstPursuit
from sslth.subset_sum.solvers.coarse_rows import CoarseRows
from sslth.subset_sum.solvers.sorted_pursuit import SortedPursuit
from sslth.subset_sum.verify import verify

_SHARES = (0.05, 0.1, 0.14, 0.17, 0.2, 0.23, 0.26, 0.29)


def main() -> None:
    """Print three tables; a minute or two."""
    print("relative Euclidean error, kept rows, seconds (normally-scaled normal rows)")
    for n, d in ((5_000, 72), (20_000, 72), (20_000, 144)):
        print(f"  sorted      n={n:6,d} d={d:3d}          ", *_pursue(SortedPursuit(), n, d, 0.2 * n, None))
    for beam in (1, 16):
        for n, d, k in ((65_536, 9, 14), (65_536, 144, 52), (65_536, 144, 124), (65_536, 144, 282), (16_384, 144, 189)):
            found = _pursue(BestFirstPursuit(beam=beam), n, d, 10 * d**0.5, k)
            print(f"  best-first  n={n:6,d} d={d:3d} k<={k:3d}, beam {beam:2d}   ", *found)
    print("best-first steps alone, n=65,536, d=144: seconds and error, all rows by BLAS at every step against lazily")
    for k in (52, 124, 282):
        plain, lazy = _steps(k)
        print(
            f"  k={k:3d}  {plain[0]:.4f} {plain[1]:.1e}   {lazy[0]:.4f} {lazy[1]:.1e}   ratio {plain[0] / lazy[0]:.1f}"
        )
    print("sorted pursuit, geometric mean of 6 seeds, by c = target length / n:", *_SHARES)
    for d in (10, 72, 144):
        for ratio in (7, 14, 28, 56, 112):
            print(f"  d={d:3d} n={ratio:3d} d ", *(f"{_mean_error(ratio * d, d, c):.1e}" for c in _SHARES))
    print("meet in the middle, seconds to a proof (Gaussian rows)")
    for n, d in ((40, 1), (40, 2), (40, 4), (40, 9), (44, 1)):
        seconds = [
            solve(draw_instance("gaussian", n, d, s), "meet_in_the_middle", None, None).seconds for s in (0, 1, 2)
        ]
        print(f"  n={n} d={d}  {min(seconds[1:]):.2f} to {max(seconds[1:]):.2f}")  # the first may have compiled


def _pursue(solver: Solver, n: int, d: int, length: float, at_most: int | None, seed: int = 0) -> tuple[str, int, str]:
    drawn = draw_instance("nsn", n, d, seed)
    target = drawn.target * length / np.linalg.norm(drawn.target)
    instance = Instance(drawn.samples, target, max_cardinality=at_most)
    solve(instance, solver, time_limit=None)  # compiles
    started = time.perf_counter()
    solution = solve(instance, solver, time_limit=None)
    seconds = time.perf_counter() - started
    error = float(np.linalg.norm(verify(instance, solution.subset).residual)) / length
    return f"{error:.1e}", int(solution.subset.size), f"{seconds:.2f}"


def _steps(k: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Least seconds of five runs, and errors, of k rows: matrix products in float32, and one lazy subset.

    Neither counts what is done once for all rows: a copy in float32 for the one, lengths and codes for the other.
    """
    drawn = draw_instance("nsn", 65_536, 144, 0)
    target = drawn.target * 10 * 144**0.5 / np.linalg.norm(drawn.target)
    rows, coarse = drawn.samples.astype(np.float32), CoarseRows(drawn.samples)
    norms = (drawn.samples**2).sum(axis=1).astype(np.float32)

    def plainly() -> tuple[float, float]:
        started, residual, left = time.perf_counter(), target.copy(), norms.copy()
        for _ in range(k):
            changes = left - 2 * (rows @ residual.astype(np.float32))
            best = int(changes.argmin())
            if changes[best] >= 0:
                break
            residual -= drawn.samples[best]
            left[best] = np.inf
        return time.perf_counter() - started, float(np.linalg.norm(residual) / np.linalg.norm(target))

    def lazily() -> tuple[float, float]:
        growth = Growth(coarse, target.copy(), beam=1)
        started = time.perf_counter()
        growth.run(k, lambda *_: None)
        return time.perf_counter() - started, float(np.linalg.norm(growth.residual) / np.linalg.norm(target))

    lazily()  # compiles
    runs = [(plainly(), lazily()) for _ in range(5)]
    return min(plain for plain, _ in runs), min(lazy for _, lazy in runs)


def _mean_error(n: int, d: int, share: float) -> float:
    errors = [float(_pursue(SortedPursuit(), n, d, share * n, None, seed)[0]) for seed in range(6)]
    return float(np.exp(np.mean(np.log(errors))))


if __name__ == "__main__":
    main()
