"""Branch and bound against brute force by itertools and Fraction, and against the other exact solvers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from exact_cases import CASES, check_proof, true_error
from scipy.optimize import linprog

from sslth.errors import InvalidInputError
from sslth.subset_sum.draw_instance import draw_instance
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.kernels.branch_and_bound import (
    count_bits,
    fill_tail,
    filter_tail,
    is_out_of_reach,
    root_bound,
)
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import StoppedBy
from sslth.subset_sum.solvers import branch_and_bound
from sslth.subset_sum.solvers.branch_and_bound import BranchAndBound
from sslth.subset_sum.solvers.brute_force import BruteForce
from sslth.subset_sum.solvers.meet_in_the_middle import MeetInTheMiddle
from sslth.subset_sum.verify import verify

SIZES = [{}, {"cardinality": 0}, {"cardinality": 3}, {"cardinality": 6}, {"cardinality": 8}, {"max_cardinality": 2}]
SHORT_TAIL = BranchAndBound(tail_rows=2, moves=1)  # nearly everything is decided in the tree


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_the_optimum_is_exact(name, sizes):
    instance = Instance(*CASES[name], **sizes)
    for solver in (SHORT_TAIL, BranchAndBound(tail_rows=5, levels=3, moves=50), BranchAndBound(moves=50)):
        check_proof(instance, solver(instance, Limits()))


@pytest.mark.needs_jit
@pytest.mark.parametrize("sizes", [{}, {"cardinality": 5}, {"cardinality": 15}, {"max_cardinality": 4}], ids=str)
@pytest.mark.parametrize("d", [1, 5, 16, 50])
def test_it_agrees_with_the_gray_code(d, sizes):
    rng = np.random.default_rng(d)
    for rows in (rng.standard_normal((19, d)), rng.standard_normal((19, d)) * rng.standard_normal((19, 1)) ** 3):
        instance = Instance(rows, rng.uniform(-1, 1, d), **sizes)
        exact = true_error(instance, BruteForce()(instance, Limits()).subset.tolist())
        for solver in (BranchAndBound(), BranchAndBound(tail_rows=4, moves=1)):
            check_proof(instance, solver(instance, Limits()), exact)


@pytest.mark.needs_jit
@pytest.mark.parametrize(("n", "d", "sizes"), [(30, 16, {}), (26, 40, {"cardinality": 13})])
def test_it_agrees_with_meet_in_the_middle(n, d, sizes):
    rng = np.random.default_rng(n)
    instance = Instance(rng.standard_normal((n, d)), rng.uniform(-1, 1, d), **sizes)
    exact = true_error(instance, MeetInTheMiddle()(instance, Limits()).subset.tolist())
    outcome = BranchAndBound()(instance, Limits())
    check_proof(instance, outcome, exact)
    assert outcome.details["cut"] > 0


@pytest.mark.needs_jit
@pytest.mark.parametrize("size", [None, 20])
def test_a_planted_subset_of_sixty_rows_is_found(size):
    rng = np.random.default_rng(1)
    rows = np.round(rng.standard_normal((60, 48)) * 2**20) / 2**20
    planted = np.sort(rng.choice(60, 20, replace=False))
    instance = Instance(rows, rows[planted].sum(axis=0), cardinality=size)
    for solver in (BranchAndBound(), BranchAndBound(moves=1)):
        outcome = solver(instance, Limits())
        assert outcome.stopped_by is StoppedBy.PROOF
        assert outcome.subset.tolist() == planted.tolist()


@pytest.mark.needs_jit
def test_equal_rows_are_counted():
    rng = np.random.default_rng(3)
    rows = np.repeat(rng.standard_normal((4, 20)), 15, axis=0)
    target = rows[:7].sum(axis=0) + rows[30:33].sum(axis=0) + rng.uniform(-0.01, 0.01, 20)
    outcome = BranchAndBound(tail_rows=4, moves=1)(Instance(rows, target), Limits(max_work=3_000_000))
    assert outcome.stopped_by is StoppedBy.PROOF
    assert np.bincount(outcome.subset // 15, minlength=4).tolist() == [7, 0, 3, 0]


def test_too_many_rows():
    with pytest.raises(InvalidInputError, match=r"64 rows.*65"):
        BranchAndBound()(Instance(np.ones((65, 1)), [1.0]), Limits())


def test_the_tolerance_is_inclusive():
    instance = Instance(*CASES["mixed"])
    best = verify(instance, SHORT_TAIL(instance, Limits()).subset).error
    at = SHORT_TAIL(instance, Limits(tolerance=best))
    assert at.stopped_by is StoppedBy.TOLERANCE
    assert verify(instance, at.subset).error <= best
    check_proof(instance, SHORT_TAIL(instance, Limits(tolerance=np.nextafter(best, 0))))


def test_many_ties_within_the_rounding_end_with_a_bound_instead_of_a_proof():
    rows = 0.1 + np.arange(16)[:, None] * 2.0**-56
    instance = Instance(np.vstack([rows, [[1e8]]]), [0.75])
    outcome = BranchAndBound(moves=50)(instance, Limits())
    assert outcome.details["slack"] > 0
    assert outcome.stopped_by is StoppedBy.DONE
    assert 0.049 < outcome.lower_bound <= verify(instance, outcome.subset).error


@pytest.mark.needs_jit
def test_work_is_a_limit_the_answer_repeats_and_the_root_bound_stands():
    rng = np.random.default_rng(0)
    instance = Instance(rng.standard_normal((32, 60)), rng.uniform(-1, 1, 60), cardinality=16)
    whole = BranchAndBound()(instance, Limits())
    assert whole.stopped_by is StoppedBy.PROOF
    for max_work in (1, 5_000, 600_000):
        runs = [BranchAndBound()(instance, Limits(max_work=max_work)) for _ in range(2)]
        assert all(run.stopped_by is StoppedBy.WORK for run in runs)
        assert runs[0].subset.tolist() == runs[1].subset.tolist()
        assert runs[0].work == runs[1].work
        assert runs[0].lower_bound <= whole.lower_bound
    assert runs[0].lower_bound > 0.5  # sixty columns, thirty-two rows: even fractions of rows leave this much


@pytest.mark.needs_jit
def test_the_clock_is_a_limit():
    ticks = itertools.count(0.0, 0.5)
    rng = np.random.default_rng(0)
    instance = Instance(rng.standard_normal((60, 16)), rng.uniform(-1, 1, 16))
    outcome = BranchAndBound()(instance, Limits(time_limit=30.0, clock=lambda: next(ticks)))
    assert outcome.stopped_by is StoppedBy.TIME
    assert outcome.lower_bound <= verify(instance, outcome.subset).error


def test_an_interrupt_ends_the_search():
    limits = Limits()
    limits.interrupted.set()
    assert BranchAndBound()(Instance([[1.0], [2.0]], [1.25]), limits).stopped_by is StoppedBy.INTERRUPT


# ---------------------------------------------------------------------------------------- kernels


def plain(function):
    return getattr(function, "py_func", function)


def relaxed(halves: np.ndarray, centre: np.ndarray) -> float:
    """The smallest sup norm of centre - signs @ halves over signs in [-1, 1], by linear programming."""
    rows, d = halves.shape
    ones = np.ones((d, 1))
    constraints = np.vstack([np.hstack([-halves.T, -ones]), np.hstack([halves.T, -ones])])
    solution = linprog(
        np.append(np.zeros(rows), 1.0),
        A_ub=constraints,
        b_ub=np.append(-centre, centre),
        bounds=[(-1.0, 1.0)] * rows + [(0.0, None)],
    )
    return float(solution.fun)


@pytest.mark.parametrize("kernel", [is_out_of_reach, plain(is_out_of_reach)])
def test_a_cut_is_right_and_not_rare(kernel):
    rng = np.random.default_rng(0)
    cuts = 0
    for _ in range(20):
        halves, centre = rng.standard_normal((6, 16)) / 2, rng.standard_normal(16) * 2
        optimum = relaxed(halves, centre)
        for factor in (0.5, 0.9, 0.999, 1.001, 1.5):
            signs, residual, u, active = np.zeros(6), centre.copy(), np.zeros(16), np.zeros(16)
            answer, sweeps = kernel(
                halves, halves**2, 0, centre, residual, signs, np.full(16, factor * optimum), 1e-12, u, active, 10
            )
            assert not (answer and factor > 1.0)
            assert 0 <= sweeps <= 10
            assert np.abs(signs).max() <= 1.0
            assert np.allclose(residual, centre - signs @ halves)
            cuts += answer and factor == 0.9
    assert cuts >= 15


@pytest.mark.parametrize("kernel", [root_bound, plain(root_bound)])
def test_the_root_bound_is_nearly_the_relaxation(kernel):
    rng = np.random.default_rng(1)
    halves, centre = rng.standard_normal((6, 16)) / 2, rng.standard_normal(16) * 2
    optimum = relaxed(halves, centre)
    bound = kernel(halves, halves**2, centre, np.zeros(16), 16, 100, 20)
    assert 0.9 * optimum < bound <= optimum * (1 + 1e-9)


@pytest.mark.parametrize("levels", [1, 2, 7])
@pytest.mark.parametrize("width", [0.3, 1.0, 50.0])
def test_the_filter_keeps_every_tail_within_the_limits(levels, width):
    rng = np.random.default_rng(2)
    sums = rng.standard_normal((100, 3))
    sums[:, 2] = 0.25  # no span, no steps
    lowest, span = sums.min(axis=0), sums.max(axis=0) - sums.min(axis=0)
    steps = np.where(span > 0, (levels - 1) / np.where(span > 0, span, 1.0), 0.0)
    bits, counts = np.zeros((3, levels, 2), dtype=np.int64), np.zeros((3, levels), dtype=np.int64)
    for column in range(3):
        fill_tail(np.ascontiguousarray(sums[:, column]), lowest[column], steps[column], bits[column])
    count_bits(bits, counts)
    assert counts[:, 0].tolist() == [100, 100, 100]
    dropped = 0
    for _ in range(20):
        centre = rng.standard_normal(3) * 2
        mask = np.zeros(2, dtype=np.int64)
        limits = np.full(3, width)
        filter_tail(centre, limits, 1e-9, lowest, steps, bits, counts, np.zeros((2, 3), dtype=np.int64), mask)
        kept = {j for j in range(100) if mask[0] >= 0 and mask[j // 62] >> (j % 62) & 1}
        near = set(np.flatnonzero((np.abs(sums - centre) <= limits).all(axis=1)).tolist())
        assert near <= kept
        dropped += 100 - len(kept)
    assert dropped > 0 or levels == 1 or width == 50.0


@pytest.mark.needs_jit
@pytest.mark.parametrize("size", [None, 5])
def test_the_short_walk_and_the_long_one_agree(size, monkeypatch):
    """With a short walk that is enough, with one that is cut off, and without any."""
    for seed in range(6):
        instance = draw_instance("nsn", 22, 12 + 10 * seed, seed, cardinality=size)
        outcomes = []
        for entries in (10**9, 2_000, 0):
            monkeypatch.setattr(branch_and_bound, "_SHORT_ENTRIES", entries)
            outcomes.append(BranchAndBound()(instance, Limits()))
        assert all(outcome.stopped_by is StoppedBy.PROOF for outcome in outcomes)
        assert len({tuple(outcome.subset.tolist()) for outcome in outcomes}) == 1
        assert len({outcome.lower_bound for outcome in outcomes}) == 1
        assert outcomes[0].work != outcomes[2].work
