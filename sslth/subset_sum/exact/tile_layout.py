"""The sums of two halves laid out for one window: one half by cells and bytes, the other by what its windows meet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.exact.found import LocalMatches
from sslth.subset_sum.exact.lists import SumList
from sslth.subset_sum.exact.pair_sample import PairSample
from sslth.subset_sum.exact.problem import HalvedProblem
from sslth.subset_sum.exact.reach import HalfSums, pieces
from sslth.subset_sum.exact.tile_plan import TilePlan, plan_tiles
from sslth.subset_sum.kernels.tile_join import join_tiles
from sslth.subset_sum.kernels.tiles import accumulate, count_rows, count_wanted, fill_tiles, place_rows, place_wanted

__all__ = ["Lists", "TileLayout"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
Lists = tuple[SumList, SumList, SumList, SumList]

_STEPS_PER_CALL = 4_000_000  # tiles, 10 to 40 ms
_ROWS_PER_CALL = 1 << 20
# Looking for sums out of reach takes 2.5 ms: as long as it saves at n = 34, unless the target is far.
_WORTH_REACHING, _FAR = 1 << 18, 1.0


@dataclass
class _Lines:
    """A line for each of some axes, int64[axes, m], for each of the four lists; coordinate d is the number of rows."""

    one: IntArray
    two: IntArray
    three: IntArray
    four: IntArray

    @classmethod
    def of(cls, problem: HalvedProblem, lists: Lists) -> _Lines:
        """All axes."""
        sizes = [lists[0].sizes, lists[1].sizes, problem.largest - lists[2].sizes, -lists[3].sizes]
        if not problem.is_restricted:
            return cls(*(sums.columns for sums in lists))
        return cls(*(np.vstack([sums.columns, size]) for sums, size in zip(lists, sizes, strict=True)))

    def packed(self, axes: list[int], shifts: list[int]) -> _Lines:
        """Words of four lanes of 16 bits, a lane in steps of 2**(shift - 8)."""
        words = []
        for line in (self.one, self.two, self.three, self.four):
            packed = np.zeros((-(-len(axes) // 4), line.shape[1]), dtype=np.int64)
            for b, (axis, shift) in enumerate(zip(axes, shifts, strict=True)):
                steps = line[axis] >> (shift - 8) if shift >= 8 else line[axis] << (8 - shift)
                packed[b // 4] |= (steps & 0xFFFF) << (16 * (b % 4))
            words.append(packed)
        return _Lines(*words)

    def along(self, axes: list[int]) -> _Lines:
        """Some axes."""
        return _Lines(self.one[axes], self.two[axes], self.three[axes], self.four[axes])


class TileLayout:
    """Both halves laid out for one window, and what joining them takes.

    First `reach_rows` and `reach_wanted`, then `choose_cells`, then `store_rows` and `store_wanted`; the two of a pair
    may run side by side.
    """

    def __init__(self, problem: HalvedProblem, lists: Lists, window: int) -> None:
        self.problem, self.lists, self.window = problem, lists, window
        self.axes = problem.target.size + int(problem.is_restricted)
        self.lines = _Lines.of(problem, lists)
        ends = [partner_counts(lists[k], lists[k + 1], problem.largest) for k in (0, 2)]
        self.row_sums = HalfSums(self.lines.one, self.lines.two, ends[0])
        self.wanted_sums = HalfSums(self.lines.three, self.lines.four, ends[1])
        self.code_bits, self.wanted_bits = (max(0, lists[k].keys.size - 1).bit_length() for k in (1, 3))
        self.total = self.row_sums.total + self.wanted_sums.total

    def reach_rows(self) -> Iterator[None]:
        """Drop rows that nothing can want; yields every few milliseconds."""
        if not self._is_worth_reaching:
            return
        below, above = self._reach_in_floats()
        yield from self.row_sums.keep_reachable(self.wanted_sums, self._generators(1), below, above)

    def reach_wanted(self) -> Iterator[None]:
        """Drop wanted sums that no row is near; yields every few milliseconds."""
        if not self._is_worth_reaching:
            return
        below, above = self._reach_in_floats()
        yield from self.wanted_sums.keep_reachable(self.row_sums, self._generators(0), above, below)

    @property
    def _is_worth_reaching(self) -> bool:
        return self.total >= _WORTH_REACHING or self.problem.remoteness > _FAR

    @property
    def is_empty(self) -> bool:
        """Whether one of the halves has nothing left."""
        return self.row_sums.count == 0 or self.wanted_sums.count == 0

    def choose_cells(self) -> None:
        """Plan cells and bytes for the sums that are left."""
        problem, lines = self.problem, self.lines
        low = lines.one.min(axis=1) + lines.two.min(axis=1)
        spans = lines.one.max(axis=1) + lines.two.max(axis=1) - low
        sample = PairSample(self.row_sums, self.wanted_sums, *_reach(problem, list(range(self.axes)), self.window))
        self.plan: TilePlan = plan_tiles(problem, sample, self.window, spans.tolist(), self.row_sums.count)
        axes = self.plan.axes
        self.shifts = np.array(self.plan.shifts, dtype=np.int64)
        self.low = low[axes]
        self.counts = (spans[axes] >> self.shifts) + 1
        self.strides = np.append(np.cumprod(self.counts[:0:-1])[::-1], 1).astype(np.int64)
        self.below, self.above = _reach(problem, axes, self.window)
        self.cells, self.words = lines.along(axes), lines.packed(self.plan.byte_axes, self.plan.byte_shifts)
        self.stretch_bits = ((int(self.counts[-1]) - 1) >> self.plan.stretch).bit_length()
        self.buckets = int(self.counts[:-1].prod()) << len(axes) - 1 + self.stretch_bits

    def _reach_in_floats(self) -> FloatArray:
        below_and_above = _reach(self.problem, list(range(self.axes)), self.window)
        return np.array(below_and_above, dtype=np.float64)

    def _generators(self, side: int) -> FloatArray:
        """Half of what each group of rows of a half can add along all axes."""
        groups = self.problem.halves[side]
        copies = np.array([self.problem.groups[group].size for group in groups], dtype=np.float64)
        rows = np.hstack([self.problem.rows[groups].astype(np.float64), np.ones((copies.size, 1))])
        return rows[:, : self.axes] * copies[:, None] / 2.0

    def store_rows(self) -> Iterator[None]:
        """Order the rows by cell and write their bytes; yields every few milliseconds."""
        sums = self.row_sums
        self.start = np.zeros(int(self.counts.prod()) + 2, dtype=np.int32)
        self.order = np.empty(sums.count, dtype=np.int32)
        self.tiles = np.empty((-(-sums.count // 64), 64 * len(self.plan.byte_axes)), dtype=np.uint8)
        values, keys = np.empty((2, self.lists[1].keys.size), dtype=np.int64)
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

    def store_wanted(self) -> Iterator[None]:
        """Order the wanted sums by bucket; yields every few milliseconds."""
        half = self.wanted_sums
        self.wanted_start = np.zeros(self.buckets + 3, dtype=np.int32)
        self.wanted = np.empty(half.count, dtype=np.int64)
        values, keys, fine = np.empty((3, self.lists[3].keys.size), dtype=np.int64)
        places = np.empty(half.count, dtype=np.int64)
        sums = (
            self.cells.three, self.cells.four, half.offsets, half.partners, self.low, self.below, self.above,
            self.shifts, self.strides, self.counts, self.plan.stretch, self.stretch_bits, self.buckets,
            values, keys, fine, places, self.wanted_start,
        )  # fmt: skip
        parts = pieces(np.diff(half.offsets), _ROWS_PER_CALL)
        for first, stop in parts:
            count_wanted(*sums, first, stop)
            yield
        accumulate(self.wanted_start)
        for first, stop in parts:
            place_wanted(
                half.offsets, half.partners, places, self.wanted_start, self.wanted_bits, self.wanted, first, stop
            )
            yield

    def blocks(self, count: int) -> list[tuple[int, int]]:
        """Ranges of wanted sums; those that miss all rows are left out."""
        last = int(self.wanted_start[self.buckets])
        return list(pairwise(np.unique(np.linspace(0, last, count + 1).astype(np.int64)).tolist()))

    def join(self, matches: LocalMatches, control: IntArray, state: IntArray, stop: int) -> int:
        """Go on with the wanted sums from where `state` says; the sums and rows looked at."""
        problem = self.problem
        near = min(self.window, int(control[1]) + int(control[2]))
        below, above = _reach(problem, self.plan.byte_axes, near)
        lowest, widths = _byte_windows(below.tolist(), above.tolist(), self.plan.byte_shifts)
        return int(
            join_tiles(
                self.start, self.order, self.tiles, self.code_bits, int(self.counts[-1]), self.strides,
                self.stretch_bits, int(self.below[-1] + self.above[-1]) >> int(self.shifts[-1]),
                self.wanted, self.wanted_start, self.wanted_bits, self.words.three, self.words.four, lowest, widths,
                *(sums.columns for sums in self.lists),
                (*(sums.sizes for sums in self.lists), problem.smallest, problem.largest),
                matches.errors, matches.codes, control, state, stop, _STEPS_PER_CALL,
            )
        )  # fmt: skip


def _byte_windows(below: list[int], above: list[int], shifts: list[int]) -> tuple[IntArray, npt.NDArray[np.uint8]]:
    """How far below the lanes of a wanted sum those of a match may lie, packed; and how many bytes above that at most.

    The lanes of either sum are less than two steps too low and at most one too high, and taking packed lanes off others
    borrows one at most.
    """
    lowest = np.zeros(-(-len(shifts) // 4), dtype=np.int64)
    widths = np.empty(len(shifts), dtype=np.uint8)
    for b, shift in enumerate(shifts):
        step = 8 - shift
        down, up = ((reach << step if step >= 0 else -(-reach >> -step)) + 4 for reach in (below[b], above[b]))
        lowest[b // 4] += np.int64(down & 0xFFFF) << np.int64(16 * (b % 4))
        widths[b] = min(255, ((down + up + 1) >> 8) + 1)
    return lowest, widths


def _reach(problem: HalvedProblem, axes: list[int], window: int) -> tuple[IntArray, IntArray]:
    """How far below and above the wanted sum a row may lie along each axis."""
    d, sizes = problem.target.size, problem.largest - problem.smallest
    below = np.array([window if axis < d else sizes for axis in axes], dtype=np.int64)
    above = np.array([window if axis < d else 0 for axis in axes], dtype=np.int64)
    return below, above


def partner_counts(one: SumList, two: SumList, largest: int) -> IntArray:
    """With how many entries of list 2, which come by size, each of list 1 makes no more than the largest size."""
    ends = np.concatenate([[0], two.last]).astype(np.int64)
    counts: IntArray = ends[np.searchsorted(two.segment_sizes, largest - one.sizes, side="right")]
    return counts
