"""Collecting the subsets of smallest integer error, as many as are wanted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sslth.errors import InvalidInputError
from sslth.subset_sum.fixed_point import UNREACHABLE, FixedPoint

__all__ = ["TopCandidates"]

IntArray = npt.NDArray[np.int64]

_LARGEST_CAPACITY = 1 << 24


class TopCandidates:
    """A buffer for joins that keeps every match up to a bound, and lowers the bound once it has enough.

    `control` is (count, 0, UNREACHABLE, bound, -1): a kernel then accepts whatever is within the bound.

    Parameters
    ----------
    grid : FixedPoint
    wanted : int
        Matches beyond the errors of so many, and of those that rounding could put before them, may be dropped.
    """

    overflowed_at: int | None = None
    within_tolerance: IntArray | None = None
    is_settled = False
    best = 0

    def __init__(self, grid: FixedPoint, wanted: int) -> None:
        self.grid, self.wanted = grid, wanted
        capacity = max(1 << 17, 4 * wanted)
        self.errors = np.zeros(capacity, dtype=np.int64)
        self.codes = np.zeros((capacity, 2), dtype=np.int64)
        self.control = np.array([0, 0, UNREACHABLE, 0, -1], dtype=np.int64)

    @property
    def count(self) -> int:
        """How many matches are kept."""
        return int(self.control[0])

    @property
    def bound(self) -> int:
        """Every match with an integer error up to here is kept, once a pass is over."""
        return int(self.control[3])

    @property
    def conclusive_bound(self) -> int:
        """The same, under the name that joins know."""
        return self.bound

    def start_pass(self, bound: int) -> None:
        """Forget the matches; the next pass offers all up to `bound`."""
        self.control[0] = 0
        self.control[3] = bound

    def settle(self) -> None:
        """Make room where less than half is left."""
        if 2 * self.count > self.errors.size:
            self._compact()

    def absorb(self, errors: IntArray, codes: IntArray) -> None:
        """Take over matches that were kept elsewhere."""
        for start in range(0, errors.size, self.errors.size // 2):
            near = np.flatnonzero(errors[start : start + self.errors.size // 2] <= self.bound) + start
            count = self.count
            self.errors[count : count + near.size] = errors[near]
            self.codes[count : count + near.size] = codes[near]
            self.control[0] += near.size
            self.settle()

    def meets_tolerance(self, subset: IntArray) -> bool:  # noqa: ARG002
        """Never: all matches are wanted."""
        return False

    def decisive(self) -> IntArray:
        """Places of the matches that may be among the wanted ones, by rising integer error."""
        order = np.argsort(self.errors[: self.count], kind="stable")
        if order.size > self.wanted:
            last = int(self.errors[order[self.wanted - 1]]) + 2 * self.grid.slack
            order = order[self.errors[order] <= last]
        return order

    def _compact(self) -> None:
        order = self.decisive()
        if 2 * order.size > self.errors.size and self.grid.slack == 0:
            order = order[: self.wanted]  # the rest are ties, no better than these
        elif 2 * order.size > self.errors.size:
            if 2 * self.errors.size > _LARGEST_CAPACITY:
                raise InvalidInputError(
                    f"more than {order.size} subsets have errors within rounding of each other; ask for fewer solutions"
                )
            self.errors = np.concatenate([self.errors, np.zeros_like(self.errors)])
            self.codes = np.concatenate([self.codes, np.zeros_like(self.codes)])
            return
        if order.size >= self.wanted:
            cut = order.size == self.wanted and self.grid.slack == 0
            self.control[3] = min(self.bound, int(self.errors[order[-1]]) - (1 if cut else 0))
        self.errors[: order.size] = self.errors[order]
        self.codes[: order.size] = self.codes[order]
        self.control[0] = order.size
