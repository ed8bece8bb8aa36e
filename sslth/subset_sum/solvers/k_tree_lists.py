"""The tree of lists in a k-tree search: groups of rows as leaves, and merges that keep what nearly cancels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.instance import FloatArray
from sslth.subset_sum.kernels.k_tree import add_pairs, close_pairs, fill_cells, signed_sums, sums_of_size
from sslth.subset_sum.solution import StoppedBy
from sslth.subset_sum.solvers.k_tree_plan import choose_axes

__all__ = ["Group", "Pairs", "Reached", "SumList", "Tree", "Workspace", "to_grid"]

IntArray = npt.NDArray[np.int64]

_SAMPLE = 2_000
_CODED_COLUMNS = 9
_UNIFORM = 1.75  # half the side of a box whose uniform points have deviation 1, or the same density at zero


class Reached(Exception):
    """A limit was reached in the middle of a round."""

    def __init__(self, reason: StoppedBy) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True)
class Group:
    """The leaf of a tree: `size` of these rows are chosen, or any number (None), the first `fixed` of them for sure."""

    rows: IntArray
    fixed: int
    size: int | None

    def chosen(self, index: int, negated: bool) -> IntArray:
        """The rows of the sum with this index, or of its mirror image."""
        if self.size is None:
            signs = (index >> np.maximum(np.arange(self.rows.size) - self.fixed, 0)) & 1
            signs[: self.fixed] = 0
            chosen: IntArray = self.rows[signs == int(negated)]
            return chosen
        picked, first = [], 0
        for left in range(self.size, 0, -1):
            while index >= (block := math.comb(self.rows.size - first - 1, left - 1)):
                index -= block
                first += 1
            picked.append(first)
            first += 1
        return self.rows[np.array(picked, dtype=np.int64)]


@dataclass(frozen=True)
class Pairs:
    """An inner node: which sums of its two children each of its sums is made of."""

    pairs: npt.NDArray[np.int32]
    left: Group | Pairs
    right: Group | Pairs
    mirrored: bool

    def chosen(self, index: int, negated: bool) -> IntArray:
        """As for a group."""
        a, b = (int(entry) for entry in self.pairs[index])
        flip = self.mirrored and b & 1 == 1
        right = self.right.chosen(b >> 1 if self.mirrored else b, negated != flip)
        return np.concatenate([self.left.chosen(a, negated), right])


@dataclass(frozen=True)
class SumList:
    """Sums as floats, and as integers modulo 2**64 in steps of the grid: once they are small these are exact."""

    keys: FloatArray
    exact: IntArray
    node: Group | Pairs
    level: int
    reach: FloatArray  # float64[d], the largest |key| of every coordinate
    arrays: tuple[FloatArray, IntArray]  # of which keys and exact are the first rows


def to_grid(values: FloatArray, exponent: int) -> IntArray:
    """Values in steps of 2**exponent, rounded to nearest, modulo 2**64."""
    fractions, exponents = np.frexp(values)
    mantissas = np.ldexp(fractions, 53).astype(np.int64)
    shifts = exponents.astype(np.int64) - 53 - exponent
    up, down = np.clip(shifts, 0, 63), np.clip(-shifts, 0, 62)
    rounded = (mantissas + ((np.int64(1) << down) >> 1)) >> down
    integers: IntArray = np.where(shifts >= 64, 0, np.where(shifts >= 0, mantissas << up, rounded))
    return integers


@dataclass
class Workspace:
    """Arrays that are used again: on fresh memory every page costs a fault, which adds up to more than the sums."""

    scratch: dict[str, npt.NDArray[np.generic]] = field(default_factory=dict)
    free: dict[int, list[tuple[FloatArray, IntArray]]] = field(default_factory=dict)

    def array(self, name: str, size: int, dtype: type) -> npt.NDArray[Any]:
        """`size` entries that are valid until the next call with this name."""
        known = self.scratch.get(name)
        if known is None or known.size < size:
            known = self.scratch[name] = np.empty(size + size // 8, dtype=dtype)
        return known[:size]

    def take(self, count: int, d: int) -> tuple[FloatArray, IntArray]:
        """Keys and exact sums of a list of at most `count` sums."""
        known = self.free.get(count)
        return known.pop() if known else (np.empty((count, d)), np.empty((count, d), dtype=np.int64))

    def give(self, used: SumList) -> None:
        """Take the arrays of a list back."""
        self.free.setdefault(used.arrays[0].shape[0], []).append(used.arrays)


@dataclass
class Tree:
    """The merges of one round.

    Attributes
    ----------
    size : int
        How many sums a merged list should have.
    mirrored : bool
        Whether lists stand for their mirror images as well.
    exponent : int
        The step of the integer sums is 2**exponent.
    spend : callable
        Takes the work done so far in a merge, raises `Reached` at a limit, returns how much may be done next.
    limits : dict
        By (level, whether the target is in it): how near to zero a sum must be to be kept.
    """

    size: int
    mirrored: bool
    exponent: int
    spend: Callable[[int], int]
    workspace: Workspace = field(default_factory=Workspace)
    limits: dict[tuple[int, bool], float] = field(default_factory=dict)

    def leaf(
        self, group: Group, rows: FloatArray, steps: IntArray, shift: FloatArray, shift_steps: IntArray
    ) -> SumList:
        """All sums of a group minus a shift; rows float64[m, d] and the shift are given as integers as well."""
        m, d = rows.shape
        count = math.comb(m, group.size) if group.size is not None else 2 ** (m - group.fixed)
        arrays = keys, exact = self.workspace.take(count, d)
        if group.size is None:
            signed_sums(rows, group.fixed, keys)
            signed_sums(steps, group.fixed, exact)
        else:
            chosen = np.empty(group.size, dtype=np.int64)
            sums_of_size(rows, group.size, keys, chosen, np.empty((group.size + 1, d)))
            sums_of_size(steps, group.size, exact, chosen, np.empty((group.size + 1, d), dtype=np.int64))
        keys -= shift
        exact -= shift_steps
        self.spend(count)
        return SumList(keys, exact, group, 0, np.maximum(keys.max(axis=0), -keys.min(axis=0)), arrays)

    def merge(self, a: SumList, b: SumList, has_target: bool) -> SumList:
        """The sums of one of `a` and one of `b` (or its mirror image) that are nearest to zero."""
        total = a.keys.shape[0] * b.keys.shape[0] * (2 if self.mirrored else 1)
        wanted = min(self.size, total)
        place = (a.level, has_target)
        reach = np.maximum(a.reach, b.reach)
        if wanted == total:
            limit = 2.0 * float(reach.max())
        elif place in self.limits:
            limit = self.limits[place]
        else:
            limit = self._sampled_limit(a, b, wanted, total)
        room = wanted + wanted // 8 + 64
        pairs = self.workspace.array("pairs", 2 * room, np.int32).reshape(room, 2)
        while True:
            found = self._close(a, b, limit, 1, pairs)[0]
            used = limit
            step = (wanted / max(0.25, 1.03 * found if found == room else found)) ** (1.0 / reach.size)
            limit *= min(4.0, max(0.5, step)) if found else 4.0
            if found > wanted // 4 or used > 2.0 * float(reach.max()):
                break
        self.limits[place] = limit
        pairs = pairs[:found].copy()
        arrays = self.workspace.take(room, reach.size)
        keys, exact = arrays[0][:found], arrays[1][:found]
        other = self.workspace.array("other", room * reach.size, np.int64)[: found * reach.size].reshape(keys.shape)
        add_pairs(a.exact, b.exact, pairs, self.mirrored, math.ldexp(1.0, self.exponent), other, exact, keys)
        if used > math.ldexp(1.0, 61 + self.exponent):  # the integers may have wrapped around
            signs = 1 - 2 * (pairs[:, 1:] & 1) if self.mirrored else 1
            keys[:] = a.keys[pairs[:, 0]] + signs * b.keys[pairs[:, 1] >> 1 if self.mirrored else pairs[:, 1]]
        node = Pairs(pairs, a.node, b.node, self.mirrored)
        self.workspace.give(a)
        self.workspace.give(b)
        return SumList(keys, exact, node, a.level + 1, np.full(reach.size, used), arrays)

    def best_pair(self, a: SumList, b: SumList, enough: float) -> IntArray | None:
        """The rows of the sum nearest to zero, or None if none is as near as `enough`."""
        total = a.keys.shape[0] * b.keys.shape[0] * (2 if self.mirrored else 1)
        d = a.keys.shape[1]
        limit = _radius(b.keys, a.keys) * (8.0 / total) ** (1.0 / d)
        pairs = np.empty((1, 2), dtype=np.int32)
        while True:
            limit = min(limit, enough)
            if self._close(a, b, limit, 1, pairs, only_best=True)[0]:
                return Pairs(pairs, a.node, b.node, self.mirrored).chosen(0, False)
            if limit >= enough:
                return None
            limit = max(limit * 16.0 ** (1.0 / d), math.ldexp(1.0, self.exponent))

    def _sampled_limit(self, a: SumList, b: SumList, wanted: int, total: int) -> float:
        d = a.keys.shape[1]
        limit: float = _radius(a.keys, b.keys) * (wanted / total) ** (1.0 / d)
        stride = max(1, a.keys.shape[0] // _SAMPLE)
        pairs = np.empty((4 * wanted // stride + 256, 2), dtype=np.int32)
        for _ in range(12):
            found, share = self._close(a, b, limit, stride, pairs)
            ratio: float = wanted * share / max(found, 0.25)
            limit *= min(4.0, max(0.25, float(ratio ** (1.0 / d))))
            if 0.8 < ratio < 1.25:
                break
        return limit

    def _close(
        self, a: SumList, b: SumList, limit: float, stride: int, pairs: npt.NDArray[np.int32], only_best: bool = False
    ) -> tuple[int, float]:
        """Write the pairs within the limit; how many, and the share of `a` that was looked at."""
        reach = np.maximum(a.reach, b.reach) * (1.0 + 1e-9)
        widest = np.argsort(-reach, kind="stable")
        points = b.keys.shape[0] * (2 if self.mirrored else 1)
        axes, width, _ = choose_axes(2.0 * np.maximum(reach[widest], 1e-300), limit, a.keys.shape[0] // stride, points)
        counts = (2.0 * reach[widest[:axes]] / width).astype(np.int64) + 1
        columns = widest[:_CODED_COLUMNS].astype(np.int64)
        bits = min(63 // columns.size, 40)
        power, unit = _quantum(2.0 * float(reach.max()), limit, bits)
        window = sum(1 << (power - 1 + bits * c) for c in range(columns.size))
        field_mask = sum(((1 << bits) - (1 << power)) << (bits * c) for c in range(columns.size))
        mask = field_mask - (1 << (bits * columns.size))  # and everything above the fields, the sign too
        cells = int(np.prod(counts))
        grids: list[tuple[npt.NDArray[Any], ...]] = []
        for keys, signs in ((a.keys, [1.0]), (b.keys, [-1.0, 1.0] if self.mirrored else [-1.0])):
            side = str(len(grids))
            start = self.workspace.array("start" + side, cells + 1, np.int64)
            index = self.workspace.array("index" + side, keys.shape[0] * len(signs), np.int32)
            code = self.workspace.array("code" + side, index.size, np.int64)
            fill_cells(
                keys, np.array(signs), widest[:axes], counts, -reach, 1.0 / width, columns, bits, 1.0 / unit,
                start, index, code,
            )  # fmt: skip
            self.spend(index.size)
            grids.append((start, index, code, keys))
        place = np.zeros(2, dtype=np.int64)
        best = np.array([limit])
        done = 0
        while place[0] < a.keys.shape[0] and place[1] < pairs.shape[0] + only_best:
            steps = self.spend(done)
            done = close_pairs(
                *grids[0], *grids[1], self.mirrored, counts, window, mask, best, only_best, stride, place, pairs, steps
            )
        self.spend(done)
        return int(place[1]), min(1.0, float(place[0]) / a.keys.shape[0]) / stride


def _radius(keys: FloatArray, other: FloatArray) -> float:
    """Half the side of a cube of points as dense at zero as those of two lists, roughly."""
    spread = np.sqrt(np.maximum(np.square(keys).mean(axis=0), np.square(other).mean(axis=0)))
    largest = float(spread.max())
    if largest == 0.0:
        return 1e-300
    return _UNIFORM * float(np.exp(np.log(np.maximum(spread, 1e-6 * largest)).mean()))


def _quantum(span: float, limit: float, bits: int) -> tuple[int, float]:
    """The power p and the step u such that codes p bits apart are within the limit, as sharply as `bits` allow."""
    best = (2, math.inf)
    for power in range(2, bits):
        unit = max(limit / (2 ** (power - 1) - 1), span / (2**bits - 2**power - 2), 1e-300)
        if unit * 2**power < best[1] * 2 ** best[0]:
            best = (power, unit)
    return best
