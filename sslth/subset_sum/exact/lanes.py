"""Which bits of which coordinates make the cell of a sum, packed into one 64-bit word so that words can be added."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.exact.lists import SumList
from sslth.subset_sum.exact.problem import HalvedProblem

__all__ = ["Lanes", "plan_lanes"]

IntArray = npt.NDArray[np.int64]
WordArray = npt.NDArray[np.uint64]

_WORD = 64
_MOST_GUARD_BITS = 40
_ROUNDINGS = 4  # units by which two sums of lanes may differ more than what they stand for
_EXTRA_CELL_BITS = 2  # cells are finer than the bitmap by this many bits
_MOST_LANES = 6


@dataclass(frozen=True)
class Lane:
    """Coordinate `column` in whole multiples of 2**exponent, modulo 2**bits, shifted up by offset."""

    column: int
    exponent: int
    bits: int
    offset: int

    def of(self, values: IntArray) -> WordArray:
        """The lane of each value, in its place."""
        steps = values >> self.exponent if self.exponent >= 0 else values << -self.exponent
        return (steps.astype(np.uint64) & np.uint64((1 << self.bits) - 1)) << np.uint64(self.offset)


@dataclass(frozen=True)
class Lanes:
    """The plan of one pass.

    Attributes
    ----------
    lanes : tuple of Lane
    size_bits : int
        Width of the lowest lane, the number of rows, which must match exactly; 0 without.
    mask, masks : uint64, uint64[lanes]
        The bits that make the cell; those of each lane.
    halo : uint64
        What must be added to and taken from a word to reach every cell of a possible partner.
    table_bits : int
        log2 of the bits of the bitmap.
    crossing : float
        Expected number of cells within the halo of a sum.
    """

    lanes: tuple[Lane, ...]
    size_bits: int
    mask: np.uint64
    masks: WordArray
    halo: np.uint64
    table_bits: int
    crossing: float

    @property
    def cell_bits(self) -> int:
        """log2 of the number of cells, the number of rows left aside."""
        return sum(int(mask).bit_count() for mask in self.masks)

    def words(self, sums: SumList) -> WordArray:
        """The word of each entry of a list; words of partners are equal up to the halo."""
        words = np.zeros(sums.keys.size, dtype=np.uint64)
        for lane in self.lanes:
            words |= lane.of(sums.columns[lane.column])
        if self.size_bits:
            words |= sums.size_steps.astype(np.uint64) & np.uint64((1 << self.size_bits) - 1)
        return words


def plan_lanes(problem: HalvedProblem, slab_width: int, window: int, table_bits: int) -> Lanes:
    """Cells as fine as the bitmap, taken from the coordinates where they are widest against the window.

    Parameters
    ----------
    problem : HalvedProblem
    slab_width : int
        Of the first coordinate, in grid units.
    window : int
        The largest integer error that a partner may have.
    table_bits : int
    """
    d = problem.target.size
    spread = np.sqrt((problem.rows.astype(np.float64) ** 2).sum(axis=0) / 8.0)  # of the sums of half the rows
    period_bits = [_log2(slab_width)] + [_log2(max(1.0, 3.0 * s)) for s in spread[1:].tolist()]
    size_bits = (problem.n + 1).bit_length() if problem.exact_size is not None else 0
    wanted = table_bits + _EXTRA_CELL_BITS - min(size_bits, 3)
    finest = math.log2(2.0 * window + 1.0) + 0.5
    bits = [0] * d
    open_columns = set(range(d))
    while sum(bits) < wanted and open_columns:
        widest = max(open_columns, key=lambda c: (period_bits[c] - bits[c], -c))
        used = sum(1 for b in bits if b)
        if period_bits[widest] - bits[widest] - 1 < finest or (bits[widest] == 0 and used == _MOST_LANES):
            open_columns.discard(widest)
            continue
        bits[widest] += 1
    chosen = [c for c in range(d) if bits[c]]
    room = _WORD - size_bits - sum(bits)
    guard = min(_MOST_GUARD_BITS, room // max(1, len(chosen)))
    lanes, masks = [], []
    offset, halo, mask = size_bits, 0, (1 << size_bits) - 1
    crossing = 1.0
    for c in chosen:
        cell = period_bits[c] - bits[c]
        lane = Lane(c, cell - guard, bits[c] + guard, offset)
        units = (window >> lane.exponent if lane.exponent >= 0 else window << -lane.exponent) + 1 + _ROUNDINGS
        if 2 * units >= 1 << guard:
            continue  # too coarse for the word: this coordinate does not help
        crossing *= 1.0 + 2.0 * units / (1 << guard)
        lanes.append(lane)
        masks.append(((1 << bits[c]) - 1) << (offset + guard))
        mask |= masks[-1]
        halo |= units << offset
        offset += lane.bits
    return Lanes(
        lanes=tuple(lanes),
        size_bits=size_bits,
        mask=np.uint64(mask),
        masks=np.array(masks, dtype=np.uint64),
        halo=np.uint64(halo),
        table_bits=table_bits,
        crossing=crossing,
    )


def _log2(width: float) -> int:
    """The exponent of the smallest power of two that is at least the width."""
    return max(0, math.ceil(math.log2(max(1.0, width))))
