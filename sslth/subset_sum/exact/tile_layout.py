"""One half laid out for a window: its sums ordered by cells of some coordinates, with bytes of others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.exact.lists import SumList
from sslth.subset_sum.exact.pair_sample import PairSample
from sslth.subset_sum.exact.problem import HalvedProblem
from sslth.subset_sum.exact.reach import HalfSums, pieces
from sslth.subset_sum.exact.tile_plan import TilePlan, plan_tiles
from sslth.subset_sum.kernels.tiles import accumulate, count_rows, fill_tiles, place_rows

__all__ = ["Lines", "SumLists", "TileLayout", "partner_counts", "reach_along"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
SumLists = tuple[SumList, SumList, SumList, SumList]

_ROWS_PER_CALL = 1 << 20


@dataclass
class Lines:
    """A line for each of some axes, int64[axes, m], for each of the four lists; coordinate d is the number of rows."""

    one: IntArray
    two: IntArray
    three: IntArray
    four: IntArray

    @classmethod
    def of(cls, problem: HalvedProblem, lists: SumLists) -> Lines:
        """All axes."""
        sizes = [lists[0].sizes, lists[1].sizes, problem.largest - lists[2].sizes, -lists[3].sizes]
        if not problem.is_restricted:
            return cls(*(sums.columns for sums in lists))
        return cls(*(np.vstack([sums.columns, size]) for sums, size in zip(lists, sizes, strict=True)))

    def packed(self, axes: list[int], shifts: list[int]) -> Lines:
        """Words of four lanes of 16 bits, a lane in steps of 2**(shift - 8)."""
        words = []
        for line in (self.one, self.two, self.three, self.four):
            packed = np.zeros((-(-len(axes) // 4), line.shape[1]), dtype=np.int64)
            for b, (axis, shift) in enumerate(zip(axes, shifts, strict=True)):
                steps = line[axis] >> (shift - 8) if shift >= 8 else line[axis] << (8 - shift)
                packed[b // 4] |= (steps & 0xFFFF) << (16 * (b % 4))
            words.append(packed)
        return Lines(*words)

    def along(self, axes: list[int]) -> Lines:
        """Some axes."""
        return Lines(self.one[axes], self.two[axes], self.three[axes], self.four[axes])


class TileLayout:
    """The rows of one pass: `reach`, then `choose_cells`, then `store`."""

    def __init__(self, problem: HalvedProblem, lists: SumLists, window: int) -> None:
        self.problem, self.sum_lists, self.window = problem, lists, window
        self.axes = problem.target.size + int(problem.is_restricted)
        self.lines = Lines.of(problem, lists)
        self.sums = HalfSums(self.lines.one, self.lines.two, partner_counts(lists[0], lists[1], problem.largest))
        self.code_bits = max(0, lists[1].keys.size - 1).bit_length()

    def reach(self, wanted: HalfSums) -> Iterator[None]:
        """Drop rows that are near no wanted sum; yields every few milliseconds."""
        below, above = reach_along(self.problem, range(self.axes), self.window).astype(np.float64)
        yield from self.sums.keep_reachable(wanted, self.generators(1), below, above)

    def choose_cells(self, wanted: HalfSums) -> None:
        """Plan cells and bytes for the rows that are left, by a sample of the wanted sums."""
        problem, lines = self.problem, self.lines
        low = lines.one.min(axis=1) + lines.two.min(axis=1)
        spans = lines.one.max(axis=1) + lines.two.max(axis=1) - low
        sample = PairSample(self.sums, wanted, *reach_along(problem, range(self.axes), self.window))
        self.plan: TilePlan = plan_tiles(problem, sample, self.window, spans.tolist(), self.sums.count)
        axes = self.plan.axes
        self.shifts = np.array(self.plan.shifts, dtype=np.int64)
        self.low = low[axes]
        self.counts = (spans[axes] >> self.shifts) + 1
        self.strides = np.append(np.cumprod(self.counts[:0:-1])[::-1], 1).astype(np.int64)
        self.cells, self.words = lines.along(axes), lines.packed(self.plan.byte_axes, self.plan.byte_shifts)

    def generators(self, side: int) -> FloatArray:
        """Half of what each group of rows of a half can add along all axes."""
        groups = self.problem.halves[side]
        copies = np.array([self.problem.groups[group].size for group in groups], dtype=np.float64)
        rows = np.hstack([self.problem.rows[groups].astype(np.float64), np.ones((copies.size, 1))])
        return rows[:, : self.axes] * copies[:, None] / 2.0

    def store(self) -> Iterator[None]:
        """Order the rows by cell and write their bytes; yields every few milliseconds."""
        sums = self.sums
        self.start = np.zeros(int(self.counts.prod()) + 2, dtype=np.int32)
        self.order = np.empty(sums.count, dtype=np.int32)
        self.tiles = np.empty((-(-sums.count // 64), 64 * len(self.plan.byte_axes)), dtype=np.uint8)
        values, keys = np.empty((2, self.sum_lists[1].keys.size), dtype=np.int64)
        cells = np.empty(sums.count, dtype=np.int32)
        rows = (
            self.cells.one, self.cells.two, sums.offsets, sums.partners, self.low, self.shifts, self.strides,
            values, keys, cells, self.start,
        )  # fmt: skip
        parts = pieces(np.diff(sums.offsets), _ROWS_PER_CALL)
        for first, stop in parts:
            count_rows(*rows, first, stop)
            yield
        accumulate(self.start)
        for first, stop in parts:
            place_rows(sums.offsets, sums.partners, cells, self.start, self.code_bits, self.order, first, stop)
            yield
        for row in range(0, sums.count, _ROWS_PER_CALL):
            stop = min(sums.count, row + _ROWS_PER_CALL)
            fill_tiles(self.words.one, self.words.two, self.order, self.code_bits, self.tiles, row, stop)
            yield


def reach_along(problem: HalvedProblem, axes: Iterable[int], window: int) -> IntArray:
    """int64[2, axes]: how far below and above the wanted sum a row may lie along each axis."""
    d, sizes = problem.target.size, problem.largest - problem.smallest
    return np.array([(window, window) if axis < d else (sizes, 0) for axis in axes], dtype=np.int64).T


def partner_counts(one: SumList, two: SumList, largest: int) -> IntArray:
    """With how many entries of list 2, which come by size, each of list 1 makes no more than the largest size."""
    ends = np.concatenate([[0], two.last]).astype(np.int64)
    counts: IntArray = ends[np.searchsorted(two.segment_sizes, largest - one.sizes, side="right")]
    return counts
