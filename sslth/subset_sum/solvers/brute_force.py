"""Brute force: every subset of at most 24 rows, in Gray-code order, on integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslth.errors import InvalidInputError
from sslth.subset_sum.candidate_buffer import CandidateBuffer
from sslth.subset_sum.fixed_point import equal_rows, to_fixed_point
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.kernels.gray_code import walk_gray_code
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import Outcome, StoppedBy

__all__ = ["BruteForce"]

IntArray = npt.NDArray[np.int64]

_LARGEST_N = 24
_ENTRIES_PER_CHUNK = 8_000_000  # about 10 ms between two looks at the limits


@dataclass(frozen=True)
class BruteForce:
    """Visit every subset and prove the optimum.

    Idea: neighbouring subsets of a Gray code differ in one row, so a step costs d additions on integers, which do
    not drift [Knuth2011]_. Equal rows are counted, not told apart. Subsets whose integer errors lie within the
    rounding of the grid are compared in exact arithmetic at the end.

    Cost O(2^n d) time and O(n d) memory: n = 24 takes about 0.1 s at d = 1 and 0.3 s at d = 9. Wrong sizes are visited
    and passed over.

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
        groups = equal_rows(instance)
        copies = np.array([group.size for group in groups], dtype=np.int64)
        weights = np.concatenate([[1], np.cumprod(copies + 1)])[:-1].astype(np.int64)

        def decode(code: int, _: int) -> IntArray:
            digits = code // weights % (copies + 1)
            parts = [group[:digit] for group, digit in zip(groups, digits, strict=True)]
            return np.sort(np.concatenate([np.empty(0, dtype=np.int64), *parts]))

        buffer = CandidateBuffer(instance, grid, limits, decode)
        firsts = np.array([group[0] for group in groups], dtype=np.int64)
        walk = np.zeros((3, len(groups) + 1), dtype=np.int64)
        walk[1], walk[2] = 1, np.arange(len(groups) + 1)
        residual = -grid.target
        state = np.zeros(3, dtype=np.int64)
        sizes = np.array([instance.smallest_size, instance.largest_size], dtype=np.int64)
        chunk = max(1, _ENTRIES_PER_CHUNK // (instance.d + 4))
        work = 0
        stopped = StoppedBy.TOLERANCE if buffer.within_tolerance is not None else None
        while stopped is None and not state[2] and buffer.conclusive_bound >= grid.floor:
            stopped = limits.exceeded(work)
            if stopped is not None:
                break
            left = limits.work_left(work)
            steps = chunk if left is None else min(chunk, left)
            work += walk_gray_code(
                grid.rows[firsts], copies, weights, sizes, walk, residual, state,
                buffer.errors, buffer.codes, buffer.control, steps,
            )  # fmt: skip
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
