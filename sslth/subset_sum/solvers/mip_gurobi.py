"""One mixed-integer program through gurobipy, ended from this thread when a limit is reached."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

import numpy as np

from sslth.errors import InvalidInputError
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import StoppedBy
from sslth.subset_sum.solvers.mip_worker import Answer, Job

__all__ = ["GUROBI", "run_gurobi"]

GUROBI = "gurobi"

_FEASIBILITY = 1e-9
_SECONDS_PER_LOOK = 0.02
_LARGEST_SEED = 2_000_000_000
_BEYOND_THE_LICENCE, _NO_LICENCE = 10010, 10009
_STATUS = {2: "optimal", 8: "node", 9: "time", 11: "interrupted"}


def run_gurobi(job: Job, limits: Limits) -> tuple[Answer, StoppedBy | None]:
    """What Gurobi claims, and the limit that ended it; None if it came to its own end.

    Raises
    ------
    InvalidInputError
        If there is no licence, or the model is beyond it.
    """
    import gurobipy

    try:
        with gurobipy.Env(empty=True) as environment:
            environment.setParam("OutputFlag", int(job.log))  # before the start, which announces the licence
            environment.start()
            with gurobipy.Model(env=environment) as model:
                chosen = _build(model, job)
                reached = _optimize(model, limits)
                rows = np.flatnonzero(np.asarray(chosen.X) > 0.5) if model.SolCount else None
                answer = Answer(
                    rows, float(model.ObjBound), _STATUS.get(model.Status, str(model.Status)), int(model.NodeCount)
                )
    except gurobipy.GurobiError as error:
        if error.errno == _BEYOND_THE_LICENCE:
            n, d = job.rows.shape
            raise InvalidInputError(
                f"mip_gurobi: n = {n}, d = {d} is beyond the Gurobi licence that was found; the one in the package"
                ' ends at 2,000 variables (n + 1) and constraints (2 d); use solver="mip_highs"'
            ) from None
        if error.errno == _NO_LICENCE:
            raise InvalidInputError(f"mip_gurobi: {error}") from None
        raise
    if answer.status == "optimal":
        return answer, None
    return answer, reached or {"node": StoppedBy.WORK, "time": StoppedBy.TIME}.get(answer.status)


def _build(model: Any, job: Job) -> Any:
    n = job.rows.shape[0]
    chosen = model.addMVar(n, vtype="B")
    error = model.addMVar(1, lb=job.floor)
    ones = np.ones((job.rows.shape[1], 1))
    model.addConstr(job.rows.T @ chosen - ones @ error <= job.target)
    model.addConstr(job.rows.T @ chosen + ones @ error >= job.target)
    if job.smallest > 0:
        model.addConstr(chosen.sum() >= job.smallest)
    if job.largest < n:
        model.addConstr(chosen.sum() <= job.largest)
    model.setObjective(error.sum())
    start = np.zeros(n)
    start[job.start] = 1.0
    chosen.Start = start
    parameters = model.Params
    parameters.Threads = job.threads
    parameters.Seed = job.seed % _LARGEST_SEED
    parameters.MIPGap = parameters.MIPGapAbs = 0.0
    parameters.FeasibilityTol = parameters.IntFeasTol = parameters.OptimalityTol = _FEASIBILITY
    if job.nodes >= 0:
        parameters.NodeLimit = job.nodes
    if math.isfinite(job.ends_at):
        parameters.TimeLimit = max(0.0, job.ends_at - time.monotonic())
    return chosen


def _optimize(model: Any, limits: Limits) -> StoppedBy | None:
    """Optimise in a thread of its own, so that this one hears Ctrl-C and looks at the clock."""
    failure: list[BaseException] = []

    def work() -> None:
        try:
            model.optimize()
        except BaseException as error:  # carried to the caller's thread
            failure.append(error)

    thread = threading.Thread(target=work, name="mip_gurobi", daemon=True)
    thread.start()
    reached: StoppedBy | None = None
    try:
        while thread.is_alive():
            thread.join(_SECONDS_PER_LOOK)
            reached = limits.exceeded() or reached
            if reached is not None:
                model.terminate()
    finally:
        model.terminate()
        thread.join()
    if failure:
        raise failure[0]
    return reached
