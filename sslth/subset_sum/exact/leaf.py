"""What a choice of some rows leaves of a problem, and how matches of it become candidates for the whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.candidate_buffer import CandidateBuffer
from sslth.subset_sum.exact.problem import HalvedProblem
from sslth.subset_sum.exact.tiles import TileJoin
from sslth.subset_sum.fixed_point import UNREACHABLE, FixedPoint
from sslth.subset_sum.instance import Instance

__all__ = ["MOST_ROWS", "Leaf", "LeafBuffer", "rows_of"]

IntArray = npt.NDArray[np.int64]

MOST_ROWS = 62
"""Of an instance: the rows of a candidate are the bits of one number."""


@dataclass(frozen=True)
class Leaf:
    """A choice of the long rows: the problem that it leaves, and how its rows are numbered in the instance."""

    problem: HalvedProblem
    others: IntArray
    chosen: IntArray

    @classmethod
    def of(cls, instance: Instance, grid: FixedPoint, others: IntArray, chosen: IntArray) -> Leaf:
        smallest = max(0, instance.smallest_size - chosen.size)
        largest = min(others.size, instance.largest_size - chosen.size)
        exact = instance.cardinality is not None
        rest = Instance(
            instance.samples[others],
            instance.target,
            cardinality=smallest if exact else None,
            max_cardinality=None if exact or instance.max_cardinality is None else largest,
        )
        target = grid.target - grid.rows[chosen].sum(axis=0)
        return cls(
            HalvedProblem.of(rest, FixedPoint(grid.rows[others], target, grid.exponent, grid.slack, 0)), others, chosen
        )

    def rows(self, subset: IntArray) -> IntArray:
        """The rows of the instance of a subset of the leaf's."""
        return np.sort(np.concatenate([self.chosen, self.others[subset]]))


class LeafBuffer:
    """The search's buffer as a leaf's join sees it: matches are translated into bits of rows of the instance."""

    def __init__(self, buffer: CandidateBuffer, leaf: Leaf, join: TileJoin) -> None:
        self.whole, self.leaf, self.join = buffer, leaf, join
        self.errors, self.codes, self.control = buffer.errors, buffer.codes, buffer.control
        self.overflowed_at, self.within_tolerance = buffer.overflowed_at, buffer.within_tolerance

    @property
    def best(self) -> int:
        return self.whole.best

    @property
    def conclusive_bound(self) -> int:
        return self.whole.conclusive_bound

    @property
    def is_settled(self) -> bool:
        return self.whole.is_settled

    def start_pass(self, bound: int) -> None:
        """The candidates of other leaves stay."""
        self.control[3] = min(bound, UNREACHABLE)

    def settle(self) -> None:
        """Matches come by `absorb` alone."""

    def absorb(self, errors: IntArray, codes: IntArray) -> None:
        """Translate what may still be a minimiser, and hand it on."""
        if errors.size == 0:
            return
        near = errors <= min(self.best, int(errors.min())) + max(0, int(self.control[2]))
        bits = [_bits_of(self.leaf.rows(self.join.decode(*code))) for code in codes[near].tolist()]
        self.whole.absorb(errors[near], np.array(bits, dtype=np.int64).reshape(-1, 2))
        self.overflowed_at, self.within_tolerance = self.whole.overflowed_at, self.whole.within_tolerance

    def meets_tolerance(self, subset: IntArray) -> bool:
        return self.whole.meets_tolerance(self.leaf.rows(subset))


def _bits_of(rows: IntArray) -> tuple[int, int]:
    return sum(1 << int(row) for row in rows), 0


def rows_of(bits: int, _: int) -> IntArray:
    """The rows of the instance behind the two integers of a candidate that `LeafBuffer` handed on."""
    return np.flatnonzero((bits >> np.arange(MOST_ROWS + 1)) & 1).astype(np.int64)
