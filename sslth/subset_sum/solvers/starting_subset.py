"""A subset for general solvers to start from: the best of the cheap heuristics."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.quick_subset import quick_subset
from sslth.subset_sum.solvers.best_first_pursuit import BestFirstPursuit
from sslth.subset_sum.solvers.sorted_pursuit import SortedPursuit
from sslth.subset_sum.verify import verify

__all__ = ["starting_subset"]


def starting_subset(instance: Instance, limits: Limits, pursue: bool = True) -> tuple[npt.NDArray[np.int64], int]:
    """The subset with the smallest sup-norm error among a greedy one and, if asked for, those of two pursuits.

    Returns the subset and the work that it took. Cost: that of `SortedPursuit` and `BestFirstPursuit`, within the
    limits; without them O(k n d), at most 10 ms.
    """
    best = quick_subset(instance)
    error, work = verify(instance, best).error, 0
    if not pursue:
        return best, work
    for solver in (SortedPursuit(), BestFirstPursuit()):
        if limits.exceeded(work) or limits.is_met_by(error):
            break
        left = Limits(
            tolerance=limits.tolerance,
            time_limit=limits.seconds_left(),
            max_work=limits.work_left(work),
            seed=limits.seed,
            clock=limits.clock,
            interrupted=limits.interrupted,
        )
        outcome = solver(instance, left)
        work += outcome.work
        found = math.inf if outcome.subset is None else verify(instance, outcome.subset).error
        if outcome.subset is not None and found < error:
            best, error = np.sort(outcome.subset).astype(np.int64), found
    return best, work
