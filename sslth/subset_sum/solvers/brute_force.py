"""Brute force: every subset of at most 24 rows, or all of the allowed sizes, on integers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslth.errors import InvalidInputError
from sslth.subset_sum.candidate_buffer import CandidateBuffer
from sslth.subset_sum.fixed_point import FixedPoint, equal_rows, to_fixed_point
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.kernels.combinations import walk_combinations
from sslth.subset_sum.kernels.gray_code import walk_gray_code
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import Outcome, StoppedBy

__all__ = ["BruteForce", "allowed_subsets"]

IntArray = npt.NDArray[np.int64]

_LARGEST_N = 24
_ENTRIES_PER_CHUNK = 8_000_000  # about 10 ms between two looks at the limits


@dataclass(frozen=True)
class BruteForce:
    """Visit every subset and prove the optimum.

    Idea: neighbouring subsets of a Gray code differ in one row, so a step costs d additions on integers, which do
    not drift [Knuth2011]_. Equal rows are counted, not told apart. Subsets whose integer errors lie within the
    rounding of the grid are compared in exact arithmetic at the end.

    Where the allowed sizes leave at most an eighth of the subsets, only these are visited, by depth first.

    Cost O(2^n d) time and O(n d) memory: n = 24 takes about 0.1 s at d = 1 and 0.3 s at d = 9. With k rows wanted it is
    O(n! / (k! (n - k)!) d) at most, mostly much less: a subset is given up at the first coordinate that is too far.

    Fails for n > 24: `InvalidInputError`. Where more than some thousand subsets are tied within the rounding of the
    grid, the best of those compared is returned with a bound instead of a proof.

    .. [Knuth2011] D. E. Knuth, The Art of Computer Programming 4A, section 7.2.1.1, Algorithm H.

    Examples
    --------
    >>> BruteForce()(Instance([[1.0], [2.0], [4.0]], [5.5]), Limits()).subset
    array([0, 2])
    """

    @property
    def name(self) -> str:
        """The registry name."""
        return "brute_force"

    def __call__(self, instance: Instance, limits: Limits) -> Outcome:
        """Search until every subset was seen, or a limit or the tolerance is reached.

        Raises
        ------
        InvalidInputError
            If the instance has more than 24 rows.
        """
        if instance.n > _LARGEST_N:
            raise InvalidInputError(
                f"brute_force takes at most {_LARGEST_N} rows, but the instance has {instance.n};"
                ' use solver="meet_in_the_middle" for a proof up to about 64 rows, or solver="auto"'
            )
        grid = to_fixed_point(instance)
        walk = (
            _Combinations(instance, grid) if allowed_subsets(instance) <= 2**instance.n // 8 else _All(instance, grid)
        )
        buffer = CandidateBuffer(instance, grid, limits, walk.decode)
        chunk = max(1, _ENTRIES_PER_CHUNK // (instance.d + 4))
        work = 0
        stopped = StoppedBy.TOLERANCE if buffer.within_tolerance is not None else None
        while stopped is None and not walk.is_done and buffer.conclusive_bound >= grid.floor:
            stopped = limits.exceeded(work)
            if stopped is not None:
                break
            left = limits.work_left(work)
            work += walk.advance(buffer, chunk if left is None else min(chunk, left))
            buffer.settle()
            if buffer.within_tolerance is not None:
                stopped = StoppedBy.TOLERANCE
        proven = grid.floor if stopped is not None else buffer.best
        if stopped is None:
            stopped = StoppedBy.PROOF if buffer.overflowed_at is None else StoppedBy.DONE
        return Outcome(
            subset=buffer.best_subset(),
            stopped_by=stopped,
            lower_bound=grid.lower_bound(proven),
            work=work,
            details={"candidates": int(buffer.control[0]), "slack": grid.slack},
        )


def allowed_subsets(instance: Instance) -> int:
    """How many subsets have an allowed size."""
    largest = min(instance.n, instance.largest_size)
    return sum(math.comb(instance.n, size) for size in range(instance.smallest_size, largest + 1))


class _All:
    """Every subset, equal rows counted, one row in or out at a time."""

    def __init__(self, instance: Instance, grid: FixedPoint) -> None:
        self.groups = equal_rows(instance)
        self.copies = np.array([group.size for group in self.groups], dtype=np.int64)
        self.weights = np.concatenate([[1], np.cumprod(self.copies + 1)])[:-1].astype(np.int64)
        self.rows = grid.rows[np.array([group[0] for group in self.groups], dtype=np.int64)]
        self.sizes = np.array([instance.smallest_size, instance.largest_size], dtype=np.int64)
        self.walk = np.zeros((3, len(self.groups) + 1), dtype=np.int64)
        self.walk[1], self.walk[2] = 1, np.arange(len(self.groups) + 1)
        self.residual = -grid.target
        self.state = np.zeros(3, dtype=np.int64)

    @property
    def is_done(self) -> bool:
        return bool(self.state[2])

    def advance(self, buffer: CandidateBuffer, steps: int) -> int:
        """Visit up to so many subsets; how many it were."""
        return int(
            walk_gray_code(
                self.rows, self.copies, self.weights, self.sizes, self.walk, self.residual, self.state,
                buffer.errors, buffer.codes, buffer.control, steps,
            )
        )  # fmt: skip

    def decode(self, code: int, _: int) -> IntArray:
        digits = code // self.weights % (self.copies + 1)
        parts = [group[:digit] for group, digit in zip(self.groups, digits, strict=True)]
        return np.sort(np.concatenate([np.empty(0, dtype=np.int64), *parts]))


class _Combinations:
    """The subsets of the allowed sizes, where these are few."""

    def __init__(self, instance: Instance, grid: FixedPoint) -> None:
        groups = equal_rows(instance)
        self.order = np.concatenate([np.empty(0, dtype=np.int64), *groups])
        self.repeats = np.concatenate([np.empty(0, dtype=np.bool_), *(np.arange(group.size) > 0 for group in groups)])
        self.rows = grid.rows[self.order]
        largest = min(instance.n, instance.largest_size)
        self.sizes = np.array([instance.smallest_size, largest], dtype=np.int64)
        self.picks = np.zeros(largest + 1, dtype=np.int64)
        self.sums = np.zeros((largest + 1, instance.d), dtype=np.int64)
        self.sums[0] = -grid.target
        self.state = np.zeros(2, dtype=np.int64)

    @property
    def is_done(self) -> bool:
        return bool(self.state[0] < 0)

    def advance(self, buffer: CandidateBuffer, steps: int) -> int:
        """Visit up to so many subsets; how many it were."""
        return int(
            walk_combinations(
                self.rows, self.repeats, self.sizes, self.picks, self.sums, self.state,
                buffer.errors, buffer.codes, buffer.control, steps,
            )
        )  # fmt: skip

    def decode(self, code: int, _: int) -> IntArray:
        return np.sort(self.order[[i for i in range(self.order.size) if code >> i & 1]])
