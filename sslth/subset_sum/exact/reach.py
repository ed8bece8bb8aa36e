"""Which sums of a half can have a partner at all: those that a few separating directions do not rule out."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.kernels.reach import choose_cover, list_partners, separating_directions

__all__ = ["HalfSums", "pieces"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
Lists = list[FloatArray]

_MOST_DIRECTIONS = 16
_SEPARATED, _COUNTED = 128, 1024  # random sums for which a direction is sought, and on which all are tried
_SWEEPS = 12
_FEWEST_CUT = 1 / 256  # of the sums, for one more direction
_MOST_LEFT = 0.75  # if more remain, the sums are taken as they come
_STEPS = 60_000  # of the range of list 2 along a direction; they fit 16 bits
_PRECISION = 2.0**-40  # of the largest sums; float64 adds up to 2.0**-48 of them
_SUMS_PER_CALL = 1 << 22


class HalfSums:
    """The sums of an entry of one list and one of another that may be near a sum of the other half.

    All sums of the other half lie in a zonotope, and a wanted sum must lie within a window of it. A direction u along
    which even the farthest corner does not come near enough rules a sum out. Such directions are sought for random sums
    and those kept that together rule out the most; each is then a comparison of whole numbers, rounded so that nothing
    within reach is lost. Most goes where the target is far from the mean of the sums, as targets near 0 are for free
    subsets.

    Parameters
    ----------
    one, two : int64[axes, m]
        The lists.
    ends : int64[m1]
        Entry i of list 1 has the partners 0..ends[i] - 1.

    Attributes
    ----------
    offsets : int64[m1 + 1]
        Entry i has the partners partners[offsets[i]:offsets[i + 1]].
    partners : int32[sums] or None
        None: 0..offsets[i + 1] - offsets[i] - 1.
    """

    def __init__(self, one: IntArray, two: IntArray, ends: IntArray) -> None:
        self.one, self.two, self.ends = one, two, ends
        self.offsets: IntArray = np.concatenate([[0], np.cumsum(ends)]).astype(np.int64)
        self.total = int(self.offsets[-1])
        self.partners: npt.NDArray[np.int32] | None = None

    @property
    def count(self) -> int:
        """Sums that are left."""
        return int(self.offsets[-1])

    def sample(self, count: int) -> FloatArray:
        """float64[axes, count], random ones of the sums that are left, always the same; no answer depends on them."""
        if self.count == 0:
            return np.zeros((self.one.shape[0], 0))
        places = np.random.default_rng(0).integers(0, self.count, count)
        first = np.searchsorted(self.offsets, places, side="right") - 1
        second = places - self.offsets[first] if self.partners is None else self.partners[places]
        sums: FloatArray = self.one[:, first].astype(np.float64) + self.two[:, second]
        return sums

    def keep_reachable(
        self, other: HalfSums, generators: FloatArray, down: FloatArray, up: FloatArray
    ) -> Iterator[None]:
        """Drop what no sum of the other half is near; yields every few milliseconds.

        Parameters
        ----------
        other : HalfSums
            As it was made.
        generators : float64[rows, axes]
            Half of what each row of the other half can add.
        down, up : float64[axes]
            How far below and above a sum of the other half one of this half may lie.
        """
        scale = 2.0 ** np.round(np.log2(np.maximum(1.0, np.abs(generators).max(axis=0, initial=0.0))))
        mine, others = ([line / scale[:, None] for line in (half.one, half.two)] for half in (self, other))
        sums = self.sample(_COUNTED).T / scale
        directions = _directions(sums, others, generators / scale, down / scale, up / scale)
        yield
        if directions.shape[0] > 0:
            yield from self._filter(directions, mine, others, down / scale, up / scale)

    def _filter(
        self, directions: FloatArray, mine: Lists, others: Lists, down: FloatArray, up: FloatArray
    ) -> Iterator[None]:
        """Drop what lies beyond the farthest reach along a direction."""
        along = [directions @ line for line in mine]
        lowest = [line.min(axis=1, keepdims=True) for line in along]
        largest = np.abs(directions) @ (up + down + sum(np.abs(line).max(axis=1) for line in (*mine, *others)))
        step = np.maximum(np.ptp(along[1], axis=1) / _STEPS, _PRECISION * largest)[:, None]
        first, second = (
            np.floor((line - low) / step).astype(np.int64) for line, low in zip(along, lowest, strict=True)
        )
        reach = _farthest(directions, others, down, up)[:, None] - lowest[0] - lowest[1]
        limits = np.floor(reach / step).astype(np.int64).ravel() + 1
        second -= _STEPS // 2
        lines = second.astype(np.int16)
        self.partners = np.empty(self.total, dtype=np.int32)
        offsets, kept = np.zeros(self.offsets.size, dtype=np.int64), np.empty(lines.shape[1], dtype=np.uint8)
        smallest = second.min(axis=1)
        for start, stop in pieces(self.ends, _SUMS_PER_CALL):
            list_partners(
                first, lines, smallest, limits - _STEPS // 2, self.ends, offsets, self.partners, kept, start, stop
            )
            yield
        self.offsets = offsets


def _directions(
    sums: FloatArray, others: Lists, generators: FloatArray, down: FloatArray, up: FloatArray
) -> FloatArray:
    """float64[k, axes], those that rule out most of float64[s, axes]; none where too little would go."""
    middle = sum((line.max(axis=1) + line.min(axis=1)) / 2.0 for line in others)
    padding = ((0, 0), (0, -down.size % 8))  # whole vector registers
    centres = np.ascontiguousarray(np.pad((sums - middle + (down - up) / 2.0)[:_SEPARATED], padding))
    halves, limits = np.ascontiguousarray(np.pad(generators, padding)), np.pad((down + up) / 2.0, padding[1])
    found, few = np.empty((_SEPARATED, limits.size)), _SEPARATED // 4
    count = separating_directions(halves, centres[:few], limits, _SWEEPS, found)
    if count < few * (1.0 - _MOST_LEFT) / 2.0:
        return found[:0, : down.size]
    count += separating_directions(halves, centres[few:], limits, _SWEEPS, found[count:])
    directions = found[:count, : down.size]
    support = directions @ middle + np.abs(directions @ generators.T).sum(axis=1) + _beyond(directions, down, up)
    cuts = directions @ sums.T > support[:, None]
    chosen = np.empty(_MOST_DIRECTIONS, dtype=np.int64)
    size, left = choose_cover(cuts, _FEWEST_CUT * _COUNTED, chosen)
    return directions[chosen[:size] if left <= _MOST_LEFT * _COUNTED else chosen[:0]]


def _farthest(directions: FloatArray, others: Lists, down: FloatArray, up: FloatArray) -> FloatArray:
    """float64[k], how far along each direction a sum may lie that the other half can come near."""
    reach: FloatArray = _beyond(directions, down, up) + sum((directions @ line).max(axis=1) for line in others)
    return reach


def _beyond(directions: FloatArray, down: FloatArray, up: FloatArray) -> FloatArray:
    beyond: FloatArray = np.maximum(directions, 0.0) @ up - np.minimum(directions, 0.0) @ down
    return beyond


def pieces(ends: IntArray, size: int) -> list[tuple[int, int]]:
    """Ranges of entries with about `size` partners each."""
    done = np.cumsum(ends)
    if done[-1] <= size:
        return [(0, ends.size)]
    cuts = np.unique(np.searchsorted(done, np.arange(size, int(done[-1]) + 1, size), side="left") + 1)
    edges = np.unique(np.concatenate([[0], cuts, [ends.size]])).tolist()
    return list(pairwise(edges))
