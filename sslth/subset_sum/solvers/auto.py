"""Choosing among the solvers by what they were measured to reach on instances alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits, Norm
from sslth.subset_sum.solution import Outcome, StoppedBy
from sslth.subset_sum.solvers import REGISTRY, Solver
from sslth.subset_sum.solvers.auto_table import predict_errors, predict_proofs
from sslth.subset_sum.solvers.brute_force import allowed_subsets
from sslth.subset_sum.solvers.local_search import LocalSearch
from sslth.subset_sum.verify import verify

__all__ = ["Auto", "Step", "member", "plan"]

_LARGEST_ENUMERATION = 18  # 2**18 subsets take milliseconds
_EXACT = ("meet_in_the_middle", "branch_and_bound", "branch_and_meet")
_PROVING = ("brute_force", *_EXACT)
_HEURISTICS = (
    *("sorted_pursuit", "best_first_pursuit", "sign_pursuit", "sign_beam"),
    *("message_passing", "k_tree", "differencing", "local_search", "branch_and_meet"),
)
_PROOF_SHARE = 0.8  # of the time limit, that an exact solver may be predicted to take
_PATIENCE = 600.0  # seconds for a proof where there is no time limit
_WARM_UP = 0.05  # a heuristic goes before a proof that takes this share of the time
_FIRST_SHARE = 0.1  # of the time limit, for that heuristic: proofs may take longer than predicted, and leave nothing
_RIVALS = 3  # heuristics that run
_RIVAL_RATIO = 3.0  # how much worse than the best one they may be predicted to be
_RIVAL_SHARE = 0.15  # of the time limit, that a heuristic before the best one may be predicted to take, and is given
_NO_MORE = 0.95  # if ten times the time was worth less than this, the rest of the time is not spent
_LARGEST_RELAXATION = 40_000  # entries, for the bound by linear programming
_RELAXATION_SHARE = 0.1  # of the time limit


@dataclass(frozen=True)
class Step:
    """One member of the portfolio, why it is there, and the share of the time limit that it gets at most."""

    solver: str
    reason: str
    share: float = 1.0


@dataclass(frozen=True)
class Auto:
    """Run the solvers that fit, in order of promise, and return the best subset that any of them found.

    A table of errors and times measured on drawn instances (`benchmarks/calibrate.py` writes it) is read at the cells
    nearest to n, d, the spread of the rows' lengths and whether a size is wanted. If a proof is predicted within the
    time limit, an exact solver runs. Otherwise up to three heuristics do: those that are nearly as good as the best and
    quick come before it, and it gets the time that is left. The whole limit is spent only on solvers that were
    measured to get better with time. Where no proof is tried and d is large against n, a linear program gives a bound.

    A solver that finds nothing better never makes the answer worse: subsets are compared by their exactly recomputed
    errors. Cost: the sum of the members'. It fails, like any table, where an instance is unlike all that were
    measured; name a solver then.
    """

    name: str = "auto"

    def __call__(self, instance: Instance, limits: Limits) -> Outcome:
        steps = plan(instance, limits)
        best: Outcome | None = None
        best_error = float("inf")
        lower_bound = 0.0 if any(step.solver in _PROVING for step in steps) else _relaxation(instance, limits)
        work = 0
        tried: list[dict[str, Any]] = []
        found_by = self.name
        for step in steps:
            if best is not None and (limits.exceeded(work) or limits.is_met_by(best_error)):
                break
            outcome = member(step.solver, limits.time_limit is not None)(instance, _what_is_left(limits, work, step))
            work += outcome.work
            lower_bound = max(lower_bound, outcome.lower_bound)
            report: dict[str, Any] = {"solver": step.solver, "reason": step.reason}
            tried.append(report)
            report["stopped_by"] = outcome.stopped_by.value
            if outcome.subset is None:
                report["error"] = float("inf")
                continue
            certificate = verify(instance, outcome.subset)
            error = certificate.error if limits.norm is Norm.SUP else certificate.l2_error
            report["error"] = error
            # a proof wins a tie, so that its status is not lost
            if best is None or error < best_error or outcome.stopped_by is StoppedBy.PROOF:
                best, best_error, found_by = outcome, error, step.solver
            if outcome.stopped_by is StoppedBy.PROOF:
                break
        if best is None:
            return Outcome(None, limits.exceeded(work) or StoppedBy.DONE, lower_bound, work, {"tried": tried})
        stopped_by = best.stopped_by
        if stopped_by is not StoppedBy.PROOF:
            reached = limits.exceeded(work)
            stopped_by = StoppedBy.TOLERANCE if limits.is_met_by(best_error) else reached or StoppedBy.DONE
        details = {**best.details, "solver": found_by, "tried": tried}
        return Outcome(best.subset, stopped_by, min(lower_bound, best_error), work, details)


def plan(instance: Instance, limits: Limits) -> list[Step]:
    """Which solvers run, in order; a later one runs if there is time left and the tolerance is not reached."""
    usable = [n for n in {*_PROVING, *_HEURISTICS} if REGISTRY[n].refusal(instance, limits.norm) is None]
    if "brute_force" in usable and (
        instance.n <= _LARGEST_ENUMERATION or allowed_subsets(instance) <= 2**_LARGEST_ENUMERATION // 8
    ):
        return [Step("brute_force", f"n = {instance.n}: every subset in milliseconds")]
    patience = _PATIENCE if limits.time_limit is None else limits.time_limit
    proofs = predict_proofs(instance, [name for name in _EXACT if name in usable])
    proofs = {name: seconds for name, seconds in proofs.items() if seconds <= _PROOF_SHARE * patience}
    heuristics = list(_heuristic_steps(instance, limits, [name for name in _HEURISTICS if name in usable]))
    if not proofs:
        return heuristics
    fastest = min(proofs, key=lambda name: proofs[name])
    proof = Step(fastest, f"a proof in about {proofs[fastest]:.2g} s")
    if limits.tolerance is None and proofs[fastest] <= _WARM_UP * patience:
        return [proof, *heuristics]
    heuristics = [step for step in heuristics if step.solver != fastest]
    if proofs[fastest] > _WARM_UP * patience and heuristics:
        first = replace(heuristics[-1], reason=f"before the proof: {heuristics[-1].reason}", share=_FIRST_SHARE)
        return [first, proof, *heuristics]
    quick = Step("sorted_pursuit", "something to show before the proof, or within the tolerance")
    return [quick, proof, *heuristics] if "sorted_pursuit" in usable else [proof, *heuristics]


def _heuristic_steps(instance: Instance, limits: Limits, names: list[str]) -> Iterator[Step]:
    predictions = predict_errors(instance, limits.time_limit, names)
    if not predictions:
        yield from (Step(name, "nothing was measured") for name in names[:_RIVALS])
        return
    best, *others = predictions
    patience = _PATIENCE if limits.time_limit is None else limits.time_limit
    rivals = [p for p in others if p.ratio <= _RIVAL_RATIO * best.ratio and p.seconds <= _RIVAL_SHARE * patience]
    for rival in sorted(rivals[: _RIVALS - 1], key=lambda p: p.seconds):
        reason = f"{rival.ratio / best.ratio:.2g} times the best error in {rival.seconds:.2g} s"
        yield Step(rival.solver, reason, _RIVAL_SHARE)
    more = "; more time helps" if best.gain < _NO_MORE else ""
    yield Step(best.solver, f"the smallest error where n, d and the rows were alike, {best.seconds:.2g} s{more}")


def member(name: str, timed: bool) -> Solver:
    """The solver as `auto` runs it: one that could go on for ever does so only against a clock."""
    if name == "local_search" and timed:
        return LocalSearch(moves=None)
    return REGISTRY[name].make()


def _relaxation(instance: Instance, limits: Limits) -> float:
    """A lower bound by linear programming, where it may be positive and there is time; it holds for both norms."""
    seconds = limits.seconds_left()
    if 2 * instance.d < instance.n or instance.n * instance.d > _LARGEST_RELAXATION or limits.exceeded() is not None:
        return 0.0
    if seconds is not None and seconds < 1.0:
        return 0.0
    from sslth.subset_sum.solvers.lp_bound import lagrangian_bound

    return lagrangian_bound(instance, None if seconds is None else _RELAXATION_SHARE * seconds)


def _what_is_left(limits: Limits, work: int, step: Step) -> Limits:
    """The same clock and Ctrl-C, the member's share of the time, and the work that earlier ones have not used."""
    seconds = limits.seconds_left()
    if seconds is not None and limits.time_limit is not None:
        seconds = min(seconds, step.share * limits.time_limit)
    left = replace(limits, time_limit=seconds)
    if limits.max_work is not None:
        left.max_work = max(1, limits.max_work - work)
    return left
