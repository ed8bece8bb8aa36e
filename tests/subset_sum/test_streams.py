"""Streams of sums joined slab by slab: against brute force by itertools and Fraction, the Gray code, and cells."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from exact_cases import CASES, check_proof, true_error

from sslth.subset_sum.candidate_buffer import CandidateBuffer
from sslth.subset_sum.draw_instance import draw_instance
from sslth.subset_sum.exact.lanes import plan_lanes
from sslth.subset_sum.exact.lists import quarter_lists
from sslth.subset_sum.exact.problem import HalvedProblem
from sslth.subset_sum.exact.search import prove_optimum
from sslth.subset_sum.exact.streams import StreamJoin
from sslth.subset_sum.fixed_point import to_fixed_point
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import Outcome, StoppedBy
from sslth.subset_sum.solvers.brute_force import BruteForce
from sslth.subset_sum.solvers.meet_in_the_middle import MeetInTheMiddle

SIZES = [{}, {"cardinality": 0}, {"cardinality": 3}, {"cardinality": 6}, {"cardinality": 8}, {"max_cardinality": 2}]


def by_streams(instance: Instance, limits: Limits | None = None, threads: int = 1, slab: int | None = None) -> Outcome:
    """Meet in the middle that never stores a half."""
    limits = limits or Limits()
    grid = to_fixed_point(instance)
    problem = HalvedProblem.of(instance, grid)
    join = StreamJoin(problem, limits, threads, slab)
    buffer = CandidateBuffer(instance, grid, limits, join.decode)
    proof = prove_optimum(problem, grid, join, buffer)
    return Outcome(buffer.best_subset(), proof.stopped_by, grid.lower_bound(proof.proven), join.work)


@pytest.mark.parametrize("slab", [1 << 18, 5])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_the_optimum_is_exact(name, sizes, slab):
    instance = Instance(*CASES[name], **sizes)
    check_proof(instance, by_streams(instance, slab=slab))


@pytest.mark.needs_jit
@pytest.mark.parametrize("sizes", [{}, {"cardinality": 5}, {"cardinality": 15}, {"max_cardinality": 4}], ids=str)
@pytest.mark.parametrize("d", [1, 2, 3, 5, 9, 30])
def test_it_agrees_with_the_gray_code(d, sizes):
    rng = np.random.default_rng(d)
    for law in (rng.standard_normal((19, d)), rng.standard_normal((19, d)) * rng.standard_normal((19, 1)) ** 3):
        instance = Instance(law, rng.uniform(-1, 1, d), **sizes)
        exact = true_error(instance, BruteForce()(instance, Limits()).subset.tolist())
        for slab, threads in ((1 << 18, 1), (40, 1), (40, 3)):
            check_proof(instance, by_streams(instance, threads=threads, slab=slab), exact)


@pytest.mark.needs_jit
@pytest.mark.parametrize(("n", "d", "sizes"), [(32, 1, {}), (32, 2, {}), (30, 5, {}), (34, 3, {"cardinality": 12})])
def test_threads_and_slabs_change_nothing(n, d, sizes):
    instance = draw_instance("nsn", n, d, 5, **sizes)
    answers = [by_streams(instance, threads=threads, slab=1 << 12) for threads in (1, 2, 5)]
    assert all(answer.stopped_by is StoppedBy.PROOF for answer in answers)
    assert len({tuple(answer.subset.tolist()) for answer in answers}) == 1
    assert len({answer.work for answer in answers}) == 1
    assert by_streams(instance).subset.tolist() == answers[0].subset.tolist()
    assert MeetInTheMiddle()(instance, Limits()).subset.tolist() == answers[0].subset.tolist()


@pytest.mark.needs_jit
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("tolerance", [1e-3, 1e-5])
def test_the_first_subset_within_the_tolerance_is_the_same_for_any_threads(tolerance, threads):
    instance = draw_instance("gaussian", 36, 2, 3)
    found = by_streams(instance, Limits(tolerance=tolerance), threads, 1 << 12)
    assert found.stopped_by is StoppedBy.TOLERANCE
    assert true_error(instance, found.subset.tolist()) <= tolerance
    alone = by_streams(instance, Limits(tolerance=tolerance), 1, 1 << 12)
    assert found.subset.tolist() == alone.subset.tolist()


@pytest.mark.needs_jit
def test_a_tolerance_that_nothing_meets_is_disproved():
    instance = draw_instance("gaussian", 30, 2, 3)
    best = by_streams(instance)
    outcome = by_streams(instance, Limits(tolerance=best.lower_bound / 2), slab=1 << 10)
    assert outcome.stopped_by is StoppedBy.PROOF
    assert outcome.subset.tolist() == best.subset.tolist()


@pytest.mark.needs_jit
@pytest.mark.parametrize("n", [10, 24, 28])
def test_many_equal_sums(n):
    """Small integers: nearly all sums are equal to others, in every slab and cell."""
    rng = np.random.default_rng(n)
    rows = rng.integers(-9, 10, (n, 2)) * 2.0
    for target in ([3.0, 5.0], [4.0, -6.0], [1000.0, 0.0]):
        instance = Instance(rows, target)
        expected = MeetInTheMiddle()(instance, Limits())
        outcome = by_streams(instance, slab=300)
        assert outcome.stopped_by is StoppedBy.PROOF
        assert true_error(instance, outcome.subset.tolist()) == true_error(instance, expected.subset.tolist())


@pytest.mark.needs_jit
def test_limits_end_the_search_with_something_valid():
    instance = draw_instance("gaussian", 48, 2, 1)
    first, second = (by_streams(instance, Limits(max_work=3_000_000), threads, 1 << 16) for threads in (1, 4))
    assert first.stopped_by is second.stopped_by is StoppedBy.WORK
    assert first.subset.tolist() == second.subset.tolist()
    assert first.work == second.work
    assert by_streams(instance, Limits(time_limit=0.0)).stopped_by is StoppedBy.TIME
    ticks = itertools.count()
    late = by_streams(instance, Limits(time_limit=50.0, clock=lambda: float(next(ticks))), slab=1 << 14)
    assert late.stopped_by is StoppedBy.TIME


def test_lists_hold_every_sum_once():
    instance = draw_instance("nsn", 9, 2, 7, max_cardinality=3)
    problem = HalvedProblem.of(instance, to_fixed_point(instance))
    lists = quarter_lists(problem)
    for sums, groups, sign in zip(lists, problem.quarters, (1, 1, -1, -1), strict=True):
        start = problem.target if sums is lists[2] else np.zeros(2, dtype=np.int64)
        wanted = set()
        for size in range(min(3, len(groups)) + 1):
            for chosen in itertools.combinations(groups, size):
                wanted.add((size, *(start + sign * problem.rows[list(chosen)].sum(axis=0)).tolist()))
        found = list(zip(sums.sizes.tolist(), *sums.columns.tolist(), strict=True))
        assert set(found) == wanted
        assert len(found) == len(wanted)
        assert found == sorted(found, key=lambda entry: entry[:2])
        for place in range(len(found)):
            chosen = list(sums.digits(place))
            assert (start + sign * problem.rows[chosen].sum(axis=0)).tolist() == sums.columns[:, place].tolist()


@pytest.mark.parametrize("d", [1, 2, 4, 6])
@pytest.mark.parametrize("cardinality", [None, 10])
def test_partners_share_a_cell_within_the_halo(d, cardinality):
    """Whatever lies within the window lies in one of the cells between word - halo and word + halo, lane by lane."""
    instance = draw_instance("gaussian", 20, d, 2, cardinality=cardinality)
    problem = HalvedProblem.of(instance, to_fixed_point(instance))
    one, two, three, four = quarter_lists(problem)
    rng = np.random.default_rng(d)
    for window in (3, 10**9, 10**16):
        lanes = plan_lanes(problem, 1 << 55, window, 14)
        words = [lanes.words(sums) for sums in (one, two, three, four)]
        for _ in range(200):
            i, j = int(rng.integers(one.keys.size)), int(rng.integers(two.keys.size))
            word = words[0][i : i + 1] + words[1][j : j + 1]
            # a made-up partner: the same sum, off by at most the window, split at random between two lists
            off = rng.integers(-window, window + 1, d)
            whole = one.columns[:, i] + two.columns[:, j] + off
            part = rng.integers(-(2**58), 2**58, d)
            partner = np.zeros(1, dtype=np.uint64)
            for piece in (part, whole - part):
                packed = np.zeros(1, dtype=np.uint64)
                for lane in lanes.lanes:
                    packed |= lane.of(piece[lane.column : lane.column + 1])
                partner += packed
            if lanes.size_bits:
                partner += (one.sizes[i : i + 1] + two.sizes[j : j + 1]).astype(np.uint64)
            cell, low, high = partner & lanes.mask, (word - lanes.halo) & lanes.mask, (word + lanes.halo) & lanes.mask
            for mask in lanes.masks:
                assert (cell & mask)[0] in ((low & mask)[0], (high & mask)[0])
