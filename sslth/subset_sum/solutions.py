"""The best subsets in order, not only the first."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.arguments import non_negative, whole_number
from sslth.subset_sum.exact.choose import choose_join
from sslth.subset_sum.exact.problem import HalvedProblem
from sslth.subset_sum.exact.top import TopCandidates
from sslth.subset_sum.exact_errors import exact_errors
from sslth.subset_sum.fixed_point import UNREACHABLE, FixedPoint, to_fixed_point
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import Solution, Status, StoppedBy
from sslth.subset_sum.verify import verify

__all__ = ["solutions"]

_MOST_SOLUTIONS = 1_000_000
_LISTED_AT_ONCE = 1 << 16
_SPARE_HITS = 12


def solutions(
    instance: Instance,
    tolerance: float | None = None,
    limit: int = 100,
    memory_bytes: int = 1 << 30,
    threads: int | None = None,
) -> list[Solution]:
    """List the subsets of smallest error in order: the best, the second best, and so on.

    Parameters
    ----------
    instance : Instance
        Subsets are sets of row indices: equal rows make different subsets of equal sum.
    tolerance : float, optional
        List only subsets whose error is at most this (inclusive); None lists whatever is best.
    limit : int
        At most so many, up to 10^6.
    memory_bytes, threads
        As in `MeetInTheMiddle`.

    Returns
    -------
    list of Solution
        Distinct, by rising exact error; of equal errors the smaller subset first, then the lexicographically first.
        Shorter than `limit` only if no more subsets are within the tolerance. The first is OPTIMAL. Where more than
        some 10^4 subsets tie for the last places, which of them are listed is arbitrary, but always the same.

    Raises
    ------
    InvalidInputError
        If the halves do not fit the memory.

    Notes
    -----
    Meet in the middle with a window that grows until it holds enough; cost as `meet_in_the_middle`, and
    O(limit k d) for the exact comparisons.

    Examples
    --------
    >>> rows = [[1.0], [2.0], [3.5]]
    >>> [(s.subset.tolist(), s.error) for s in solutions(Instance(rows, [3.2]), limit=3)]
    [([0, 1], 0.20000000000000018), ([2], 0.2999999999999998), ([1], 1.2000000000000002)]
    """
    tolerance = None if tolerance is None else non_negative(tolerance, "tolerance")
    limit = whole_number(limit, "limit", 1, _MOST_SOLUTIONS)
    if not instance.is_feasible:
        return []
    limits = Limits(tolerance=tolerance)
    grid = to_fixed_point(instance)
    problem = HalvedProblem.of(instance, grid, every_subset=True)
    join = choose_join(instance, problem, grid, limits, memory_bytes, threads, "solutions")
    join.build()
    most = UNREACHABLE if tolerance is None else min(UNREACHABLE, grid.points(tolerance) + grid.slack)
    top = TopCandidates(grid, limit)
    bound = _first_bound(instance, problem, grid, limit, most)
    while True:
        join.run_pass(top, bound, None)
        decisive = top.decisive()
        enough = decisive.size >= limit
        last = int(top.errors[decisive[limit - 1]]) + 2 * grid.slack if enough else most
        if bound >= min(last, most):
            break
        bound = min(most, last if enough else _wider(bound, grid.floor, limit / (1 + decisive.size), problem))
    subsets = [join.decode(int(a), int(b)) for a, b in top.codes[decisive].tolist()]
    return _in_order(instance, subsets, limits, limit, join.work)


def _first_bound(instance: Instance, problem: HalvedProblem, grid: FixedPoint, limit: int, most: int) -> int:
    sizes = range(instance.smallest_size, instance.largest_size + 1)
    if sum(math.comb(instance.n, size) for size in sizes) <= _LISTED_AT_ONCE:
        return most
    return min(most, problem.expected_error(grid.floor, 2.0 * limit + _SPARE_HITS)[0])


def _wider(bound: int, floor: int, missing: float, problem: HalvedProblem) -> int:
    factor = 1.2 * max(2.0, min(missing, 2.0**40)) ** (1.0 / problem.target.size)
    return floor + int((bound + 1 - floor) * factor) + 1


def _in_order(
    instance: Instance, subsets: list[npt.NDArray[np.int64]], limits: Limits, limit: int, work: int
) -> list[Solution]:
    ranked: list[tuple[Any, int, list[int], Any]] = []
    for subset, exact in zip(subsets, exact_errors(instance, subsets), strict=True):
        ranked.append((exact, subset.size, subset.tolist(), subset))
    ranked.sort(key=lambda entry: entry[:3])
    listed: list[Solution] = []
    for place, (_, _, _, subset) in enumerate(ranked[:limit]):
        certificate = verify(instance, subset)
        if limits.tolerance is not None and not limits.is_met_by(certificate.error):
            break
        best = listed[0].error if listed else certificate.error
        listed.append(
            Solution(
                n=instance.n,
                subset=certificate.subset,
                error=certificate.error,
                lower_bound=math.nextafter(best, 0.0) if best else 0.0,
                status=Status.OPTIMAL if certificate.error == best else _other_status(limits),
                solver="meet_in_the_middle",
                seconds=limits.seconds,
                stats={"stopped_by": StoppedBy.PROOF.value, "work": work, "rank": place},
            )
        )
    return listed


def _other_status(limits: Limits) -> Status:
    return Status.BEST_FOUND if limits.tolerance is None else Status.WITHIN_TOLERANCE
