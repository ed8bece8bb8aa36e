"""What an exact search may accept and has accepted, whether by kernels or by arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.exact_errors import best_exactly
from sslth.subset_sum.fixed_point import UNREACHABLE, FixedPoint
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.quick_subset import quick_subset
from sslth.subset_sum.verify import verify

__all__ = ["CandidateBuffer"]

IntArray = npt.NDArray[np.int64]


@dataclass
class CandidateBuffer:
    """Where a search kernel puts the subsets that may be minimisers, and what it may still accept.

    A kernel accepts a subset whose integer error is at most `min(bound, best + band)`, writes error and codes at
    `count`, lowers `best`, and returns when the buffer is full or an error of at most `return_at` was accepted.

    Attributes
    ----------
    grid : FixedPoint
    limits : Limits
    decode : callable
        Turns the two integers of a candidate into a subset.
    errors, codes : int64[capacity], int64[capacity, 2]
    control : int64[5]
        count, best, band, bound, return_at.
    """

    instance: Instance
    grid: FixedPoint
    limits: Limits
    decode: Callable[[int, int], IntArray]
    capacity: int = 4096
    errors: IntArray = field(init=False)
    codes: IntArray = field(init=False)
    control: IntArray = field(init=False)
    incumbent: IntArray = field(init=False)
    overflowed_at: int | None = field(init=False, default=None)
    within_tolerance: IntArray | None = field(init=False, default=None)
    checked: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.errors = np.zeros(self.capacity, dtype=np.int64)
        self.codes = np.zeros((self.capacity, 2), dtype=np.int64)
        self.incumbent = quick_subset(self.instance)
        self.control = np.array([0, self.grid.error(self.incumbent), self.grid.band, UNREACHABLE, -1], dtype=np.int64)
        self.control[4] = self.tolerance_points
        self._offer(self.incumbent, self.best)

    @property
    def best(self) -> int:
        """The smallest integer error so far."""
        return int(self.control[1])

    @property
    def is_settled(self) -> bool:
        """Whether nothing better can exist: the best error cannot be below the distance from the box."""
        return self.conclusive_bound < self.grid.floor

    @property
    def conclusive_bound(self) -> int:
        """A pass that accepts integer errors up to here has seen every possible minimiser."""
        return self.best + self.grid.band

    @property
    def tolerance_points(self) -> int:
        """The largest integer error that a subset within the tolerance may have; -1 without a tolerance."""
        if self.limits.tolerance is None:
            return -1
        return min(UNREACHABLE, self.grid.points(self.limits.tolerance) + self.grid.slack)

    def start_pass(self, bound: int) -> None:
        """Forget the candidates but not the best error: the next pass sees every candidate up to `bound` again."""
        self._remember_best()
        self.control[0] = self.checked = 0
        self.control[3] = bound
        self.overflowed_at = None
        self.control[2] = self.grid.band
        self.control[4] = self.tolerance_points

    def settle(self) -> None:
        """Look at what a kernel has accepted since the last call: tolerance, a full buffer."""
        count = int(self.control[0])
        if self.limits.tolerance is not None:
            for index in range(self.checked, count):
                if int(self.errors[index]) <= self.tolerance_points:
                    self._offer(self._decoded(index), int(self.errors[index]))
                    if self.within_tolerance is not None:
                        return
        self.checked = count
        if self.overflowed_at is not None and count:
            if self.best + self.grid.band < self.overflowed_at:
                self.overflowed_at = None  # whatever was dropped is too far from the new best
                self.control[2], self.control[4] = self.grid.band, self.tolerance_points
            else:
                self.overflowed_at = min(self.overflowed_at, self.best)
        if count == self.capacity:
            self._compact()

    def absorb(self, errors: IntArray, codes: IntArray) -> None:
        """Take over what another buffer accepted, in order, by the rules of this one."""
        start = 0
        while start < errors.size:
            count = int(self.control[0])
            stop = min(errors.size, start + self.capacity - count)
            part = errors[start:stop]
            before = self.best
            self.control[1] = min(before, int(part.min()))
            band = int(self.control[2])
            limit = min(int(self.control[3]), self.best + band)
            near = np.flatnonzero(part <= limit)
            if band < 0 and self.best < before:  # strict improvements only: the first of the best will do
                near = np.flatnonzero(part == self.best)[:1]
            self.errors[count : count + near.size] = part[near]
            self.codes[count : count + near.size] = codes[start:stop][near]
            self.control[0] += near.size
            self.settle()
            start = stop

    def meets_tolerance(self, subset: IntArray) -> bool:
        """Whether the true error of a subset is within the tolerance."""
        return self.limits.is_met_by(verify(self.instance, subset).error)

    def subsets(self) -> list[IntArray]:
        """The subsets that may be minimisers, the incumbent first where it is one."""
        limit = self.best + max(0, self.grid.band)
        chosen = [self.incumbent] if self.grid.error(self.incumbent) <= limit else []
        count = int(self.control[0])
        return chosen + [self._decoded(int(i)) for i in np.flatnonzero(self.errors[:count] <= limit)]

    def best_subset(self) -> IntArray:
        """The subset with the smallest true error among those known."""
        if self.within_tolerance is not None:
            return self.within_tolerance
        subsets = self.subsets()
        if self.grid.slack == 0:  # all have the same error then; the last found is the best
            errors = [self.grid.error(subset) for subset in subsets]
            return subsets[int(np.argmin(errors))]
        return best_exactly(self.instance, subsets)[0]

    def _offer(self, subset: IntArray, error: int) -> None:
        if self.limits.tolerance is not None and error <= self.tolerance_points and self.meets_tolerance(subset):
            self.within_tolerance = subset

    def _decoded(self, index: int) -> IntArray:
        return self.decode(int(self.codes[index, 0]), int(self.codes[index, 1]))

    def _remember_best(self) -> None:
        count = int(self.control[0])
        hits = np.flatnonzero(self.errors[:count] == self.best)
        if hits.size and self.grid.error(self.incumbent) > self.best:
            self.incumbent = self._decoded(int(hits[0]))

    def _compact(self) -> None:
        count = int(self.control[0])
        near = np.flatnonzero(self.errors[:count] <= self.best + max(0, self.grid.band))
        if near.size > self.capacity // 2:
            near = near[np.argsort(self.errors[near], kind="stable")[: self.capacity // 2]]
            self.overflowed_at = self.best
            self.control[2], self.control[4] = -1, UNREACHABLE  # strict improvements only, each reported
        self.errors[: near.size] = self.errors[near]
        self.codes[: near.size] = self.codes[near]
        self.control[0] = self.checked = near.size
