"""How many subsets come within a tolerance, exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslth.errors import InvalidInputError
from sslth.subset_sum.arguments import non_negative
from sslth.subset_sum.exact.cells import CellJoin
from sslth.subset_sum.exact.choose import choose_join, readable_size
from sslth.subset_sum.exact.problem import HalvedProblem
from sslth.subset_sum.exact.top import TopCandidates
from sslth.subset_sum.fixed_point import FixedPoint, to_fixed_point
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.kernels.count import count_boxes, count_cells, count_intervals, list_strip
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.verify import verify

__all__ = ["count"]

IntArray = npt.NDArray[np.int64]

_STEPS_PER_CALL = 4_000_000
_MOST_CHECKS = 4_000_000_000  # some seconds of pairs looked at one by one
_MOST_MATCHES = 1_000_000_000
_MOST_LISTED = 1_000_000
_PAIRS_PER_CALL = 1 << 20
_MOST_BORDERLINE = 1_000_000


def count(instance: Instance, tolerance: float, memory_bytes: int = 1 << 30) -> int:
    """Count the subsets of the allowed sizes whose error is at most the tolerance.

    Parameters
    ----------
    instance : Instance
        Subsets are sets of row indices: equal rows make different subsets of equal sum.
    tolerance : float
        Inclusive.
    memory_bytes : int
        What the sums of both halves may take.

    Returns
    -------
    int
        The exact number. Subsets within the rounding of the integer grid of the tolerance are decided in exact
        arithmetic.

    Raises
    ------
    InvalidInputError
        If too many subsets match: for d >= 3 more than 10^9 that cannot be multiplied together, and, where the sums of
        the halves do not fit the memory (n > 44 or so), more than about 10^5. The message gives an estimate.

    Notes
    -----
    All sums of either half of the rows [HorowitzSahni1974]_: a sliding window over sorted lists for d = 1, a Fenwick
    tree keyed by the second coordinate for d = 2, pairs of cells for d >= 3, where a pair of cells wholly within the
    tolerance is multiplied, not enumerated. O(2^(n/2)) time for d = 1, O(2^(n/2) n) for d = 2, for any tolerance;
    memory O(2^(n/2) d). Halves that do not fit are streamed and every match is listed.

    .. [HorowitzSahni1974] E. Horowitz, S. Sahni, "Computing partitions with applications to the knapsack problem",
       Journal of the ACM 21, 1974. doi:10.1145/321812.321823

    Examples
    --------
    >>> count(Instance([[1.0], [2.0], [3.0]], [3.0]), tolerance=0.0)  # {3} and {1, 2}
    2
    """
    tolerance = non_negative(tolerance, "tolerance")
    if not instance.is_feasible:
        return 0
    grid = to_fixed_point(instance)
    problem = HalvedProblem.of(instance, grid, every_subset=True)
    if math.isinf(tolerance):
        return sum(math.comb(instance.n, k) for k in range(instance.smallest_size, instance.largest_size + 1))
    points = grid.points(tolerance)
    sure, possible = points - grid.slack, points + grid.slack
    needed = sum(problem.half_sizes) * (8 * problem.target.size + 48) * 2
    if needed > memory_bytes:
        expected = _estimate(problem, points)
        if expected > _MOST_LISTED / 10:
            raise InvalidInputError(
                f"count needs {readable_size(needed)} for {instance!r}, but may use {readable_size(memory_bytes)};"
                f" about {expected:.2g} subsets are expected within {tolerance:g}, too many to list"
            )
        return _count_by_listing(instance, problem, grid, possible, tolerance, memory_bytes)
    if problem.target.size <= 2:
        halves = [_HalfSums.of(problem, members) for members in problem.halves]
        counted = _count_sorted(problem, halves, sure) if sure >= 0 else 0
    else:
        counted = _count_by_cells(instance, problem, grid, sure) if sure >= 0 else 0
        halves = [_HalfSums.of(problem, members) for members in problem.halves] if grid.slack else []
    if grid.slack:
        counted += _count_borderline(instance, problem, halves, max(0, sure + 1), possible, tolerance)
    return counted


@dataclass(frozen=True)
class _HalfSums:
    """Every sum of one half.

    Attributes
    ----------
    columns : int64[d, m]
    sizes : int64[m]
        Rows in each sum.
    codes : int64[m]
        Bit i: whether the i-th member of the half is in the sum.
    """

    members: list[int]
    columns: IntArray
    sizes: IntArray
    codes: IntArray

    @classmethod
    def of(cls, problem: HalvedProblem, members: list[int]) -> _HalfSums:
        columns = np.zeros((problem.target.size, 1), dtype=np.int64)
        sizes = np.zeros(1, dtype=np.int64)
        codes = np.zeros(1, dtype=np.int64)
        for place, group in enumerate(members):
            fits = slice(None) if not problem.is_restricted else sizes < problem.largest
            columns = np.concatenate([columns, columns[:, fits] + problem.rows[group][:, None]], axis=1)
            codes = np.concatenate([codes, codes[fits] + (1 << place)])
            sizes = np.concatenate([sizes, sizes[fits] + 1])
        return cls(members, columns, sizes, codes)

    def take(self, places: npt.NDArray[np.integer]) -> _HalfSums:
        """Some of the sums."""
        return _HalfSums(self.members, self.columns[:, places], self.sizes[places], self.codes[places])

    def digits(self, place: int) -> dict[int, int]:
        """The members of one sum, once each."""
        code = int(self.codes[place])
        return {member: 1 for bit, member in enumerate(self.members) if code >> bit & 1}


def _by_size(problem: HalvedProblem, a: _HalfSums, b: _HalfSums) -> list[tuple[_HalfSums, _HalfSums]]:
    """Parts of a and b such that all pairs within a part have an allowed number of rows, and no others."""
    if not problem.is_restricted:
        return [(a, b)]
    parts = []
    for size in np.unique(a.sizes).tolist():
        partners = (b.sizes >= problem.smallest - size) & (b.sizes <= problem.largest - size)
        if partners.any():
            parts.append((a.take(np.flatnonzero(a.sizes == size)), b.take(np.flatnonzero(partners))))
    return parts


def _count_sorted(problem: HalvedProblem, halves: list[_HalfSums], window: int) -> int:
    """For one or two coordinates."""
    a, b = (half.take(np.argsort(half.columns[0], kind="stable")) for half in halves)
    total = 0
    for part_a, part_b in _by_size(problem, a, b):
        if problem.target.size == 1:
            total += int(count_intervals(part_a.columns[0], part_b.columns[0], int(problem.target[0]), window))
            continue
        order = np.argsort(part_b.columns[1], kind="stable")
        rank = np.empty(order.size, dtype=np.int64)
        rank[order] = np.arange(order.size)
        second = part_b.columns[1][order]
        tree = np.zeros(order.size + 1, dtype=np.int64)
        state = np.array([0, order.size, order.size], dtype=np.int64)
        while state[0] < part_a.sizes.size:
            total += int(
                count_boxes(
                    part_a.columns[0], part_a.columns[1], part_b.columns[0], rank, second,
                    problem.target, window, tree, state, 1 << 16,
                )
            )  # fmt: skip
    return total


def _count_by_cells(instance: Instance, problem: HalvedProblem, grid: FixedPoint, window: int) -> int:
    """For three coordinates or more."""
    join = CellJoin(problem, grid.floor, Limits())
    join.build(max(window, problem.expected_error(grid.floor)[0]))
    a, b = join.halves
    pairs = [
        (cell_a, cell_b)
        for size_a, cell_a in a.roots.items()
        for size_b, cell_b in b.roots.items()
        if problem.smallest <= size_a + size_b <= problem.largest or not problem.is_restricted
    ]
    stack = np.zeros((len(pairs) + 256, 2), dtype=np.int64)
    stack[: len(pairs)] = pairs
    place = np.array([len(pairs)], dtype=np.int64)
    result = np.zeros(1, dtype=np.int64)
    work = 0
    while place[0] > 0:
        work += count_cells(
            a.columns, a.first, a.last, a.child, a.low, a.high,
            b.columns, b.first, b.last, b.child, b.low, b.high,
            problem.target, window, stack, place, result, _STEPS_PER_CALL,
        )  # fmt: skip
        if work > _MOST_CHECKS and result[0] > _MOST_MATCHES:
            raise InvalidInputError(
                f"more than {_MOST_MATCHES:.0e} subsets of {instance!r} match, about"
                f" {_estimate(problem, window):.2g} by a normal approximation: too many to count for d >= 3;"
                " give a smaller tolerance"
            )
    return int(result[0])


def _count_by_listing(
    instance: Instance, problem: HalvedProblem, grid: FixedPoint, possible: int, tolerance: float, memory_bytes: int
) -> int:
    """Where the halves do not fit: list every match from streams, and look at those near the tolerance exactly."""
    join = choose_join(instance, problem, grid, Limits(), memory_bytes, None, "count")
    join.build()
    top = TopCandidates(grid, _MOST_LISTED)
    join.run_pass(top, possible, None)
    if top.bound < possible:
        raise InvalidInputError(f"more than {_MOST_LISTED} subsets of {instance!r} match; give a smaller tolerance")
    errors = top.errors[: top.count]
    near = np.flatnonzero(errors > possible - 2 * grid.slack)
    certain = int(top.count - near.size)
    return certain + sum(
        verify(instance, join.decode(*top.codes[place].tolist())).error <= tolerance for place in near.tolist()
    )


def _count_borderline(
    instance: Instance, problem: HalvedProblem, halves: list[_HalfSums], least: int, most: int, tolerance: float
) -> int:
    """How many subsets whose integer error lies from least to most are within the tolerance in truth."""
    found = looked_at = 0
    for a, b in _by_size(problem, halves[0], halves[1]):
        for column in range(problem.target.size):
            order_a = np.argsort(a.columns[column], kind="stable")
            order_b = np.argsort(b.columns[column], kind="stable")
            pairs = np.empty((_PAIRS_PER_CALL, 2), dtype=np.int64)
            state = np.zeros(2, dtype=np.int64)
            while state[0] < order_a.size:
                before = int(state[0])
                state[1] = 0
                list_strip(
                    a.columns[column][order_a], order_a, b.columns[column][order_b], order_b,
                    int(problem.target[column]), least, most,
                    a.columns, b.columns, problem.target, column, pairs, state,
                )  # fmt: skip
                looked_at += int(state[1])
                if looked_at > _MOST_BORDERLINE or (state[0] == before and state[1] == 0):
                    raise InvalidInputError(
                        f"more than {_MOST_BORDERLINE} subsets of {instance!r} lie within rounding of the tolerance"
                        f" {tolerance:g}; give a tolerance that is not the error of so many"
                    )
                for i, j in pairs[: state[1]].tolist():
                    subset = problem.subset(a.digits(i) | b.digits(j))
                    found += verify(instance, subset).error <= tolerance
    return found


def _estimate(problem: HalvedProblem, window: int) -> float:
    """About how many subsets match, were the coordinates of a random subset's sum independent and normal."""
    share = 0.5 if not problem.is_restricted else min(0.5, problem.largest / problem.n)
    rows = problem.rows.astype(np.float64)
    scale = np.sqrt(share * (1 - share) * (rows**2).sum(axis=0))
    offset = problem.target - share * rows.sum(axis=0)
    log_count = sum(math.log(size) for size in problem.half_sizes)
    for mean, deviation in zip(offset.tolist(), scale.tolist(), strict=True):
        if deviation > 0:
            reach = [(side * (window + 0.5) - mean) / (deviation * math.sqrt(2.0)) for side in (-1, 1)]
            log_count += math.log(max(1e-300, 0.5 * (math.erf(reach[1]) - math.erf(reach[0]))))
    return math.exp(min(700.0, log_count))
