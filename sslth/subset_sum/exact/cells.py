"""All sums of either half of the rows in memory, in cells; pairs of cells that can meet are joined."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.exact.problem import HalvedProblem
from sslth.subset_sum.exact.search import Buffer
from sslth.subset_sum.kernels.meet_in_the_middle import bound_cells, join_cells, merge_sorted, split_cells
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import StoppedBy

__all__ = ["CellJoin"]

IntArray = npt.NDArray[np.int64]
CodeArray = npt.NDArray[np.int32]

_STEPS_PER_CHUNK = 2_000_000  # 10 to 30 ms between two looks at the limits
_DEEPEST_LEVEL = 60
_SMALLEST_CELL = 24


class CellJoin:
    """The halves, and passes over their pairs of cells.

    Memory 2^(n/2 + 1) (8 d + 4) bytes and 2^(n/2) 32 bytes while merging.
    """

    name = "cells"
    starts_wide = True

    def __init__(self, problem: HalvedProblem, floor: int, limits: Limits) -> None:
        self.problem, self.floor, self.limits = problem, floor, limits
        self.work = 0
        self.halves = [
            Half(problem, members, size) for members, size in zip(problem.halves, problem.half_sizes, strict=True)
        ]

    def first_window(self, floor: int) -> int:
        """A window that should hold three subsets."""
        return self.problem.expected_error(floor, 3.0)[0]

    def bytes_needed(self) -> int:
        """Both halves with their codes, sizes and cells, and what merging or splitting the larger one takes besides."""
        d = self.problem.target.size
        sizes, restricted = self.problem.half_sizes, self.problem.is_restricted
        cells = 0
        if d > 1:
            leaf = _leaf(*self.problem.expected_error(self.floor))
            cells = sum(_cell_capacity(size, leaf) for size in sizes)
        return sum(sizes) * (8 * d + 4 + 4 * restricted) + cells * (16 * d + 32) + max(sizes) * (32 + 16 * restricted)

    def decode(self, position_a: int, position_b: int) -> IntArray:
        """The subset behind a pair of columns."""
        digits = [half.digits(position) for half, position in zip(self.halves, (position_a, position_b), strict=True)]
        return self.problem.subset(digits[0] | digits[1])

    def build(self, window: int | None = None) -> StoppedBy | None:
        """Generate both halves, with cells fit for a window; why it was stopped, or None."""
        expected, width = self.problem.expected_error(self.floor)
        expected = expected if window is None else max(1, window)
        left = self.limits.work_left(0)
        if left is not None and left < sum(self.problem.half_sizes):
            return StoppedBy.WORK
        axes = _axes(self.problem, expected)
        for half in self.halves:
            stopped = self.limits.exceeded(self.work)
            if stopped is not None:
                return stopped
            for _ in half.build(axes, _leaf(expected, width)):
                stopped = self.limits.exceeded(self.work)
                if stopped is not None:
                    return stopped
            self.work += half.size
        return None

    def run_pass(self, buffer: Buffer, bound: int, budget: int | None) -> tuple[StoppedBy | None, bool]:
        """Search every pair of cells for errors up to `bound`; whether it came to its end within the budget."""
        buffer.start_pass(bound)
        a, b = self.halves
        pairs = [
            (cell_a, cell_b, -1, -1)
            for size_a, cell_a in a.roots.items()
            for size_b, cell_b in b.roots.items()
            if self.problem.smallest <= size_a + size_b <= self.problem.largest or not self.problem.is_restricted
        ]
        stack = np.zeros((len(pairs) + 2 * _DEEPEST_LEVEL + 16, 4), dtype=np.int64)
        place = np.array([len(pairs)], dtype=np.int64)
        if pairs:
            stack[: len(pairs)] = pairs[::-1]
        spent = 0
        while place[0] > 0 and not buffer.is_settled:
            stopped = self.limits.exceeded(self.work)
            if stopped is not None:
                return stopped, False
            if budget is not None and spent >= budget:
                return None, False
            steps = _STEPS_PER_CHUNK if budget is None else min(_STEPS_PER_CHUNK, budget - spent)
            left = self.limits.work_left(self.work)
            done = join_cells(
                a.columns, a.first, a.last, a.child, a.low, a.high,
                b.columns, b.first, b.last, b.child, b.low, b.high,
                self.problem.target, stack, place, buffer.errors, buffer.codes, buffer.control,
                steps if left is None else min(steps, left),
            )  # fmt: skip
            spent += done
            self.work += done
            buffer.settle()
            if buffer.within_tolerance is not None:
                return StoppedBy.TOLERANCE, False
        return None, True


def _axes(problem: HalvedProblem, expected: int) -> IntArray:
    """The column that each level of cells is split by: always the one that is widest so far."""
    widths = np.sqrt((problem.rows.astype(np.float64) ** 2).sum(axis=0))[1:]
    axes: list[int] = []
    while widths.size and widths.max() > expected / 2 and len(axes) < _DEEPEST_LEVEL:
        widest = int(np.argmax(widths))
        axes.append(widest + 1)
        widths[widest] /= 2
    return np.array(axes, dtype=np.int64)


def _leaf(expected: int, width: int) -> int:
    """Sums in a cell: so many that a window over column 0 holds a few of them."""
    return max(_SMALLEST_CELL, min(width // max(1, expected), 1 << 40))


def _cell_capacity(size: int, leaf: int) -> int:
    return 4 * (size // leaf) + 64


@dataclass
class Half:
    """All sums of one half, in cells; sorted by the first column within a cell."""

    problem: HalvedProblem
    members: list[int]
    size: int
    stages: list[tuple[int, int, int, int]] = field(default_factory=list)  # offset, sums before, group, copies
    counts: CodeArray | None = None  # rows in each sum, by code
    order: CodeArray = field(init=False)  # the code of each column of `columns`
    columns: IntArray = field(init=False)  # int64[d, size]
    roots: dict[int, int] = field(init=False)  # rows in the sum: cell
    first: IntArray = field(init=False)
    last: IntArray = field(init=False)
    child: IntArray = field(init=False)
    low: IntArray = field(init=False)
    high: IntArray = field(init=False)

    def build(self, axes: IntArray, leaf: int) -> Iterator[None]:
        """Generate, sort and split; yields every few milliseconds so that the caller can look at the limits."""
        keys = yield from self._sorted_keys()
        if self.counts is None:
            self.roots = {0: 0}
            ends = np.array([self.size], dtype=np.int64)
        else:
            sizes = self.counts[self.order]
            by_size = np.argsort(sizes, kind="stable")
            self.order, keys = self.order[by_size], keys[by_size]
            values, ends = np.unique(sizes[by_size], return_counts=True)
            ends = np.cumsum(ends).astype(np.int64)
            self.roots = {int(value): root for root, value in enumerate(values)}
        yield
        self.columns = np.empty((self.problem.target.size, self.size), dtype=np.int64)
        self.columns[0] = keys
        del keys
        for column in range(1, self.columns.shape[0]):
            sums = self._by_code(column)
            yield
            yield from _take(sums, self.order, self.columns[column])
        yield from self._split(ends, axes, leaf)

    def digits(self, position: int) -> dict[int, int]:
        """How often each group is taken in the sum at a column of `columns`."""
        code = int(self.order[position])
        digits: dict[int, int] = {}
        for offset, before, group, copies in reversed(self.stages):
            if code >= offset:
                code -= offset
                if self.counts is not None:
                    code = int(np.flatnonzero(self.counts[:before] <= self.problem.largest - copies)[code])
                digits[group] = copies
        return digits

    def _sorted_keys(self) -> Generator[None, None, IntArray]:
        largest = self.problem.largest
        keys: IntArray = np.zeros(1, dtype=np.int64)
        order: CodeArray = np.zeros(1, dtype=np.int32)
        counts: CodeArray | None = np.zeros(1, dtype=np.int32) if self.problem.is_restricted else None
        for group in self.members:
            base_keys, base_order, base_counts, before = keys, order, counts, keys.size
            for copies in range(1, self.problem.groups[group].size + 1):
                offset = keys.size
                moved_keys = base_keys + copies * self.problem.rows[group, 0]
                moved_order = base_order + np.int32(offset)
                if base_counts is not None and counts is not None:
                    fits = base_counts <= largest - copies
                    rank = np.cumsum(fits, dtype=np.int32) + np.int32(offset - 1)
                    kept = fits[base_order]
                    moved_keys, moved_order = moved_keys[kept], rank[base_order[kept]]
                    counts = np.concatenate([counts, base_counts[fits] + np.int32(copies)])
                self.stages.append((offset, before, group, copies))
                merged_keys = np.empty(offset + moved_keys.size, dtype=np.int64)
                merged_order = np.empty(merged_keys.size, dtype=np.int32)
                place = np.zeros(2, dtype=np.int64)
                while int(place.sum()) < merged_keys.size:
                    merge_sorted(
                        keys, order, moved_keys, moved_order, merged_keys, merged_order, place, _STEPS_PER_CHUNK
                    )  # fmt: skip
                    yield
                keys, order = merged_keys, merged_order
        self.order, self.counts = order, counts
        return keys

    def _by_code(self, column: int) -> IntArray:
        """The sums of one column in the order of their codes."""
        sums: IntArray = np.zeros(self.size, dtype=np.int64)
        for offset, before, group, copies in self.stages:
            base = sums[:before]
            if self.counts is not None:
                base = base[self.counts[:before] <= self.problem.largest - copies]
            np.add(base, copies * self.problem.rows[group, column], out=sums[offset : offset + base.size])
        return sums

    def _split(self, ends: IntArray, axes: IntArray, leaf: int) -> Iterator[None]:
        roots = ends.size
        capacity = roots + (_cell_capacity(self.size, leaf) if axes.size else 0)
        first, last, child, depth = np.zeros((4, capacity), dtype=np.int64)
        first[1:roots], last[:roots] = ends[:-1], ends
        place = np.array([0, roots], dtype=np.int64)
        position = np.arange(self.size if axes.size else 0, dtype=np.int64)
        scratch = np.empty_like(position)
        child[:roots] = -1
        while axes.size and place[0] < place[1]:
            split_cells(self.columns, position, scratch, first, last, child, depth, axes, leaf, place, _STEPS_PER_CHUNK)
            yield
        if axes.size:
            for column in range(self.columns.shape[0]):
                yield from _take(self.columns[column].copy(), position, self.columns[column])
            self.order = self.order[position]
        cells = int(place[1])
        self.first, self.last, self.child = first[:cells].copy(), last[:cells].copy(), child[:cells].copy()
        self.low = np.empty((cells, self.columns.shape[0]), dtype=np.int64)
        self.high = np.empty_like(self.low)
        sums_per_cell = max(1, self.columns.size // cells)
        block = max(1, _STEPS_PER_CHUNK // sums_per_cell)
        for stop in range(cells, 0, -block):
            start = max(0, stop - block)
            bound_cells(self.columns, self.first, self.last, self.child, self.low, self.high, start, stop)
            yield


def _take(values: IntArray, where: npt.NDArray[np.integer[Any]], out: IntArray) -> Iterator[None]:
    """`out = values[where]`, in pieces."""
    for start in range(0, out.size, _STEPS_PER_CHUNK):
        piece = slice(start, start + _STEPS_PER_CHUNK)
        out[piece] = values[where[piece]]
        yield
