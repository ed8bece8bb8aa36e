"""OR-Tools CP-SAT on scaled integers: a general solver that proves what it can."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from ortools.sat.python import cp_model

from sslth.errors import InvalidInputError
from sslth.subset_sum.exact_errors import best_exactly
from sslth.subset_sum.fixed_point import FixedPoint, equal_rows, to_fixed_point
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import Outcome, StoppedBy
from sslth.subset_sum.solvers.starting_subset import starting_subset
from sslth.subset_sum.verify import verify

__all__ = ["CpSat"]

IntArray = npt.NDArray[np.int64]

_LARGEST_ENTRIES = 100_000
_BITS = (55, 50, 44, 36)  # of a column's sum; CP-SAT needs room to add and negate in int64
_WORK_PER_UNIT = 100_000_000  # partial sums that one unit of CP-SAT's deterministic time stands for
_SECONDS_PER_LOOK = 0.02
_LARGEST_EXACT_FLOAT = 2**53
_MOST_CANDIDATES = 1000


@dataclass(frozen=True)
class CpSat:
    """Let CP-SAT minimise the sup norm as one integer variable.

    Idea: rows and target are rounded to a power-of-two grid on which CP-SAT's int64 arithmetic cannot overflow,
    a Boolean says whether a row is chosen, and the error is an integer above every |coordinate|; the search is
    clause learning over integer bounds [PerronDidier]_. Errors are recomputed, and the solver's bound is lowered
    by the rounding of the grid. Before a proof is claimed, all subsets within that rounding of the optimum are
    listed by a second search and compared exactly. That the two searches were exhaustive is CP-SAT's word.

    Cost exponential in n; 0.3 s at n = 20, d = 2; beyond n = 40 a proof needs luck. It shines where the entries are
    small integers or the sizes are tight. `max_work` becomes deterministic time, one unit (about a
    second) for 1e8 partial sums, and is repeatable with one worker; a time limit is not.

    Fails for n * d > 100,000: `InvalidInputError`.

    Parameters
    ----------
    workers : int
        Threads; with more than one, answers within a limit are no longer repeatable.
    hints : bool
        Start from the subset of the pursuits, else from a greedy one.
    log : bool
        CP-SAT's own log, on the standard output.

    References
    ----------
    .. [PerronDidier] L. Perron, F. Didier, "CP-SAT", Google OR-Tools.
       https://developers.google.com/optimization/cp/cp_solver

    Examples
    --------
    >>> CpSat()(Instance([[1.0], [2.0], [4.0]], [5.5]), Limits()).subset
    array([0, 2])
    """

    workers: int = 1
    hints: bool = True
    log: bool = False

    @property
    def name(self) -> str:
        """The registry name."""
        return "cp_sat"

    def __call__(self, instance: Instance, limits: Limits) -> Outcome:
        """Search until the optimum is proven, or a limit or the tolerance is reached.

        Raises
        ------
        InvalidInputError
            If the instance has more than 100,000 entries.
        """
        if instance.n * instance.d > _LARGEST_ENTRIES:
            raise InvalidInputError(
                f"cp_sat takes at most {_LARGEST_ENTRIES:,} entries, but the instance has n * d ="
                f' {instance.n * instance.d:,}; use solver="sorted_pursuit", or solver="auto"'
            )
        return _Run(instance, limits, self).outcome()


@dataclass
class _Run:
    instance: Instance
    limits: Limits
    settings: CpSat
    start_work: int = 0
    deterministic_time: float = 0.0
    found: list[tuple[int, IntArray]] = field(default_factory=list)  # integer errors and subsets
    status: str = "not started"

    @property
    def work(self) -> int:
        """Partial sums so far, CP-SAT's time converted."""
        return self.start_work + round(self.deterministic_time * _WORK_PER_UNIT)

    def outcome(self) -> Outcome:
        start, self.start_work = starting_subset(self.instance, self.limits, self.settings.hints)
        for bits in _BITS:
            grid = to_fixed_point(self.instance, bits)
            model = _Model(self.instance, grid)
            model.minimise(start)
            if not model.cp.validate():
                break
        else:
            raise InvalidInputError(f"CP-SAT cannot take {self.instance!r}: {model.cp.validate()}")
        self.found.append((grid.error(start), start))
        stopped, proven = self._search(model)
        limit = min(error for error, _ in self.found) + 2 * grid.slack
        near = [subset for error, subset in self.found if error <= limit]
        if stopped is StoppedBy.TOLERANCE:
            subset = self.found[-1][1]
        else:
            subset = near[0] if len(near) == 1 else best_exactly(self.instance, near)[0]
        return Outcome(
            subset=subset,
            stopped_by=stopped,
            lower_bound=grid.lower_bound(proven),
            work=self.work,
            details={"candidates": len(near), "slack": grid.slack, "cp_sat_status": self.status},
        )

    def _search(self, model: _Model) -> tuple[StoppedBy, int]:
        """Why it ended, and an integer error below which CP-SAT proved that there is no subset."""
        grid = model.grid
        if self._is_within_tolerance(*self.found[0], grid):
            return StoppedBy.TOLERANCE, grid.floor
        if grid.slack == 0 and self.found[0][0] == grid.floor:
            return StoppedBy.PROOF, grid.floor

        def keep(subset: IntArray) -> bool:
            error = grid.error(subset)
            self.found.append((error, subset))
            return self._is_within_tolerance(error, subset, grid)

        bound, stopped = self._solve(model, keep, enumerate_all=False)
        best = min(error for error, _ in self.found)
        proven = min(best, max(grid.floor, bound))
        if stopped is not None:
            return stopped, proven
        if grid.slack == 0 and best <= _LARGEST_EXACT_FLOAT:
            return StoppedBy.PROOF, best
        # floats of that size, or the grid, hide what is nearer than this: list everything that may be a minimiser
        bound = best + grid.band
        listed: list[IntArray] = []

        def collect(subset: IntArray) -> bool:
            listed.append(subset)
            return len(listed) >= _MOST_CANDIDATES or self._is_within_tolerance(grid.error(subset), subset, grid)

        if bound < grid.floor:
            return StoppedBy.PROOF, best
        second = _Model(self.instance, grid)
        second.confine(bound)
        _, stopped = self._solve(second, collect, enumerate_all=True)
        self.found.extend((grid.error(subset), subset) for subset in listed)
        better = min(error for error, _ in self.found) < best
        if better or (grid.slack and not listed and stopped is None):  # the two searches contradict each other
            return stopped or StoppedBy.DONE, grid.floor
        if stopped is not None:
            return stopped, proven
        return StoppedBy.PROOF, min(error for error, _ in self.found)

    def _is_within_tolerance(self, error: int, subset: IntArray, grid: FixedPoint) -> bool:
        tolerance = self.limits.tolerance
        if tolerance is None or error > grid.points(tolerance) + grid.slack:
            return False
        return self.limits.is_met_by(verify(self.instance, subset).error)

    def _solve(
        self, model: _Model, on_subset: Callable[[IntArray], bool], enumerate_all: bool
    ) -> tuple[int, StoppedBy | None]:
        """CP-SAT's bound on the objective and why it stopped short of its proof, if it did.

        It runs in a thread of its own, so that this one hears Ctrl-C and looks at the clock.
        """
        solver = cp_model.CpSolver()
        limits = self.limits
        stopped = limits.exceeded(self.work)
        if stopped is not None:
            return 0, stopped
        solver.parameters.num_workers = 1 if enumerate_all else self.settings.workers
        solver.parameters.log_search_progress = self.settings.log
        solver.parameters.random_seed = limits.seed % 2**31
        solver.parameters.catch_sigint_signal = False
        solver.parameters.enumerate_all_solutions = enumerate_all
        solver.parameters.cp_model_presolve = False  # it loses optima: docs/decisions/0004-cp-sat-presolve.md
        solver.parameters.absolute_gap_limit = 0.0
        seconds, work = limits.seconds_left(), limits.work_left(self.work)
        if seconds is not None:
            solver.parameters.max_time_in_seconds = seconds + _SECONDS_PER_LOOK  # it stops a little early
        if work is not None:
            solver.parameters.max_deterministic_time = work / _WORK_PER_UNIT
        reporter = _Reporter(model, on_subset)
        answer: list[Any] = []  # its type differs among versions of OR-Tools
        failure: list[BaseException] = []

        def run() -> None:
            try:
                answer.append(solver.solve(model.cp, reporter))
            except BaseException as error:  # carried to the caller's thread
                failure.append(error)

        thread = threading.Thread(target=run, name="cp_sat", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(_SECONDS_PER_LOOK)
                stopped = limits.exceeded() or stopped
                if stopped is not None:
                    solver.stop_search()
        finally:
            solver.stop_search()
            thread.join()
        if failure:
            raise failure[0]
        self.status = str(solver.status_name(answer[0]))
        self.deterministic_time += float(solver.response_proto.deterministic_time)
        bound = 0
        if not enumerate_all and answer[0] in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            bound = _whole_below(float(solver.best_objective_bound))
        if reporter.wants_to_stop:
            if limits.tolerance is not None and verify(self.instance, reporter.last).error <= limits.tolerance:
                return bound, StoppedBy.TOLERANCE
            return bound, StoppedBy.DONE
        if answer[0] == cp_model.OPTIMAL or (enumerate_all and answer[0] == cp_model.INFEASIBLE):
            return bound, None
        if stopped is None:
            stopped = limits.exceeded(self.work)
        if stopped is None and limits.time_limit is not None:
            stopped = StoppedBy.TIME  # CP-SAT's own clock was a little ahead
        if stopped is None:
            stopped = StoppedBy.DONE if limits.max_work is None else StoppedBy.WORK
        return bound, stopped


class _Model:
    """The Booleans and constraints of an instance on a grid; of equal rows the first are chosen first."""

    def __init__(self, instance: Instance, grid: FixedPoint) -> None:
        self.grid = grid
        self.cp = cp_model.CpModel()
        groups = equal_rows(instance)
        self.rows: IntArray = np.concatenate([np.empty(0, dtype=np.int64), *groups])
        self.chosen = [self.cp.new_bool_var("") for _ in self.rows]
        start = 0
        for group in groups:
            for index in range(start + 1, start + group.size):
                self.cp.add_implication(self.chosen[index], self.chosen[index - 1])
            start += group.size
        smallest, largest = instance.smallest_size, min(instance.largest_size, self.rows.size)
        if smallest > 0 or largest < self.rows.size:
            self.cp.add_linear_constraint(sum(self.chosen), smallest, largest)
        self.sums = [
            cp_model.LinearExpr.weighted_sum(self.chosen, grid.rows[self.rows, column].tolist())
            for column in range(instance.d)
        ]

    def minimise(self, start: IntArray) -> None:
        """Minimise the sup norm, starting from a subset."""
        largest = self.grid.error(start)
        error = self.cp.new_int_var(min(self.grid.floor, largest), largest, "error")
        for total, goal in zip(self.sums, self.grid.target.tolist(), strict=True):
            self.cp.add(total - error <= goal)
            self.cp.add(total + error >= goal)
        self.cp.minimize(error)
        wanted = np.isin(self.rows, start)
        for variable, hint in zip(self.chosen, wanted.tolist(), strict=True):
            self.cp.add_hint(variable, hint)
        self.cp.add_hint(error, largest)

    def confine(self, bound: int) -> None:
        """Allow sup norms up to a bound, without an objective."""
        for total, goal in zip(self.sums, self.grid.target.tolist(), strict=True):
            self.cp.add_linear_constraint(total, goal - bound, goal + bound)


class _Reporter(cp_model.CpSolverSolutionCallback):
    """Hands every subset that CP-SAT finds on, and stops the search when told to."""

    def __init__(self, model: _Model, on_subset: Callable[[IntArray], bool]) -> None:
        super().__init__()
        self._model = model
        self._on_subset = on_subset
        self.wants_to_stop = False
        self.last: IntArray = np.empty(0, dtype=np.int64)

    def on_solution_callback(self) -> None:
        """Called by CP-SAT in its own thread."""
        if self.wants_to_stop:
            return
        values = [self.boolean_value(variable) for variable in self._model.chosen]
        self.last = np.sort(self._model.rows[np.array(values, dtype=np.bool_)])
        if self._on_subset(self.last):
            self.wants_to_stop = True
            self.stop_search()


def _whole_below(bound: float) -> int:
    """A whole number that is surely at most the integer whose nearest float is `bound`."""
    if not math.isfinite(bound) or bound <= 0:
        return 0
    slip = 0 if bound < _LARGEST_EXACT_FLOAT else math.ceil(bound * 2.0**-52)
    return max(0, math.floor(bound) - slip)
