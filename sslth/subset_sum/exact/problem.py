"""An exact search's view of an instance: integers, equal rows grouped, perhaps the complement, in two halves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.fixed_point import FixedPoint, equal_rows
from sslth.subset_sum.instance import Instance

__all__ = ["HalvedProblem"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class HalvedProblem:
    """The integer problem after equal rows were grouped, perhaps for the rows left out instead of those chosen."""

    groups: list[IntArray]
    rows: IntArray  # int64[g, d], columns by falling spread
    target: IntArray
    smallest: int
    largest: int
    complement: bool
    n: int
    halves: tuple[list[int], list[int]]
    half_sizes: tuple[int, int]
    drops_equal_sums: bool = True
    """Whether one of several equal sums will do: not where they are rounded, nor where subsets are counted."""

    lead: float = 0.0
    """The second quarter of a half has about exp(lead) times as many sums as the first."""

    @classmethod
    def of(cls, instance: Instance, grid: FixedPoint, every_subset: bool = False) -> HalvedProblem:
        """Group equal rows, unless every subset matters; choose the complement where it has fewer rows."""
        groups = [np.array([i]) for i in range(instance.n)] if every_subset else equal_rows(instance)
        smallest, largest = instance.smallest_size, instance.largest_size
        complement = smallest > instance.n - largest
        target = grid.target
        if complement:
            smallest, largest = instance.n - largest, instance.n - smallest
            target = grid.rows.sum(axis=0) - grid.target
        firsts = np.array([group[0] for group in groups], dtype=np.int64)
        rows = grid.rows[firsts]
        copies = np.array([group.size for group in groups], dtype=np.float64)
        spread = (rows.astype(np.float64) ** 2 * copies[:, None]).sum(axis=0)
        order = np.argsort(-spread, kind="stable")
        largest = min(largest, int(copies.sum()))
        halves: tuple[list[int], list[int]] = ([], [])
        logs = [0.0, 0.0]
        for index in sorted(range(len(groups)), key=lambda index: -groups[index].size):
            side = 0 if logs[0] <= logs[1] else 1
            halves[side].append(index)
            logs[side] += math.log(groups[index].size + 1)
        sizes = [count_choices([groups[i].size for i in half], largest) for half in halves]
        return cls(
            groups, np.ascontiguousarray(rows[:, order]), target[order], smallest, largest, complement,
            instance.n, halves, (sizes[0], sizes[1]), grid.slack == 0 and not every_subset,
        )  # fmt: skip

    @cached_property
    def quarters(self) -> list[list[int]]:
        """Each half in two parts of about equally many sums, but for the lead of the second."""
        parts: list[list[int]] = []
        for half in self.halves:
            pair: tuple[list[int], list[int]] = ([], [])
            logs = [self.lead, 0.0]
            for index in half:
                side = 0 if logs[0] <= logs[1] else 1
                pair[side].append(index)
                logs[side] += math.log(self.groups[index].size + 1)
            parts += pair
        return parts

    @cached_property
    def quarter_sizes(self) -> list[int]:
        """How many sums each quarter has."""
        return [count_choices([self.groups[i].size for i in part], self.largest) for part in self.quarters]

    @property
    def exact_size(self) -> int | None:
        """The number of rows where it is fixed."""
        return self.smallest if self.is_restricted and self.smallest == self.largest else None

    @cached_property
    def is_restricted(self) -> bool:
        """Whether the number of rows matters."""
        return self.smallest > 0 or self.largest < sum(group.size for group in self.groups)

    def subset(self, digits: dict[int, int]) -> IntArray:
        """Rows of the instance from how often each group is taken."""
        parts = [self.groups[group][:count] for group, count in digits.items()]
        chosen = np.sort(np.concatenate([np.empty(0, dtype=np.int64), *parts]))
        return np.setdiff1d(np.arange(self.n, dtype=np.int64), chosen) if self.complement else chosen

    @property
    def share(self) -> float:
        """The part of the rows that a subset takes: half of them, or what the allowed sizes leave nearest to it."""
        total = max(1.0, float(sum(group.size for group in self.groups)))
        return 0.5 if not self.is_restricted else min(0.5, max(self.largest, 1) / total)

    @cached_property
    def widths(self) -> FloatArray:
        """One over the density, at the mean, of each coordinate of a random subset's sum, were it normal."""
        squares: FloatArray = (self.rows.astype(np.float64) ** 2 * self._copies).sum(axis=0)
        return np.asarray(np.sqrt(2 * np.pi * self.share * (1 - self.share) * squares))

    @cached_property
    def offsets(self) -> FloatArray:
        """How far the target is from that mean."""
        return np.asarray(self.target - self.share * (self.rows.astype(np.float64) * self._copies).sum(axis=0))

    @property
    def remoteness(self) -> float:
        """By what power of e the target is less likely than the mean, were sums normal; the mean over coordinates."""
        used = self.widths > 0
        return float(np.pi * ((self.offsets[used] / self.widths[used]) ** 2).sum() / max(1, used.sum()))

    @property
    def _copies(self) -> FloatArray:
        return np.array([group.size for group in self.groups], dtype=np.float64)[:, None]

    def expected_error(self, floor: int, hits: float = 3.0) -> tuple[int, int]:
        """An integer error that so many subsets should reach if the sums were normal, and the width of column 0.

        A guess that sets the first window, nothing else depends on it.
        """
        width, offset = self.widths, self.offsets
        used = width > 0
        if not used.any():
            return floor, 1
        subsets = sum(math.log(size) for size in self.half_sizes)
        far = min(subsets, float((np.pi * (offset[used] / width[used]) ** 2).sum()))
        log_error = (math.log(hits) - subsets + far + np.log(width[used]).sum()) / used.sum() - math.log(2)
        widest = float(width.max())
        return floor + max(1, int(min(math.exp(min(log_error, 60.0)), widest))), max(1, int(widest))


def count_choices(copies: list[int], largest: int) -> int:
    """How many ways to take at most `largest` rows from groups of equal ones; above 2**63, some of them."""
    ways = np.ones(1)  # of each size; floats are exact up to 2**53 and only their magnitude matters beyond
    for count in copies:
        ways = np.convolve(ways, np.ones(min(count, largest) + 1))[: largest + 1]
        if ways.sum() >= 2.0**63:
            break
    return int(ways.sum())
