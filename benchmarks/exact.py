"""Meet in the middle: seconds to a proven optimum, on one core and on all. python -m benchmarks.exact [--large]

Drawn instances, targets in the unit cube, kernels compiled. --large adds n = 60 and 64 (minutes). Sums a second are
2^(n/2 + 1) over the seconds; beside them a sort and a copy of as many int64.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import sslth
from sslth.subset_sum.exact.streams import available_cores
from sslth.subset_sum.solvers.meet_in_the_middle import MeetInTheMiddle

_CELLS = [(40, d) for d in (1, 2, 4, 6, 9)] + [(50, d) for d in (1, 2, 4)]
_LARGE = [(60, 1), (60, 2), (60, 4), (64, 1), (64, 2)]
_ROOFLINE = 1 << 24


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="n = 60 and 64 as well")
    options = parser.parse_args()
    for d in (1, 2, 4, 6, 9):
        sslth.solve(sslth.draw_instance("gaussian", 26, d), "meet_in_the_middle")  # compiles
    numbers = np.random.default_rng(0).integers(-(2**60), 2**60, _ROOFLINE)
    started = time.perf_counter()
    np.sort(numbers)
    middle = time.perf_counter()
    numbers.copy()
    ended = time.perf_counter()
    print(f"a sort of {_ROOFLINE:,} int64: {_ROOFLINE / (middle - started) / 1e6:.0f} million a second;")
    print(f"a copy: {_ROOFLINE / (ended - middle) / 1e6:.0f} million a second")
    cores = sorted({1, available_cores()})
    print(
        "| law | n | d | "
        + " | ".join(f"s, {c} core{'s'[: c - 1]}" for c in cores)
        + " | error | million sums a s | MB |"
    )
    print("|---|---|---|" + "---|" * (len(cores) + 3))
    for n, d in _CELLS + (_LARGE if options.large else []):
        for law in ("gaussian", "uniform", "nsn") if n == 40 else ("gaussian",):
            instance = sslth.draw_instance(law, n, d, seed=1)
            seconds = []
            for threads in cores:
                solver = MeetInTheMiddle(threads=threads)
                found = sslth.solve(instance, solver, time_limit=None)
                if n <= 50:  # the best of three
                    again = [sslth.solve(instance, solver, time_limit=None).seconds for _ in range(2)]
                    seconds.append(min(found.seconds, *again))
                else:
                    seconds.append(found.seconds)
                assert found.status is sslth.Status.OPTIMAL
            # an error of 0 ends the search before all sums were made
            speed = f"{2.0 ** (n // 2 + 1) / seconds[0] / 1e6:.0f}" if found.error else "-"
            peak = found.stats["peak_bytes"] or 0
            times = " | ".join(f"{s:.3g}" for s in seconds)
            print(f"| {law} | {n} | {d} | {times} | {found.error:.3g} | {speed} | {peak / 1e6:.0f} |", flush=True)


if __name__ == "__main__":
    main()
