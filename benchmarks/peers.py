"""What else can be installed that solves an instance: one function a peer, written as its own user would write it.

Every function takes an instance, a time limit in seconds and a number of threads, and returns what the peer claims.
Nothing here comes from our solvers; errors are for the caller to recompute.
"""

from __future__ import annotations

import datetime
import math
import time
from importlib.util import find_spec

import numpy as np

from benchmarks.peer_answer import IntArray, Peer, PeerAnswer, seconds_left
from benchmarks.peers_by_partition import (
    numberpartitioning_ckk,
    numberpartitioning_kk,
    prtpy_cbldm,
    prtpy_complete_greedy,
    prtpy_kk,
)
from sslth.subset_sum.instance import Instance

__all__ = ["LEFT_OUT", "PEERS", "why_not"]

_LARGEST_ENTRIES = 100_000
_FREE_LICENCE = 2_000  # variables, and constraints, of Gurobi's licence that comes with the package
_RECURSION = 900  # items that prtpy's recursive algorithms take
_CP_SAT_BITS, _FLSSS_BITS, _DYNAMIC_BITS = 50, 50, 20

LEFT_OUT = {
    "dpss": "lists every subset of an exact integer sum, with no time limit: real rows have none or millions",
    "subsetsum": "its source does not build with current compilers; lists exact sums of positive integers",
    "partition": "a program for the command line; its algorithms are those of numberpartitioning",
    "Gurobi through OR-Tools": "OR-Tools 9.15 does not find the library in gurobipy; run through gurobipy instead",
}


def why_not(peer: str, instance: Instance) -> str | None:
    """Why a peer does not run on an instance, in words; None if it does."""
    for name in _PACKAGES[peer]:
        if find_spec(name) is None:
            return f"the package {name} is not installed"
    n, d = instance.n, instance.d
    sized = instance.cardinality is not None or instance.max_cardinality is not None
    if n * d > _LARGEST_ENTRIES:
        return f"n * d = {n * d:,} is more than peers are given ({_LARGEST_ENTRIES:,})"
    if peer == "gurobi" and max(n + 1, 2 * d + sized) > _FREE_LICENCE and _has_free_licence_only():
        return f"the free licence ends at {_FREE_LICENCE:,} variables and constraints"
    if peer in _ONE_DIMENSION:
        if d != 1:
            return "knows one dimension only"
        if sized:
            return "knows no subset size"
    if peer in _RECURSIVE and n > _RECURSION:
        return f"recursive: at most about {_RECURSION} items"
    return None


def cp_sat(instance: Instance, time_limit: float, threads: int = 1, presolve: bool = True) -> PeerAnswer:
    """CP-SAT on integers scaled to 50 bits."""
    from ortools.sat.python import cp_model

    started = time.perf_counter()
    scale, rows, target = _integers(instance, _CP_SAT_BITS)
    model = cp_model.CpModel()
    chosen = [model.new_bool_var(f"x{index}") for index in range(instance.n)]
    error = model.new_int_var(0, 2**_CP_SAT_BITS, "error")
    for column in range(instance.d):
        total = cp_model.LinearExpr.weighted_sum(chosen, rows[:, column].tolist())
        model.add(total - int(target[column]) <= error)
        model.add(total - int(target[column]) >= -error)
    if instance.smallest_size > 0 or instance.largest_size < instance.n:
        model.add_linear_constraint(sum(chosen), instance.smallest_size, instance.largest_size)
    model.minimize(error)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds_left(started, time_limit)
    solver.parameters.num_workers = threads
    solver.parameters.cp_model_presolve = presolve
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return PeerAnswer(None, None, False, time.perf_counter() - started, solver.status_name(status))
    subset = np.flatnonzero([solver.boolean_value(variable) for variable in chosen])
    bound, optimal = solver.best_objective_bound / scale, status == cp_model.OPTIMAL
    return PeerAnswer(subset, bound, optimal, time.perf_counter() - started, solver.status_name(status))


def cp_sat_without_presolve(instance: Instance, time_limit: float, threads: int = 1) -> PeerAnswer:
    """CP-SAT with its presolve, which loses optima, switched off."""
    return cp_sat(instance, time_limit, threads, presolve=False)


def highs(instance: Instance, time_limit: float, threads: int = 1) -> PeerAnswer:
    """HiGHS through MathOpt, its default tolerances."""
    return _math_opt(instance, time_limit, threads, "HIGHS")


def scip(instance: Instance, time_limit: float, threads: int = 1) -> PeerAnswer:
    """SCIP through MathOpt, its default tolerances."""
    return _math_opt(instance, time_limit, threads, "GSCIP")


def _math_opt(instance: Instance, time_limit: float, threads: int, solver: str) -> PeerAnswer:
    from ortools.math_opt.python import mathopt

    started = time.perf_counter()
    model = mathopt.Model()
    chosen = [model.add_binary_variable() for _ in range(instance.n)]
    error = model.add_variable(lb=0.0)
    for column in range(instance.d):
        coefficients, goal = instance.samples[:, column].tolist(), float(instance.target[column])
        total = mathopt.fast_sum([value * variable for value, variable in zip(coefficients, chosen, strict=True)])
        model.add_linear_constraint(total - error <= goal)
        model.add_linear_constraint(total + error >= goal)
    if instance.smallest_size > 0 or instance.largest_size < instance.n:
        size = mathopt.fast_sum(chosen)
        model.add_linear_constraint(lb=instance.smallest_size, ub=instance.largest_size, expr=size)
    model.minimize(error)
    seconds = datetime.timedelta(seconds=seconds_left(started, time_limit))
    parameters = mathopt.SolveParameters(time_limit=seconds)
    if solver == "HIGHS":  # MathOpt refuses to pass its own count of threads on
        parameters.highs.int_options["threads"] = threads
    else:
        parameters.threads = threads
    result = mathopt.solve(model, mathopt.SolverType[solver], params=parameters)
    reason = result.termination.reason
    bound = float(result.termination.objective_bounds.dual_bound)
    subset = None
    if result.has_primal_feasible_solution():
        values = result.variable_values()
        subset = np.flatnonzero([values[variable] > 0.5 for variable in chosen])
    return PeerAnswer(
        subset,
        bound if math.isfinite(bound) else None,
        reason is mathopt.TerminationReason.OPTIMAL,
        time.perf_counter() - started,
        reason.name.lower(),
    )


def gurobi(instance: Instance, time_limit: float, threads: int = 1) -> PeerAnswer:
    """Gurobi through gurobipy, its default tolerances."""
    import gurobipy

    started = time.perf_counter()
    with gurobipy.Env(empty=True) as environment:
        environment.setParam("OutputFlag", 0)
        environment.start()
        with gurobipy.Model(env=environment) as model:
            chosen = model.addMVar(instance.n, vtype="B")
            error = model.addVar()
            for column in range(instance.d):
                total = instance.samples[:, column] @ chosen
                model.addConstr(total - error <= instance.target[column])
                model.addConstr(total + error >= instance.target[column])
            if instance.smallest_size > 0:
                model.addConstr(chosen.sum() >= instance.smallest_size)
            if instance.largest_size < instance.n:
                model.addConstr(chosen.sum() <= instance.largest_size)
            model.setObjective(error)
            model.Params.Threads = threads
            model.Params.TimeLimit = seconds_left(started, time_limit)
            model.optimize()
            subset = np.flatnonzero(np.asarray(chosen.X) > 0.5) if model.SolCount else None
            optimal = model.Status == gurobipy.GRB.OPTIMAL
            bound = float(model.ObjBound)
    seconds = time.perf_counter() - started
    version = ".".join(map(str, gurobipy.gurobi.version()))
    return PeerAnswer(subset, bound, optimal, seconds, f"gurobipy {version}")


def flsss(instance: Instance, time_limit: float, threads: int = 1) -> PeerAnswer:
    """The branch and bound of flsss: it finds subsets within a band; the band is halved until none is left."""
    from flsss import gen

    started = time.perf_counter()
    scale, rows, target = _integers(instance, _FLSSS_BITS)
    size, below = 0, []
    if instance.cardinality is not None:
        size = instance.cardinality
    elif instance.largest_size < instance.n:  # at most so many: one more column, of ones
        rows = np.column_stack([rows, np.ones(instance.n, dtype=np.int64)])
        below = [instance.largest_size]
    best: IntArray | None = np.empty(0, dtype=np.int64) if instance.smallest_size == 0 else None
    error = int(np.abs(target).max()) if best is not None else 2**_FLSSS_BITS
    proven = -1
    while error - proven > 1 and (instance.cardinality != 0) and (seconds := seconds_left(started, time_limit)) > 0.0:
        band = min(error - 1, max(proven + 1, (error + proven) // 2))
        low, high = np.append(target - band, [0] * len(below)), np.append(target + band, below)
        found = gen(rows, low, high, len=size, n_solutions=1, time_limit=seconds, n_threads=threads)
        left = seconds_left(started, time_limit)
        if found:
            best = np.sort(found[0].astype(np.int64))
            error = int(np.abs(rows[best, : instance.d].sum(axis=0) - target).max())
        elif left <= 0.05 * seconds:  # none, but for want of time
            break
        else:
            proven = band
    optimal = error - proven <= 1
    return PeerAnswer(best, max(0, proven) / scale, optimal, time.perf_counter() - started, "bands halved")


def approx_subsetsum(instance: Instance, time_limit: float, threads: int = 1) -> PeerAnswer:  # noqa: ARG001 - one thread
    """The dynamic program of approx_subsetsum, over positive integers of 20 bits."""
    from approx_subsetsum import TimeoutError as OutOfTime
    from approx_subsetsum import subsetsum

    started = time.perf_counter()
    _, rows, target = _integers(instance, _DYNAMIC_BITS)
    numbers, flipped = np.abs(rows[:, 0]), rows[:, 0] < 0
    capacity = int(target[0] - rows[flipped, 0].sum())  # a negative row left out counts as its opposite taken
    if not 0 < capacity < int(numbers.sum()):
        extreme = np.flatnonzero(flipped == (capacity <= 0))
        return PeerAnswer(extreme, None, False, time.perf_counter() - started, "target outside the sums")
    try:
        taken = subsetsum(numbers, capacity, timeout=seconds_left(started, time_limit), allow_higher=2**8)
    except OutOfTime:
        return PeerAnswer(None, None, False, time.perf_counter() - started, "out of time")
    mask = np.zeros(instance.n, dtype=np.bool_)
    mask[np.asarray(taken, dtype=np.int64)] = True
    return PeerAnswer(np.flatnonzero(mask ^ flipped), None, False, time.perf_counter() - started, "20 bits")


def _integers(instance: Instance, bits: int) -> tuple[float, IntArray, IntArray]:
    """A power of two, and rows and target times it, rounded; sums stay below 2**bits."""
    reach = float((np.abs(instance.samples).sum(axis=0) + np.abs(instance.target)).max())
    scale = 2.0 ** (bits - 1 - math.frexp(max(reach, 1e-290))[1])
    rows, target = np.rint(instance.samples * scale), np.rint(instance.target * scale)
    return scale, np.ascontiguousarray(rows, dtype=np.int64), target.astype(np.int64)


def _has_free_licence_only() -> bool:
    import gurobipy

    try:
        with gurobipy.Env(empty=True) as environment:
            environment.setParam("OutputFlag", 0)
            environment.start()
            with gurobipy.Model(env=environment) as model:
                model.addMVar(_FREE_LICENCE + 1)
                model.optimize()
    except gurobipy.GurobiError:
        return True
    return False


PEERS: dict[str, Peer] = {
    "cp_sat": cp_sat,
    "cp_sat_without_presolve": cp_sat_without_presolve,
    "highs": highs,
    "scip": scip,
    "gurobi": gurobi,
    "flsss": flsss,
    "approx_subsetsum": approx_subsetsum,
    "numberpartitioning_kk": numberpartitioning_kk,
    "numberpartitioning_ckk": numberpartitioning_ckk,
    "prtpy_kk": prtpy_kk,
    "prtpy_cbldm": prtpy_cbldm,
    "prtpy_complete_greedy": prtpy_complete_greedy,
}

_PACKAGES: dict[str, tuple[str, ...]] = {
    "cp_sat": ("ortools",),
    "cp_sat_without_presolve": ("ortools",),
    "highs": ("ortools",),
    "scip": ("ortools",),
    "gurobi": ("gurobipy",),
    "flsss": ("flsss",),
    "approx_subsetsum": ("approx_subsetsum",),
    "numberpartitioning_kk": ("numberpartitioning",),
    "numberpartitioning_ckk": ("numberpartitioning",),
    "prtpy_kk": ("prtpy",),
    "prtpy_cbldm": ("prtpy",),
    "prtpy_complete_greedy": ("prtpy",),
}
_ONE_DIMENSION = frozenset(name for name in PEERS if name.startswith(("approx", "number", "prtpy")))
_RECURSIVE = frozenset(name for name in PEERS if name in ("prtpy_cbldm", "numberpartitioning_ckk"))
