"""The sums of the half that is looked up, ordered by what their windows meet in the other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.exact.found import LocalMatches
from sslth.subset_sum.exact.reach import HalfSums, pieces
from sslth.subset_sum.exact.tile_layout import TileLayout, partner_counts, reach_along
from sslth.subset_sum.kernels.tile_join import join_tiles
from sslth.subset_sum.kernels.tiles import accumulate, count_wanted, place_wanted

__all__ = ["WantedSums"]

IntArray = npt.NDArray[np.int64]

_STEPS_PER_CALL = 4_000_000  # tiles, 10 to 40 ms
_SUMS_PER_CALL = 1 << 20


class WantedSums:
    """The wanted sums of one pass: `reach`, then `store`, once the rows' cells are chosen, then `join`."""

    def __init__(self, rows: TileLayout) -> None:
        self.rows, self.window = rows, rows.window
        problem, lists = rows.problem, rows.sum_lists
        ends = partner_counts(lists[2], lists[3], problem.largest)
        self.sums = HalfSums(rows.lines.three, rows.lines.four, ends)
        self.code_bits = max(0, lists[3].keys.size - 1).bit_length()

    def reach(self) -> Iterator[None]:
        """Drop sums that no row is near; yields every few milliseconds."""
        below, above = reach_along(self.rows.problem, range(self.rows.axes), self.window).astype(np.float64)
        yield from self.sums.keep_reachable(self.rows.sums, self.rows.generators(0), above, below)

    def store(self) -> Iterator[None]:
        """Order the wanted sums by bucket; yields every few milliseconds."""
        rows, half = self.rows, self.sums
        self.below, self.above = reach_along(rows.problem, rows.plan.axes, self.window)
        self.stretch_bits = ((int(rows.counts[-1]) - 1) >> rows.plan.stretch).bit_length()
        self.buckets = int(rows.counts[:-1].prod()) << rows.counts.size - 1 + self.stretch_bits
        self.start = np.zeros(self.buckets + 3, dtype=np.int32)
        self.order = np.empty(half.count, dtype=np.int64)
        values, keys, fine = np.empty((3, rows.sum_lists[3].keys.size), dtype=np.int64)
        places = np.empty(half.count, dtype=np.int64)
        sums = (
            rows.cells.three, rows.cells.four, half.offsets, half.partners, rows.low, self.below, self.above,
            rows.shifts, rows.strides, rows.counts, rows.plan.stretch, self.stretch_bits, self.buckets,
            values, keys, fine, places, self.start,
        )  # fmt: skip
        parts = pieces(np.diff(half.offsets), _SUMS_PER_CALL)
        for first, stop in parts:
            count_wanted(*sums, first, stop)
            yield
        accumulate(self.start)
        for first, stop in parts:
            place_wanted(half.offsets, half.partners, places, self.start, self.code_bits, self.order, first, stop)
            yield

    def blocks(self, most: int, smallest: int) -> list[tuple[int, int]]:
        """Ranges of sums; those that miss all rows are left out."""
        last, count = int(self.start[self.buckets]), max(1, min(most, self.sums.count // smallest))
        return list(pairwise(np.unique(np.linspace(0, last, count + 1).astype(np.int64)).tolist()))

    def join(self, matches: LocalMatches, control: IntArray, state: IntArray, stop: int) -> int:
        """Go on with the wanted sums from where `state` says; the sums and rows looked at."""
        rows, lists = self.rows, self.rows.sum_lists
        near = min(self.window, int(control[1]) + int(control[2]))
        below, above = reach_along(rows.problem, rows.plan.byte_axes, near).tolist()
        lowest, widths = _byte_windows(below, above, rows.plan.byte_shifts)
        return int(
            join_tiles(
                rows.start, rows.order, rows.tiles, rows.code_bits, int(rows.counts[-1]), rows.strides,
                self.stretch_bits, int(self.below[-1] + self.above[-1]) >> int(rows.shifts[-1]),
                self.order, self.start, self.code_bits, rows.words.three, rows.words.four, lowest, widths,
                *(sums.columns for sums in lists),
                (*(sums.sizes for sums in lists), rows.problem.smallest, rows.problem.largest),
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
