"""Which of the two ways to join halves suits a problem."""

from __future__ import annotations

from sslth.errors import InvalidInputError
from sslth.subset_sum.exact.cells import CellJoin
from sslth.subset_sum.exact.problem import HalvedProblem
from sslth.subset_sum.exact.streams import StreamJoin, available_cores
from sslth.subset_sum.fixed_point import FixedPoint
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits

__all__ = ["choose_join", "readable_size"]

_SMALLEST_STREAM = 4096  # below, both ways take less than a millisecond
_CELLS_NANOSECONDS = 800.0  # what cells take for a sum at d = 6 to 9, n = 40


def choose_join(
    instance: Instance,
    problem: HalvedProblem,
    grid: FixedPoint,
    limits: Limits,
    memory_bytes: int,
    threads: int | None,
    caller: str,
) -> CellJoin | StreamJoin:
    """Streams where their bitmap can tell sums apart, else cells.

    Raises
    ------
    InvalidInputError
        If neither fits into `memory_bytes`; `caller` is named in the message.
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
    if cells_fit and (
        not streams_fit
        or max(problem.half_sizes) <= _SMALLEST_STREAM
        or streams.nanoseconds_per_sum(grid.floor) > _CELLS_NANOSECONDS
    ):
        return cells
    return streams


def readable_size(count: int) -> str:
    """Bytes or GiB, for messages."""
    if count < 10_000:
        return f"{count} bytes"
    return f"{count / 2**30:.3g} GiB" if count < 2**60 else f"more than 2**{count.bit_length() - 1} bytes"
