"""General mixed-integer solvers: HiGHS and SCIP through OR-Tools MathOpt, Gurobi through gurobipy."""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sslth.errors import InvalidInputError
from sslth.subset_sum.exact_errors import best_exactly, round_down
from sslth.subset_sum.fixed_point import to_fixed_point
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import Outcome, StoppedBy
from sslth.subset_sum.solvers.lp_bound import exact_lagrangian_bound
from sslth.subset_sum.solvers.mip_gurobi import GUROBI, run_gurobi
from sslth.subset_sum.solvers.mip_worker import HIGHS, SCIP, Answer, Job, answer_in, run
from sslth.subset_sum.solvers.starting_subset import starting_subset

__all__ = ["MipGurobi", "MipHighs", "MipScip"]

IntArray = npt.NDArray[np.int64]

_LARGEST_ENTRIES = 100_000
_DISTRUST = 1e-6  # what a solver's bound may be wrong by, for each row and once more, in units of the largest entry
_WORK_PER_NODE_AND_ENTRY = 100  # partial sums that a node's linear program stands for, for each entry
_SECONDS_HERE, _ENTRIES_HERE = 0.2, 2_000  # what is tried in this process before another is started
_SECONDS_NOT_WORTH_ANOTHER = 0.8
_SECONDS_PER_LOOK = 0.02
_SECONDS_TO_FINISH = 0.1
_STOPPED_BY = {"node": StoppedBy.WORK, "time": StoppedBy.TIME}


@dataclass(frozen=True)
class MipHighs:
    """Let HiGHS minimise the sup norm as a mixed-integer program.

    Idea: a binary variable a row, one continuous error above every coordinate's absolute residual, one row for the
    size; branch and bound over linear relaxations [HuangfuHall2018]_. Numbers are scaled below 1 by a power of two.

    Nothing that the solver says is trusted. Errors are recomputed; its bound is lowered by 1e-6 (n + 1) times a power
    of two above the largest entry, for its integrality and feasibility tolerances, and dropped if the error contradicts
    it. Independent of it is the Lagrangian bound of `lp_bound`, proven in exact integers. `PROOF` is said only if a
    bound meets the error exactly; where all entries are multiples of one power of two, a bound counts up to the next
    multiple. So optima near or below 1e-6 of the largest entry are never proven: use `meet_in_the_middle`.

    Cost exponential in n: .03 s at n = 20, d = 2; at n = 40 a minute is seldom enough, the relaxation being 0. What
    takes longer than .2 s runs in a process of its own (half a second to start), so that limits and Ctrl-C are kept.
    `max_work` becomes a limit on nodes, one for 100 n d partial sums (rounded down: the root costs more than
    that), and is repeatable.

    Fails for n * d > 100,000: `InvalidInputError`.

    Parameters
    ----------
    threads : int
    hints : bool
        Start from the subset of the pursuits, else from a greedy one.
    log : bool
        The solver's own log, on the standard output.

    References
    ----------
    .. [HuangfuHall2018] Q. Huangfu, J. A. J. Hall, "Parallelizing the dual revised simplex method", Mathematical
       Programming Computation 10, 2018. doi:10.1007/s12532-017-0130-5

    Examples
    --------
    >>> MipHighs()(Instance([[1.0], [2.0], [4.0]], [5.5]), Limits()).subset
    array([0, 2])
    """

    threads: int = 1
    hints: bool = True
    log: bool = False
    name: str = "mip_highs"

    def __call__(self, instance: Instance, limits: Limits) -> Outcome:
        """Search until the solver is done, or a limit or the tolerance is reached."""
        return _solve(instance, limits, HIGHS, self.name, self.threads, self.hints, self.log)


@dataclass(frozen=True)
class MipScip:
    """Let SCIP minimise the sup norm as a mixed-integer program.

    The model, the distrust, the limits and the parameters are those of `MipHighs`; SCIP [SCIP2025]_ is a
    branch-cut-and-price solver with more heuristics and conflict analysis. Half to a third of HiGHS' speed here.

    Fails for n * d > 100,000: `InvalidInputError`.

    References
    ----------
    .. [SCIP2025] T. Achterberg, "SCIP: solving constraint integer programs", Mathematical Programming Computation 1,
       2009. doi:10.1007/s12532-008-0001-1
    """

    threads: int = 1
    hints: bool = True
    log: bool = False
    name: str = "mip_scip"

    def __call__(self, instance: Instance, limits: Limits) -> Outcome:
        """Search until the solver is done, or a limit or the tolerance is reached."""
        return _solve(instance, limits, SCIP, self.name, self.threads, self.hints, self.log)


@dataclass(frozen=True)
class MipGurobi:
    """Let Gurobi minimise the sup norm as a mixed-integer program.

    The model, the distrust and the parameters are those of `MipHighs`. OR-Tools 9.15 cannot load the library that
    `pip install gurobipy` brings, so gurobipy is used directly, in this process.

    Fails for n * d > 100,000, and beyond 1,999 rows or 998 coordinates without a licence: the one that
    comes with the package ends at 2,000 variables and 2,000 constraints. `InvalidInputError` says so.
    """

    threads: int = 1
    hints: bool = True
    log: bool = False
    name: str = "mip_gurobi"

    def __call__(self, instance: Instance, limits: Limits) -> Outcome:
        """Search until the solver is done, or a limit or the tolerance is reached."""
        if find_spec("gurobipy") is None:
            raise InvalidInputError("mip_gurobi needs the package gurobipy, which is not installed")
        return _solve(instance, limits, GUROBI, self.name, self.threads, self.hints, self.log)


def _solve(
    instance: Instance, limits: Limits, backend: str, name: str, threads: int, hints: bool, log: bool
) -> Outcome:
    if instance.n * instance.d > _LARGEST_ENTRIES:
        raise InvalidInputError(
            f"{name} takes at most {_LARGEST_ENTRIES:,} entries, but the instance has n * d ="
            f' {instance.n * instance.d:,}; use solver="sorted_pursuit", or solver="auto"'
        )
    start, work = starting_subset(instance, limits, hints)
    error = best_exactly(instance, [start])[1]
    seconds = limits.seconds_left()
    proven = exact_lagrangian_bound(instance, None if seconds is None else seconds / 4)
    details: dict[str, Any] = {"lagrangian_bound": round_down(proven), "start_error": float(error)}
    if limits.is_met_by(_rounded_up(error)) or proven >= error:
        stopped = StoppedBy.PROOF if proven >= error else StoppedBy.TOLERANCE
        return Outcome(start, stopped, round_down(min(proven, error)), work, {**details, "mip_status": "not started"})
    job, shift = _job(instance, limits, backend, start, error, proven, work, threads, log)
    reached = limits.exceeded(work)
    if reached is None and job.nodes == 0:
        reached = StoppedBy.WORK
    if reached is not None:
        return Outcome(start, reached, round_down(proven), work, {**details, "mip_status": "not started"})
    if backend == GUROBI:
        answer, reached = run_gurobi(job, limits)
    else:
        answer, reached = _run_within(job, limits)
        if reached is StoppedBy.TIME:  # by the solver's clock, which may be ahead of ours
            time.sleep(max(0.0, min(_SECONDS_PER_LOOK, job.ends_at - time.monotonic())))
    work += answer.nodes * _WORK_PER_NODE_AND_ENTRY * instance.n * instance.d
    found = [start] if answer.chosen is None or not _has_size(instance, answer.chosen) else [answer.chosen, start]
    subset, error = best_exactly(instance, found)
    claimed = _believed(instance, job, answer.bound, shift)
    if claimed > error:  # beyond all tolerances: the solver is wrong, and may be wrong about everything
        details["refuted_bound"], claimed = round_down(claimed), Fraction(0)
    proven = max(proven, claimed)
    if proven >= error:
        reached = StoppedBy.PROOF
    elif limits.is_met_by(_rounded_up(error)):
        reached = StoppedBy.TOLERANCE
    elif reached is None:
        reached = limits.exceeded() or StoppedBy.DONE
    details |= {"mip_status": answer.status, "mip_bound": _rescaled(answer.bound, shift), "nodes": answer.nodes}
    return Outcome(subset, reached, round_down(min(proven, error)), work, details)


def _job(
    instance: Instance,
    limits: Limits,
    backend: str,
    start: IntArray,
    error: Fraction,
    proven: Fraction,
    work: int,
    threads: int,
    log: bool,
) -> tuple[Job, int]:
    """The instance scaled by 2**shift to numbers of at most 1, with everything the solver may know; and the shift."""
    largest = max(float(np.abs(instance.samples).max()), float(np.abs(instance.target).max()))
    shift = -math.frexp(largest)[1]
    unit = Fraction(2) ** shift
    floor = float(proven * unit) * (1.0 - 1e-9) - 1e-9
    if limits.tolerance is not None:  # a subset within the tolerance is then an optimum, and ends the search
        wanted = float(min(Fraction(1), Fraction(limits.tolerance) * unit)) if limits.tolerance < math.inf else 1.0
        floor = max(floor, wanted * (1.0 - 1e-6) - 1e-8)
    left, seconds = limits.work_left(work), limits.seconds_left()
    nodes = -1 if left is None else left // (_WORK_PER_NODE_AND_ENTRY * instance.n * instance.d)
    with np.errstate(under="ignore"):
        rows, target = np.ldexp(instance.samples, shift), np.ldexp(instance.target, shift)
    job = Job(
        backend=backend,
        rows=rows,
        target=target,
        smallest=instance.smallest_size,
        largest=instance.largest_size,
        floor=max(0.0, floor),
        start=start,
        start_error=float(error * unit),
        threads=threads,
        seed=limits.seed,
        nodes=min(nodes, 2**31 - 1),
        ends_at=math.inf if seconds is None else time.monotonic() + seconds,
        log=log,
    )
    return job, shift


def _believed(instance: Instance, job: Job, bound: float, shift: int) -> Fraction:
    """What a solver's bound is worth: lowered by the distrust, and raised to the grid that all errors lie on."""
    if not math.isfinite(bound):
        return Fraction(0)
    safe = bound - _DISTRUST * (instance.n + 1)
    if safe <= job.floor:  # the bound that the error variable was given
        return Fraction(0)
    value = Fraction(safe) * Fraction(2) ** -shift
    grid = to_fixed_point(instance)
    if grid.slack:
        return value
    step = Fraction(2) ** grid.exponent
    return math.ceil(value / step) * step


def _run_within(job: Job, limits: Limits) -> tuple[Answer, StoppedBy | None]:
    """What the solver claims, and the limit that ended it; None if it came to its own end.

    Small jobs are tried in this process first. Unless the clock ends the search, the answer of a second
    try is that of a run from the beginning: which process gave it makes no difference.
    """
    here: Answer | None = None
    if job.rows.size <= _ENTRIES_HERE and job.threads == 1 and not job.log:
        now = time.monotonic()
        ends_at = now + _SECONDS_HERE if job.ends_at > now + _SECONDS_NOT_WORTH_ANOTHER else job.ends_at
        here = run(replace(job, ends_at=ends_at))
        if here.status != "time" or ends_at == job.ends_at or limits.exceeded() is not None:
            return here, limits.exceeded() or _STOPPED_BY.get(here.status)
    answer, reached = _run_elsewhere(job, limits)
    if here is not None and answer.chosen is None:
        return here, reached
    return answer, reached


def _run_elsewhere(job: Job, limits: Limits) -> tuple[Answer, StoppedBy | None]:
    """`run` in a process of its own, which is ended when a limit is reached."""
    with tempfile.TemporaryDirectory(prefix="sslth-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        job.save(folder)
        output = None if job.log else subprocess.DEVNULL
        worker = subprocess.Popen(
            [sys.executable, "-m", "sslth.subset_sum.solvers.mip_worker", name],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,  # Ctrl-C is for this process to hear
        )
        try:
            reached = _wait(worker, limits)
        finally:
            worker.kill()
            worker.communicate()
        answer = answer_in(folder, job.rows.shape[0])
    if reached is None and answer.status == "killed":  # by itself: out of memory, or a failed assertion
        answer = replace(answer, status=f"ended with exit status {worker.returncode}")
    if reached is None:
        reached = _STOPPED_BY.get(answer.status)
    return answer, reached


def _wait(worker: subprocess.Popen[bytes], limits: Limits) -> StoppedBy | None:
    """Wait for the worker or a limit; then ask the worker to stop, and give it a moment."""
    while worker.poll() is None:
        reached = limits.exceeded()
        if reached is not None:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                assert worker.stdin is not None
                worker.stdin.write(b"s")
                worker.stdin.flush()
                worker.wait(_SECONDS_TO_FINISH)
            return reached
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(_SECONDS_PER_LOOK)
    return None


def _has_size(instance: Instance, subset: IntArray) -> bool:
    return instance.smallest_size <= subset.size <= instance.largest_size


def _rounded_up(value: Fraction) -> float:
    nearest = float(value)
    return nearest if Fraction(nearest) >= value else math.nextafter(nearest, math.inf)


def _rescaled(bound: float, shift: int) -> float:
    return math.ldexp(bound, -shift) if math.isfinite(bound) else 0.0
