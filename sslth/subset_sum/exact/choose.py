"""Which of the three ways to join halves suits a problem."""

from __future__ import annotations

import math

import numpy as np

from sslth.errors import InvalidInputError
from sslth.subset_sum.exact.cells import CellJoin
from sslth.subset_sum.exact.problem import HalvedProblem
from sslth.subset_sum.exact.streams import StreamJoin, available_cores
from sslth.subset_sum.exact.tiles import TileJoin
from sslth.subset_sum.fixed_point import FixedPoint
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits

__all__ = ["choose_join", "readable_size"]

_SMALLEST_STREAM = 4096  # below, cells take less than a millisecond
# What tiles take: about 3 ms to begin with, and what streams take for a sum by `nanoseconds_per_sum` where both are as
# fast. At n = 40, one core: d = 3, 19 to 26 ms by streams against 25 to 44, but 39 against 21 where the scales of rows
# vary most; d = 4, 35 to 49 against 28 to 48 up to that figure, 42 to 80 against 25 to 40 beyond; d = 5, 43 to 228
# against 24 to 54. For a wanted size, d = 3, 12 to 32 against 19 to 33; d = 4, 45 to 111 against 25 to 40.
_TILES_START, _TILES_NANOSECONDS, _TILES_NANOSECONDS_SIZED = 3.5e6, 50.0, 80.0
# Very far targets leave guesses of the window that may be too wide, and boxes are dropped as a whole: at n = 32 to 34,
# d = 4 to 16, tiles took half of their time (geometric mean) at a remoteness of 2.6 to 6.5, 1.6 times as long at 6.5 to
# 12.
_TILES_REMOTENESS = 6.0
_MANY_COORDINATES, _WIDE = 7, 1 / 128
_CELLS_NANOSECONDS = 800.0  # what cells take for a sum at d = 6 to 9, n = 40


def choose_join(
    instance: Instance,
    problem: HalvedProblem,
    grid: FixedPoint,
    limits: Limits,
    memory_bytes: int,
    threads: int | None,
    caller: str,
) -> CellJoin | StreamJoin | TileJoin:
    """Streams where their bitmap can tell sums apart; else tiles, if they fit, else cells.

    Raises
    ------
    InvalidInputError
        If none fits into `memory_bytes`; `caller` is named in the message.
    """
    cells = CellJoin(problem, grid.floor, limits)
    streams = StreamJoin(problem, limits, threads or available_cores())
    cells_fit = cells.bytes_needed() <= memory_bytes and max(problem.half_sizes) < 2**31
    streams_fit = streams.bytes_needed() <= memory_bytes
    if not cells_fit and not streams_fit:
        needed = min(cells.bytes_needed(), streams.bytes_needed())
        raise InvalidInputError(
            f"{caller} needs {readable_size(needed)} for {instance!r}, but may use {readable_size(memory_bytes)};"
            f" give it more memory_bytes, or a cardinality"
            + (', or use solver="auto" for a subset without proof' if caller == "meet_in_the_middle" else "")
        )
    if cells_fit and max(problem.half_sizes) <= _SMALLEST_STREAM:
        return cells
    tiles = TileJoin(problem, limits, threads or available_cores())
    tiles_fit = (
        grid.floor == 0
        and problem.remoteness <= _TILES_REMOTENESS
        and tiles.fits_codes()
        and tiles.bytes_needed() <= memory_bytes
    )
    if tiles_fit and _is_hopeless_for_streams(problem, grid.floor):
        return tiles
    nanoseconds = streams.nanoseconds_per_sum(grid.floor) if streams_fit else math.inf
    usual = _TILES_NANOSECONDS if problem.exact_size is None else _TILES_NANOSECONDS_SIZED
    if tiles_fit and nanoseconds - usual > _TILES_START / max(problem.half_sizes):
        tiles.lists = streams.lists if streams.is_built else None
        return tiles
    if cells_fit and nanoseconds > _CELLS_NANOSECONDS:
        return cells
    return streams


def _is_hopeless_for_streams(problem: HalvedProblem, floor: int) -> bool:
    """Whether there are many coordinates, and all windows so wide that pricing streams (3 ms) can be spared."""
    guess, _ = problem.expected_error(floor)
    return problem.target.size >= _MANY_COORDINATES and bool(np.all(guess > _WIDE * problem.widths))


def readable_size(count: int) -> str:
    """Bytes or GiB, for messages."""
    if count < 10_000:
        return f"{count} bytes"
    return f"{count / 2**30:.3g} GiB" if count < 2**60 else f"more than 2**{count.bit_length() - 1} bytes"
