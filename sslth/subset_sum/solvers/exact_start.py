"""A subset for an exact search to start from, by a short local search."""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.candidate_buffer import CandidateBuffer
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import StoppedBy
from sslth.subset_sum.solvers.local_search import LocalSearch

__all__ = ["find_start"]


def find_start(buffer: CandidateBuffer, limits: Limits, moves: int) -> tuple[int, StoppedBy | None]:
    """Offer the buffer what a local search finds; returns its work, and TOLERANCE if that is enough.

    A quarter of the allowed work at most.
    """
    if buffer.within_tolerance is not None:
        return 0, StoppedBy.TOLERANCE
    if limits.exceeded():
        return 0, None
    left = limits.work_left(0)
    shorter = Limits(
        tolerance=limits.tolerance,
        time_limit=limits.seconds_left(),
        max_work=None if left is None else max(1, left // 4),
        seed=limits.seed,
        clock=limits.clock,
        interrupted=limits.interrupted,
    )
    outcome = LocalSearch(moves=moves)(buffer.instance, shorter)
    if outcome.subset is None:
        return outcome.work, None
    subset = outcome.subset.astype(np.int64)
    error = buffer.grid.error(subset)
    if error < buffer.best:
        buffer.incumbent = subset
        buffer.control[1] = error
    if buffer.meets_tolerance(subset):
        buffer.within_tolerance = subset
        return outcome.work, StoppedBy.TOLERANCE
    return outcome.work, None
