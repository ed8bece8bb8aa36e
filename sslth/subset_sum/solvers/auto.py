"""Choosing among the solvers by the shape of the instance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits, Norm
from sslth.subset_sum.solution import Outcome, StoppedBy
from sslth.subset_sum.solvers import REGISTRY
from sslth.subset_sum.verify import verify

__all__ = ["Auto"]

_LARGEST_ENUMERATION = 18  # 2**18 subsets take milliseconds
_LARGEST_EXACT = 40  # two halves of 2**20 sums fit every memory
_ENTRIES_FOR_BEST_FIRST = 3_000_000


@dataclass(frozen=True)
class Auto:
    """Run the solvers that fit, in order of promise, and return the best subset that any of them found.

    Up to 18 rows `brute_force`; up to 40 rows `sorted_pursuit`, then `meet_in_the_middle`; beyond that the two
    pursuits. A solver's failure to find anything better never makes the answer worse: subsets are compared by their
    exactly recomputed errors. Cost: the sum of the members'; each may use what the limits leave.
    """

    name: str = "auto"

    def __call__(self, instance: Instance, limits: Limits) -> Outcome:
        best: Outcome | None = None
        best_error = float("inf")
        lower_bound, work = 0.0, 0
        tried: list[dict[str, Any]] = []
        found_by = self.name
        for name in _portfolio(instance):
            if REGISTRY[name].refusal(instance, limits.norm) is not None:
                continue
            if best is not None and (limits.exceeded(work) or limits.is_met_by(best_error)):
                break
            outcome = REGISTRY[name].make()(instance, _what_is_left(limits, work))
            work += outcome.work
            lower_bound = max(lower_bound, outcome.lower_bound)
            if outcome.subset is None:
                continue
            certificate = verify(instance, outcome.subset)
            error = certificate.error if limits.norm is Norm.SUP else certificate.l2_error
            tried.append({"solver": name, "error": error, "stopped_by": outcome.stopped_by.value})
            # a proof wins a tie, so that its status is not lost
            if best is None or error < best_error or outcome.stopped_by is StoppedBy.PROOF:
                best, best_error, found_by = outcome, error, name
            if outcome.stopped_by is StoppedBy.PROOF:
                break
        if best is None:
            return Outcome(None, limits.exceeded(work) or StoppedBy.DONE, lower_bound, work, {"tried": tried})
        stopped_by = best.stopped_by
        if stopped_by is not StoppedBy.PROOF:
            reached = limits.exceeded(work)
            stopped_by = StoppedBy.TOLERANCE if limits.is_met_by(best_error) else reached or stopped_by
        details = {**best.details, "solver": found_by, "tried": tried}
        return Outcome(best.subset, stopped_by, lower_bound, work, details)


def _portfolio(instance: Instance) -> list[str]:
    if instance.n <= _LARGEST_ENUMERATION:
        return ["brute_force", "best_first_pursuit"]
    if instance.n <= _LARGEST_EXACT:
        return ["sorted_pursuit", "meet_in_the_middle"]
    if instance.n * instance.d <= _ENTRIES_FOR_BEST_FIRST or instance.max_cardinality is not None:
        return ["sorted_pursuit", "best_first_pursuit"]
    return ["sorted_pursuit"]


def _what_is_left(limits: Limits, work: int) -> Limits:
    """The same clock and Ctrl-C, and the work that earlier members have not used."""
    left = replace(limits, time_limit=limits.seconds_left())
    if limits.max_work is not None:
        left.max_work = max(1, limits.max_work - work)
    return left
