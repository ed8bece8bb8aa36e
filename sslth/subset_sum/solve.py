"""The only way out: every subset that a solver returns is verified here before anybody sees it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from sslth.errors import InvalidInputError
from sslth.subset_sum.arguments import non_negative, seed_number, whole_number
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits, Norm, interruptible
from sslth.subset_sum.memory import peak_bytes, require_bytes
from sslth.subset_sum.per_coordinate import checked_tolerances, is_per_coordinate, solve_per_coordinate
from sslth.subset_sum.solution import Outcome, Solution, Status, StoppedBy
from sslth.subset_sum.solvers import REGISTRY, Solver, make_solver
from sslth.subset_sum.verify import verify

__all__ = ["checked_limits", "solve", "solve_within", "solvers"]

_PUNCTUALITY = 0.2  # seconds after the time limit
_COPIES = 2  # of the rows, that solvers for large instances make: scaled, in another order, in float32


def solve(
    instance: Instance,
    solver: str | Solver = "auto",
    tolerance: float | npt.ArrayLike | None = None,
    time_limit: float | None = 10.0,
    max_work: int | None = None,
    seed: int = 0,
    norm: str = "sup",
) -> Solution:
    """Find a subset of rows whose sum is close to the target in the sup norm.

    Parameters
    ----------
    instance : Instance
    solver : str or Solver
        A name from `sslth.solvers()`, or a solver object with other hyper-parameters.
    tolerance : float, optional
        Stop at the first subset whose error is at most this (inclusive); None minimises the error. One number for
        each coordinate, float[d], asks for |residual[c]| <= tolerance[c] everywhere: see `stats["tolerance_ratio"]` and
        `stats["none_within_tolerance"]`; what is minimised then is, up to a factor of two, the largest ratio.
    time_limit : float, optional
        Seconds; None for no limit.
    max_work : int, optional
        Partial sums that may be visited: the limit that gives the same answer on every machine.
    seed : int
        For solvers that choose at random. Same seed, same answer, unless the clock stopped it.
    norm : "sup" or "l2"
        What the error is: the largest absolute entry of the residual, or its Euclidean length, which not every solver
        can minimise.

    Returns
    -------
    Solution
        Its error was recomputed exactly from the stored floats, whatever the solver said.

    Raises
    ------
    InvalidInputError
        For an unknown solver, a negative limit, or an instance that the named solver cannot take.

    Notes
    -----
    Ctrl-C ends the search with the best subset so far (`stats["stopped_by"] == "interrupt"`). `stats` has `work`
    (partial sums visited), `peak_bytes` (the largest resident size of the process so far) and what the solver adds; a
    time limit missed by more than .2 s is explained in `late_seconds` and `late_because`.

    Examples
    --------
    >>> instance = Instance([[1.0, 0.0], [0.5, 0.5], [0.0, 2.0]], target=[1.0, 2.0])
    >>> solution = solve(instance)
    >>> solution.subset, solution.error, solution.status.value
    (array([0, 2]), 0.0, 'OPTIMAL')
    """
    chosen = make_solver(solver)
    if is_per_coordinate(tolerance):
        tolerances = checked_tolerances(tolerance, instance.d)
        limits = checked_limits(None, time_limit, max_work, seed, norm)
        with interruptible(limits):
            return solve_per_coordinate(instance, chosen, tolerances, limits, solve_within)
    limits = checked_limits(tolerance, time_limit, max_work, seed, norm)
    with interruptible(limits):
        return solve_within(instance, chosen, limits)


def solve_within(instance: Instance, solver: Solver, limits: Limits) -> Solution:
    """`solve` for callers that own the clock, the work counter and Ctrl-C."""
    if not instance.is_feasible:
        return _infeasible(instance, solver.name, limits)
    refusal = REGISTRY[solver.name].refusal(instance, limits.norm) if solver.name in REGISTRY else None
    if refusal is not None:
        raise InvalidInputError(f'{solver.name} {refusal}; use solver="auto"')
    require_bytes(_COPIES * instance.samples.nbytes, f"solving {instance!r}")
    outcome = solver(instance, limits)
    return _checked(instance, outcome, solver.name, limits)


def solvers() -> dict[str, str]:
    """Every registered solver and what it is for.

    Examples
    --------
    >>> "meet_in_the_middle" in solvers()
    True
    """
    return {name: entry.purpose for name, entry in REGISTRY.items()}


def checked_limits(tolerance: Any, time_limit: Any, max_work: Any, seed: Any, norm: Any) -> Limits:
    """The limits of one call that starts now, or one sentence about what is wrong with them."""
    if norm not in tuple(Norm):
        raise InvalidInputError(f'norm is {norm!r}; it must be "sup" or "l2"')
    return Limits(
        tolerance=None if tolerance is None else non_negative(tolerance, "tolerance"),
        time_limit=None if time_limit is None else non_negative(time_limit, "time_limit"),
        max_work=None if max_work is None else whole_number(max_work, "max_work", 1, 2**63 - 1),
        seed=seed_number(seed),
        norm=Norm(norm),
    )


def _infeasible(instance: Instance, solver: str, limits: Limits) -> Solution:
    return Solution(
        n=instance.n,
        subset=np.empty(0, dtype=np.int64),
        error=math.inf,
        lower_bound=math.inf,
        status=Status.INFEASIBLE,
        solver=solver,
        seconds=limits.seconds,
        stats={
            "stopped_by": StoppedBy.PROOF.value,
            "work": 0,
            "reason": f"no subset of {instance.n} rows has at least {instance.smallest_size}"
            f" and at most {instance.largest_size} rows",
        },
    )


def _checked(instance: Instance, outcome: Outcome, solver: str, limits: Limits) -> Solution:
    if outcome.subset is None and outcome.stopped_by is StoppedBy.PROOF:
        raise RuntimeError(f"the solver {solver} claimed a proof without a subset for {instance!r}")
    subset = _any_subset(instance) if outcome.subset is None else outcome.subset
    try:
        certificate = verify(instance, subset)
    except InvalidInputError as mistake:  # the solver's, not the user's
        raise RuntimeError(f"the solver {solver} returned no subset of {instance!r}: {mistake}") from mistake
    if not certificate.has_wanted_size:
        raise RuntimeError(f"the solver {solver} returned {certificate.subset.size} rows for {instance!r}")
    error = certificate.error if limits.norm is Norm.SUP else certificate.l2_error
    lower_bound = max(0.0, outcome.lower_bound)
    if outcome.stopped_by is StoppedBy.PROOF:
        lower_bound = max(lower_bound, math.nextafter(error, 0.0))
    if lower_bound > error:
        raise RuntimeError(f"the solver {solver} claimed the bound {lower_bound} above the error {error}")
    if outcome.stopped_by is StoppedBy.PROOF or lower_bound == error or error == 0.0:
        status = Status.OPTIMAL
    elif limits.is_met_by(error):
        status = Status.WITHIN_TOLERANCE
    else:
        status = Status.BEST_FOUND
    details = {**_lateness(limits, solver), "peak_bytes": peak_bytes(), **outcome.details}
    return Solution(
        n=instance.n,
        subset=certificate.subset,
        error=error,
        lower_bound=lower_bound,
        status=status,
        solver=str(details.pop("solver", solver)),
        seconds=limits.seconds,
        stats={"stopped_by": outcome.stopped_by.value, "work": outcome.work, **details},
    )


def _lateness(limits: Limits, solver: str) -> dict[str, Any]:
    """By how much a time limit was missed, and why, where it was missed by more than is promised."""
    if limits.time_limit is None or limits.seconds <= limits.time_limit + _PUNCTUALITY:
        return {}
    why = f"{solver} was in a piece of work that is not interrupted, or compiled a kernel on its first use"
    return {"late_seconds": limits.seconds - limits.time_limit, "late_because": why}


def _any_subset(instance: Instance) -> npt.NDArray[np.int64]:
    """What is returned when a solver was stopped before it had a subset: the first rows."""
    return np.arange(instance.smallest_size, dtype=np.int64)
