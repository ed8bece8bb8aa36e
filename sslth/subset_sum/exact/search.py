"""Proving an optimum by passes with growing windows: a pass that finds nothing proves a bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.candidate_buffer import CandidateBuffer
from sslth.subset_sum.exact.problem import HalvedProblem
from sslth.subset_sum.fixed_point import FixedPoint
from sslth.subset_sum.solution import StoppedBy

__all__ = ["Buffer", "Join", "prove_optimum"]


class Buffer(Protocol):
    """What a join offers its matches to: `CandidateBuffer`, or whoever wants other matches than the best."""

    errors: npt.NDArray[np.int64]
    codes: npt.NDArray[np.int64]
    control: npt.NDArray[np.int64]
    overflowed_at: int | None
    within_tolerance: npt.NDArray[np.int64] | None

    @property
    def best(self) -> int:
        """The smallest integer error so far."""

    @property
    def conclusive_bound(self) -> int:
        """Nothing above this integer error is wanted."""

    @property
    def is_settled(self) -> bool:
        """Whether nothing more is wanted."""

    def start_pass(self, bound: int) -> None:
        """Forget the matches; the next pass offers all up to `bound`."""

    def settle(self) -> None:
        """Look at what was written since the last call, and make room."""

    def absorb(self, errors: npt.NDArray[np.int64], codes: npt.NDArray[np.int64]) -> None:
        """Take over matches that were kept elsewhere."""

    def meets_tolerance(self, subset: npt.NDArray[np.int64]) -> bool:
        """Whether a subset ends the search."""


class Join(Protocol):
    """A way to find every pair of half sums within a window."""

    name: str
    """Which way, for statistics."""

    work: int
    starts_wide: bool
    """Whether a short pass over the widest window is cheap and finds something to show."""

    def first_window(self, floor: int) -> int:
        """The integer error up to which the first conclusive pass should look."""

    def build(self) -> StoppedBy | None:
        """Prepare the halves; why it was stopped, or None."""

    def run_pass(self, buffer: Buffer, bound: int, budget: int | None) -> tuple[StoppedBy | None, bool]:
        """Offer every subset with an integer error up to `bound` to the buffer; why stopped, and whether finished."""

    def decode(self, first: int, second: int) -> npt.NDArray[np.int64]:
        """The subset behind the two codes of a candidate."""


@dataclass
class Proof:
    """How a search ended."""

    stopped_by: StoppedBy
    proven: int
    """No subset has a smaller integer error."""

    passes: int = 0


def prove_optimum(problem: HalvedProblem, grid: FixedPoint, join: Join, buffer: CandidateBuffer) -> Proof:
    """Search until the best integer error is conclusive, the tolerance is met, or a limit is reached."""
    proven = grid.floor
    if buffer.within_tolerance is not None:
        return Proof(StoppedBy.TOLERANCE, proven)
    if buffer.is_settled:
        return Proof(StoppedBy.PROOF, buffer.best)
    stopped = join.build()
    if stopped is not None:
        return Proof(stopped, proven)
    expected = join.first_window(grid.floor)
    finished, passes = False, 0
    if join.starts_wide:
        passes += 1
        stopped, finished = join.run_pass(buffer, buffer.conclusive_bound, 2 * sum(problem.half_sizes) + 1000)
        if stopped is not None:
            return Proof(stopped, proven, passes)
    growth = 8.0 ** (1.0 / problem.target.size)
    bound = max(expected, buffer.tolerance_points)
    while not finished:
        bound = min(bound, buffer.conclusive_bound)
        passes += 1
        stopped, _ = join.run_pass(buffer, bound, None)
        if stopped is not None:
            return Proof(stopped, proven, passes)
        finished = buffer.conclusive_bound <= bound
        if buffer.best <= bound:
            proven, bound = buffer.best, buffer.conclusive_bound
        else:
            proven = max(proven, bound + 1)
            bound = grid.floor + int((bound + 1 - grid.floor) * growth) + 1
            growth = min(growth * growth, 2.0**20)
    if buffer.overflowed_at is not None:
        return Proof(StoppedBy.DONE, buffer.best, passes)
    return Proof(StoppedBy.PROOF, buffer.best, passes)
