"""The ways to join two halves, in turns: milliseconds to a proven optimum. python -m benchmarks.joins [--d 4,9]

Tiles against streams or cells, whichever of the two was chosen before there were tiles; every instance by one and the
other in turn, in one process, kernels compiled. The answers must be equal. Medians over the repeats; --without leaves
the other way out where it takes minutes.
"""

from __future__ import annotations

import argparse
import statistics
import time

import sslth
from sslth.subset_sum.candidate_buffer import CandidateBuffer
from sslth.subset_sum.exact.cells import CellJoin
from sslth.subset_sum.exact.problem import HalvedProblem
from sslth.subset_sum.exact.search import Join, prove_optimum
from sslth.subset_sum.exact.streams import StreamJoin
from sslth.subset_sum.exact.tiles import TileJoin
from sslth.subset_sum.fixed_point import to_fixed_point
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import StoppedBy

_CELLS_FROM = 800.0  # nanoseconds a sum, as in `choose_join`


def main() -> None:
    """Print a line a cell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=40)
    parser.add_argument("--d", type=_numbers, default=[4, 5, 6, 9, 12, 16])
    parser.add_argument("--laws", default="gaussian,uniform,nsn")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=_numbers, default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--without", action="store_true", help="tiles only")
    options = parser.parse_args()
    for tiles in (True, False):
        for d in options.d:
            solve(sslth.draw_instance("gaussian", 24, d, 0), tiles, 1)  # compiles
    print("| n | d | law | threads | other way, ms | tiles, ms | ratio: median, least, most |")
    print("|---|---|---|---|---|---|---|")
    for d in options.d:
        for law in options.laws.split(","):
            for threads in options.threads:
                pairs = []
                for seed in range(options.seeds):
                    instance = sslth.draw_instance(law, options.n, d, seed)
                    pairs.append(in_turns(instance, threads, options.repeats, options.without))
                others, times = zip(*pairs, strict=True)
                ratios = [other / own for other, own in pairs]
                shown = f"{statistics.median(ratios):.1f}, {min(ratios):.1f}, {max(ratios):.1f}"
                print(
                    f"| {options.n} | {d} | {law} | {threads} | {_listed(others)} | {_listed(times)}"
                    f" | {'' if options.without else shown} |",
                    flush=True,
                )


def in_turns(instance: sslth.Instance, threads: int, repeats: int, without: bool) -> tuple[float, float]:
    """Median seconds by the other way and by tiles; 0 for what was left out."""
    seconds: tuple[list[float], list[float]] = ([], [])
    answers = set()
    for _ in range(repeats):
        for tiles in (True,) if without else (False, True):
            started = time.perf_counter()
            answers.add(solve(instance, tiles, threads))
            seconds[tiles].append(time.perf_counter() - started)
    assert len(answers) == 1
    return statistics.median(seconds[0] or [0.0]), statistics.median(seconds[1])


def solve(instance: sslth.Instance, tiles: bool, threads: int) -> tuple[int, ...]:
    """The proven optimum."""
    limits, grid = Limits(), to_fixed_point(instance)
    problem = HalvedProblem.of(instance, grid)
    join: Join = TileJoin(problem, limits, threads)
    if not tiles:
        streams = StreamJoin(problem, limits, threads)
        join = (
            CellJoin(problem, grid.floor, limits) if streams.nanoseconds_per_sum(grid.floor) > _CELLS_FROM else streams
        )
    buffer = CandidateBuffer(instance, grid, limits, join.decode)
    assert prove_optimum(problem, grid, join, buffer).stopped_by is StoppedBy.PROOF
    return tuple(buffer.best_subset().tolist())


def _listed(seconds: tuple[float, ...]) -> str:
    return ", ".join(f"{1e3 * s:.0f}" for s in seconds)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    main()
