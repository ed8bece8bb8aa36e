"""Many instances in one call: checked together, small ones searched together, the others one after the other."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sslth.errors import InvalidInputError
from sslth.subset_sum.instance import FloatArray, Instance, _as_float64, _check_finite
from sslth.subset_sum.kernels.many import (
    BY_TOLERANCE,
    FAR,
    LEFT,
    PROVEN,
    put_rows_on_grid,
    recompute_errors,
)
from sslth.subset_sum.kernels.many_lines import answer_lines, place_targets, search_sorted_sums, write_sorted_answers
from sslth.subset_sum.kernels.many_windows import answer_windows
from sslth.subset_sum.limits import Limits, Norm, interruptible
from sslth.subset_sum.per_coordinate import checked_tolerances, is_per_coordinate, solve_per_coordinate
from sslth.subset_sum.solution import Solution, Solutions, Status
from sslth.subset_sum.solve import checked_limits, solve_within
from sslth.subset_sum.solvers import REGISTRY, Solver, make_solver
from sslth.subset_sum.verify import verify

__all__ = ["solve_many"]

IntArray = npt.NDArray[np.int64]

_EXACT = ("auto", "brute_force", "meet_in_the_middle")  # what they prove is found here as well
_SHORTEST_TIME_LIMIT = 0.1  # seconds; no instance that is searched here takes as long
_PIECE = 0.02  # seconds between two chances for Ctrl-C
_LARGEST_N = 40
_LARGEST_NUMBERS = 1 << 23  # in both halves
_MOST_PAIRS = 1 << 18  # that are compared for one target; beyond that the cells of `meet_in_the_middle` are faster


def solve_many(
    samples: npt.ArrayLike,
    targets: npt.ArrayLike,
    cardinality: int | None = None,
    max_cardinality: int | None = None,
    solver: str | Solver = "auto",
    tolerance: float | npt.ArrayLike | None = None,
    time_limit: float | None = 10.0,
    max_work: int | None = None,
    seed: int = 0,
    norm: str = "sup",
) -> Solutions:
    """Solve for many targets, over shared samples or one sample array a target.

    Parameters
    ----------
    samples : float64[n, d] or float64[m, n, d]
    targets : float64[m, d]
    cardinality, max_cardinality : int, optional
        As in `Instance`, the same for all.
    solver, tolerance, time_limit, max_work, seed, norm
        As in `solve`; the limits are those of each target.

    Returns
    -------
    Solutions
        `.masks` bool[m, n], `.errors` float64[m], `.lower_bounds` float64[m], `.statuses` list; `[i]` is a Solution.

    Raises
    ------
    InvalidInputError
        As `Instance` and `solve`, and for shapes that do not fit.
    KeyboardInterrupt
        On Ctrl-C: an array of answers with holes would be worse than none.

    Notes
    -----
    Errors and statuses are those of `solve`, one by one, but of subsets with equal errors another may be returned,
    and with a tolerance another one within it.

    For "auto", "meet_in_the_middle" and "brute_force" small instances (n <= 40 at d = 1, 34 at d = 2, 26 at
    d = 3, 20 at d = 9) are searched together by meet in the middle on integers [HorowitzSahni1974]_. At d = 1, any
    number of rows: two sorted halves and two pointers, 10 µs at n = 21; with a tolerance the first rows alone are tried
    first, 1 µs at .01. Many targets of the same samples are looked up in one sorted list of up to 2^21 sums, below
    1 µs each. Otherwise all pairs of sums within a window of one column are compared. Where another subset lies
    within the rounding of the integers of the best one, `solve` decides. Every error is recomputed exactly.
    Memory: the samples once, 24 bytes for each of 2^(n/2 + 1) sums, and n + 50 bytes an answer.

    Everything else goes through `solve`, one target after the other: other solvers, larger instances, and limits so
    small that they could matter (a `time_limit` below 0.1 s, a `max_work` below 2^(n + 4)).

    .. [HorowitzSahni1974] E. Horowitz, S. Sahni, "Computing partitions with applications to the knapsack problem",
       Journal of the ACM 21, 1974. doi:10.1145/321812.321823

    Examples
    --------
    >>> answers = solve_many([[1.0], [2.0], [4.0]], [[3.0], [5.0]])
    >>> answers.masks.astype(int).tolist(), answers.errors.tolist()
    ([[1, 1, 0], [1, 0, 1]], [0.0, 0.0])
    """
    rows, goals, template = _checked_arrays(samples, targets, cardinality, max_cardinality)
    per_coordinate = is_per_coordinate(tolerance)
    limits = checked_limits(None if per_coordinate else tolerance, time_limit, max_work, seed, norm)
    chosen = make_solver(solver)
    many = Solutions.empty(goals.shape[0], template.n)
    left: npt.NDArray[Any] = np.arange(goals.shape[0])
    if not per_coordinate and _may_search_together(template, chosen, limits):
        search = _Together(rows, goals, template, limits, many)
        left = search.run()
    singles: dict[int, Solution] = {}
    for index in left.tolist():
        limits = checked_limits(None if per_coordinate else tolerance, time_limit, max_work, seed, norm)
        instance = _instance(template, rows, goals, index)
        with interruptible(limits):
            if per_coordinate:
                tolerances = checked_tolerances(tolerance, instance.d)
                singles[index] = solve_per_coordinate(instance, chosen, tolerances, limits, solve_within)
            else:
                singles[index] = solve_within(instance, chosen, limits)
        if limits.interrupted.is_set():
            raise KeyboardInterrupt
    return Solutions(**many, solver="meet_in_the_middle", singles=singles)


# ---------------------------------------------------------------------------------------- checking


def _checked_arrays(
    samples: npt.ArrayLike, targets: npt.ArrayLike, cardinality: int | None, max_cardinality: int | None
) -> tuple[FloatArray, FloatArray, Instance]:
    """float64[m or 1, n, d], float64[m, d], read-only, and the first instance."""
    rows, goals = _as_array(samples, "samples"), _as_array(targets, "targets")
    if goals.ndim != 2 or goals.shape[0] == 0:
        raise InvalidInputError(f"targets has shape {goals.shape}; it must be (m, d) with at least one target")
    if rows.ndim not in (2, 3):
        raise InvalidInputError(f"samples has shape {rows.shape}; it must be (n, d) or (m, n, d)")
    if rows.ndim == 3 and rows.shape[0] != goals.shape[0]:
        raise InvalidInputError(f"samples has {rows.shape[0]} arrays but targets has {goals.shape[0]} rows")
    many = rows.ndim == 3
    rows, goals = _as_float64(rows, "samples"), _as_float64(goals, "targets")
    # shapes and counts are checked on zeros: NaN and infinity are named by their place in the whole array
    shape = rows.shape[1:] if many else rows.shape
    shape = shape if 0 in shape else (1, shape[1])
    template = Instance(np.zeros(shape), np.zeros(goals.shape[1:]), cardinality, max_cardinality)
    _check_finite(rows, "samples")
    _check_finite(goals, "targets")
    if not many:
        rows = rows[None]
    with np.errstate(over="ignore"):
        reach = np.add.reduce(np.abs(rows), axis=1) + np.abs(goals)
    if not np.isfinite(reach).all():
        target, column = np.argwhere(~np.isfinite(reach))[0].tolist()
        raise InvalidInputError(
            f"the sums of column {column} for target {target} overflow float64; scale samples and targets down"
        )
    rows.flags.writeable = goals.flags.writeable = False
    return rows, goals, _instance(template, rows, goals, 0)


def _as_array(values: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    try:
        return np.asarray(values)
    except (TypeError, ValueError):
        raise InvalidInputError(f"{name} is not a rectangular array of numbers") from None


def _instance(template: Instance, rows: FloatArray, goals: FloatArray, index: int) -> Instance:
    """One of the instances, without checking and copying its arrays again."""
    instance = copy.copy(template)
    object.__setattr__(instance, "target", goals[index])
    object.__setattr__(instance, "samples", rows[min(index, rows.shape[0] - 1)])
    return instance


def _may_search_together(template: Instance, chosen: Solver, limits: Limits) -> bool:
    """Whether the exact search of many is what the solver would have found, within the limits of each."""
    n, d = template.n, template.d
    return (
        chosen.name in _EXACT
        and chosen == REGISTRY[chosen.name].make()
        and REGISTRY[chosen.name].refusal(template, limits.norm) is None
        and limits.norm is Norm.SUP
        and template.is_feasible
        and n <= _LARGEST_N
        and d << (n // 2 + 1) <= _LARGEST_NUMBERS
        and 2.0 ** (n - n / d) <= _MOST_PAIRS  # 2^n pairs, windows of relative width 2^(-n / d)
        and (limits.time_limit is None or limits.time_limit >= _SHORTEST_TIME_LIMIT)
        and (limits.max_work is None or limits.max_work >= 1 << (n + 4))  # no search of n rows works so much
    )


# --------------------------------------------------------------------------------------- searching


@dataclass
class _Together:
    """One search for all instances; fills the arrays of `Solutions` and says which instances are left."""

    rows: FloatArray
    goals: FloatArray
    template: Instance
    limits: Limits
    many: dict[str, Any]

    def run(self) -> IntArray:
        """The places of the instances that must be looked at one by one."""
        m = self.goals.shape[0]
        self.outcomes = np.full(m, LEFT, dtype=np.int8)
        self.rounded = np.zeros(m, dtype=np.int8)
        self.tolerance = -1.0 if self.limits.tolerance is None else self.limits.tolerance
        template = self.template
        if template.d == 1 and template.smallest_size == 0 and template.largest_size == template.n:
            length = _sorted_list_rows(template.n, m) if self.rows.shape[0] == 1 else None
            if length is None:
                self._search_lines()
            else:
                self._search_sorted(length)
        else:
            self._search_windows()
        self._settle()
        return np.flatnonzero(self.outcomes == LEFT)

    def _search_lines(self) -> None:
        size = 2 << (self.template.n // 2)
        keys, codes = np.zeros((2, size), dtype=np.int64), np.zeros((2, size), dtype=np.int32)
        masks, work = self.many["masks"], self.many["work"]

        def search(start: int, stop: int) -> None:
            answer_lines(self.rows, self.goals, self.tolerance, keys, codes, masks, self.outcomes, work, start, stop)
            self._verify(start, stop)

        self._in_pieces(search)

    def _search_windows(self) -> None:
        n, d = self.template.n, self.template.d
        smallest, largest = self.template.smallest_size, self.template.largest_size
        size = 1 << (n // 2)
        keys, codes = np.zeros((2, 2 * size), dtype=np.int64), np.zeros((2, 2 * size), dtype=np.int32)
        rest, counts = np.zeros((2, size, d - 1), dtype=np.int64), np.zeros((2, size), dtype=np.int64)
        share = 0.5 if smallest == 0 else smallest / n
        share = min(share, largest / n) if largest else 0.5
        log_subsets = math.log(sum(math.comb(n, k) for k in range(smallest, largest + 1)))
        masks, work = self.many["masks"], self.many["work"]

        def search(start: int, stop: int) -> None:
            answer_windows(
                self.rows, self.goals, smallest, largest, share, log_subsets, self.tolerance,
                keys, codes, rest, counts, masks, self.outcomes, work, start, stop,
            )  # fmt: skip
            self._verify(start, stop)

        self._in_pieces(search)

    def _search_sorted(self, length: int) -> None:
        """Shared samples, one column: the sums of the first rows as one sorted list, those of the others one by one."""
        m, n = self.many["masks"].shape
        started = time.perf_counter()
        rows = np.empty((n, 1), dtype=np.int64)
        exponent, worst = put_rows_on_grid(self.rows[0], rows)
        keys, codes = _sorted_sums(rows[:length, 0])
        others = _sums(rows[length:, 0])
        wants, points, slacks = np.zeros((3, m), dtype=np.int64)
        place_targets(self.goals, rows, exponent, worst, self.tolerance, wants, points, slacks)
        order = np.argsort(wants, kind="stable")
        wants, points, slacks = wants[order], points[order], slacks[order]
        best, second = np.full((2, m), FAR, dtype=np.int64)
        at_key, at_other = np.zeros((2, m), dtype=np.int64)
        masks = self.many["masks"]

        def search(start: int, stop: int) -> None:
            search_sorted_sums(keys, others, wants, points, slacks, best, second, at_key, at_other, start, stop)
            write_sorted_answers(
                order, best, second, slacks, points, codes, at_key, at_other, self.outcomes, masks, start, stop
            )

        self._in_pieces(search, first=_BLOCK)
        self._in_pieces(self._verify, first=_BLOCK)
        self.many["work"][:] = others.size * length  # steps of a binary search
        self.many["seconds"][:] = (time.perf_counter() - started) / m

    def _in_pieces(self, step: Callable[[int, int], None], first: int = 16) -> None:
        """Call step(start, stop) for pieces of the instances that take some hundredths of a second."""
        m, start, size = self.goals.shape[0], 0, first
        while start < m:
            stop = min(m, start + size)
            begun = time.perf_counter()
            step(start, stop)
            seconds = time.perf_counter() - begun
            self.many["seconds"][start:stop] = seconds / (stop - start)
            if seconds < _PIECE / 2:
                size *= 2
            elif seconds > 2 * _PIECE:
                size = max(1, size // 2)
            start = stop

    def _verify(self, start: int, stop: int) -> None:
        recompute_errors(self.rows, self.goals, self.many["masks"], self.many["errors"], self.rounded, start, stop)

    def _settle(self) -> None:
        """Errors that double-double arithmetic could not give, statuses and bounds; doubts go to `solve`."""
        errors, outcomes = self.many["errors"], self.outcomes
        for index in np.flatnonzero((self.rounded == 2) & (outcomes != LEFT)).tolist():
            instance = _instance(self.template, self.rows, self.goals, index)
            errors[index] = verify(instance, np.flatnonzero(self.many["masks"][index])).error
        by_tolerance = outcomes == BY_TOLERANCE
        outcomes[by_tolerance & (errors > self.tolerance)] = LEFT  # the last step of the grid decides
        self.many["by_tolerance"][:] = by_tolerance
        statuses = list(Status)
        codes = np.where(by_tolerance & (errors > 0), statuses.index(Status.WITHIN_TOLERANCE), 0)
        self.many["status_codes"][:] = codes + statuses.index(Status.OPTIMAL)
        tight = (outcomes == PROVEN) & (self.rounded == 0)
        bounds = np.where(tight, errors, np.nextafter(errors, 0.0))
        self.many["lower_bounds"][:] = np.where(by_tolerance, 0.0, bounds)


_BLOCK = 4096  # targets that pass through the sorted list together
_LONGEST_LIST = 21


def _sorted_list_rows(n: int, m: int) -> int | None:
    """How many rows the sorted list should hold for m targets; None where two pointers are faster.

    A measured rule: nanoseconds a sum that is sorted, a target that is looked up, and a step of two pointers.
    """
    block = min(m, _BLOCK)

    def cost(length: int) -> float:
        gap = 2.0**length / block
        return 60.0 * 2.0**length + m * 2.0 ** (n - length) * (4.0 + 5.0 * math.log2(1.0 + gap))

    best = min(range(1, min(n, _LONGEST_LIST) + 1), key=cost)
    two_pointers = 8.0 * 2.0 ** (n // 2) + m * 2.0 * (1 + n % 2) * 2.0 ** (n // 2)
    return best if cost(best) < two_pointers else None


def _sums(rows: IntArray) -> IntArray:
    """All subset sums, int64[2**k], by code."""
    sums: IntArray = np.zeros(1, dtype=np.int64)
    for row in rows:
        sums = np.concatenate([sums, sums + row])
    return sums


def _sorted_sums(rows: IntArray) -> tuple[IntArray, npt.NDArray[np.int32]]:
    """All subset sums in order, and which rows are in each: two sorted runs a row, which a stable sort merges."""
    keys: IntArray = np.zeros(1, dtype=np.int64)
    codes: npt.NDArray[np.int32] = np.zeros(1, dtype=np.int32)
    for bit, row in enumerate(rows):
        both = np.concatenate([keys, keys + row])
        order = np.argsort(both, kind="stable")
        keys, codes = both[order], np.concatenate([codes, codes | np.int32(1 << bit)])[order]
    return keys, codes
