"""Meet in the middle against brute force by itertools and Fraction, and against the Gray code."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from exact_cases import CASES, check_proof, true_error

from sslth.errors import InvalidInputError
from sslth.subset_sum.draw_instance import draw_instance
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.kernels.meet_in_the_middle import bound_cells, join_cells, merge_sorted, split_cells
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import StoppedBy
from sslth.subset_sum.solvers.brute_force import BruteForce
from sslth.subset_sum.solvers.meet_in_the_middle import MeetInTheMiddle
from sslth.subset_sum.verify import verify


def plain(function):
    return getattr(function, "py_func", function)


SIZES = [{}, {"cardinality": 0}, {"cardinality": 3}, {"cardinality": 6}, {"cardinality": 8}, {"max_cardinality": 2}]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_the_optimum_is_exact(name, sizes):
    instance = Instance(*CASES[name], **sizes)
    check_proof(instance, MeetInTheMiddle()(instance, Limits()))


@pytest.mark.needs_jit
@pytest.mark.parametrize("sizes", [{}, {"cardinality": 5}, {"cardinality": 15}, {"max_cardinality": 4}], ids=str)
@pytest.mark.parametrize("d", [1, 2, 3, 5, 9, 30])
def test_it_agrees_with_the_gray_code(d, sizes):
    rng = np.random.default_rng(d)
    for law in (rng.standard_normal((19, d)), rng.standard_normal((19, d)) * rng.standard_normal((19, 1)) ** 3):
        instance = Instance(law, rng.uniform(-1, 1, d), **sizes)
        exact = true_error(instance, BruteForce()(instance, Limits()).subset.tolist())
        check_proof(instance, MeetInTheMiddle()(instance, Limits()), exact)


@pytest.mark.needs_jit
def test_cells_and_several_passes_agree_with_the_gray_code():
    rng = np.random.default_rng(11)
    instance = Instance(rng.standard_normal((22, 6)), rng.uniform(-3, 3, 6))
    outcome = MeetInTheMiddle()(instance, Limits())
    check_proof(instance, outcome, true_error(instance, BruteForce()(instance, Limits()).subset.tolist()))


@pytest.mark.needs_jit
@pytest.mark.parametrize("d", [1, 2, 4])
def test_a_planted_subset_is_found(d):
    rng = np.random.default_rng(d)
    rows = np.round(rng.standard_normal((32, d)) * 2**20) / 2**20
    planted = np.sort(rng.choice(32, 15, replace=False))
    instance = Instance(rows, rows[planted].sum(axis=0))
    outcome = MeetInTheMiddle()(instance, Limits())
    assert outcome.stopped_by is StoppedBy.PROOF
    assert verify(instance, outcome.subset).error == 0.0


@pytest.mark.needs_jit
def test_few_of_many_rows():
    rng = np.random.default_rng(2)
    rows = rng.standard_normal((60, 2))
    instance = Instance(rows, rows[[3, 31, 59]].sum(axis=0) + 1e-9, cardinality=3)
    outcome = MeetInTheMiddle()(instance, Limits())
    assert outcome.stopped_by is StoppedBy.PROOF
    assert outcome.subset.tolist() == [3, 31, 59]
    left_out = Instance(rows, rows.sum(axis=0) - rows[[3, 31, 59]].sum(axis=0) + 1e-9, cardinality=57)
    outcome = MeetInTheMiddle()(left_out, Limits())
    assert np.setdiff1d(np.arange(60), outcome.subset).tolist() == [3, 31, 59]


@pytest.mark.needs_jit
def test_two_of_very_many_rows():
    """100 rows a quarter: which of them a sum has no longer fits 64 bits."""
    rows = np.random.default_rng(2).standard_normal((400, 2))
    outcome = MeetInTheMiddle()(Instance(rows, rows[[3, 311]].sum(axis=0) + 1e-9, cardinality=2), Limits())
    assert outcome.stopped_by is StoppedBy.PROOF
    assert outcome.subset.tolist() == [3, 311]


@pytest.mark.needs_jit
def test_many_equal_rows_cost_little():
    rows = np.repeat(np.array([[0.1], [0.30000000000000004], [1e-9]]), 400, axis=0)
    instance = Instance(rows, [100.05])
    assert MeetInTheMiddle()(instance, Limits()).stopped_by is StoppedBy.PROOF


@pytest.mark.parametrize("d", [1, 2])
def test_the_tolerance_is_inclusive(d):
    rng = np.random.default_rng(d)
    for scale in (np.ones((12, d)), 10.0 ** rng.uniform(-30, 10, (12, d))):
        instance = Instance(rng.standard_normal((12, d)) * scale, rng.standard_normal(d) * 1e-3)
        solution = MeetInTheMiddle()(instance, Limits())
        best = verify(instance, solution.subset).error
        at = MeetInTheMiddle()(instance, Limits(tolerance=best))
        assert at.stopped_by is StoppedBy.TOLERANCE
        assert verify(instance, at.subset).error <= best
        below = MeetInTheMiddle()(instance, Limits(tolerance=float(np.nextafter(best, 0))))
        check_proof(instance, below, true_error(instance, solution.subset.tolist()))


@pytest.mark.needs_jit
def test_a_wide_tolerance_ends_early():
    rng = np.random.default_rng(0)
    instance = Instance(rng.standard_normal((36, 3)), rng.uniform(-1, 1, 3))
    outcome = MeetInTheMiddle()(instance, Limits(tolerance=0.01))
    assert outcome.stopped_by is StoppedBy.TOLERANCE
    assert verify(instance, outcome.subset).error <= 0.01


def test_many_ties_within_the_rounding_end_with_a_bound_instead_of_a_proof():
    rows = 0.1 + np.arange(20)[:, None] * 2.0**-56
    instance = Instance(np.vstack([rows, [[1e8]]]), [0.95])
    outcome = MeetInTheMiddle()(instance, Limits())
    assert outcome.details["slack"] > 0
    assert outcome.stopped_by is StoppedBy.DONE
    assert 0.049 < outcome.lower_bound <= verify(instance, outcome.subset).error


def test_too_little_memory_says_how_much_is_needed():
    instance = Instance(np.random.default_rng(0).standard_normal((110, 2)), [0.0, 0.1])
    with pytest.raises(
        InvalidInputError, match=r"needs \d.* GiB for Instance\(n=110, d=2\), but may use 1 GiB; give it more"
    ):
        MeetInTheMiddle()(instance, Limits())
    with pytest.raises(InvalidInputError, match=r"needs more than 2\*\*"):
        MeetInTheMiddle()(Instance(np.random.default_rng(0).standard_normal((5000, 2)), [0.0, 0.1]), Limits())


@pytest.mark.needs_jit
def test_work_is_a_limit_and_the_answer_repeats():
    rng = np.random.default_rng(0)
    instance = Instance(rng.standard_normal((30, 5)), rng.uniform(-1, 1, 5))
    error, bound = np.inf, 0.0
    whole = verify(instance, MeetInTheMiddle()(instance, Limits()).subset).error
    for max_work in (1, 70_000, 150_000, 400_000):
        runs = [MeetInTheMiddle()(instance, Limits(max_work=max_work)) for _ in range(2)]
        assert runs[0].subset.tolist() == runs[1].subset.tolist()
        assert runs[0].work == runs[1].work
        now = verify(instance, runs[0].subset).error
        assert now <= error
        assert bound <= runs[0].lower_bound <= whole
        error, bound = now, runs[0].lower_bound
        assert runs[0].stopped_by in (StoppedBy.WORK, StoppedBy.PROOF)
    assert MeetInTheMiddle()(instance, Limits(max_work=1)).stopped_by is StoppedBy.WORK


@pytest.mark.needs_jit
@pytest.mark.parametrize("seconds", [0.0, 3.0, 30.0, 60.0])
def test_the_clock_is_a_limit(seconds):
    ticks = itertools.count(0.0, 1.0)
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((40, 9))
    instance = Instance(rows, rows.sum(axis=0) / 2)  # the mean of the sums: hardly any is out of reach
    outcome = MeetInTheMiddle()(instance, Limits(time_limit=seconds, clock=lambda: next(ticks)))
    assert outcome.stopped_by is StoppedBy.TIME
    assert outcome.lower_bound <= verify(instance, outcome.subset).error


def test_an_interrupt_ends_the_search():
    limits = Limits()
    limits.interrupted.set()
    outcome = MeetInTheMiddle()(Instance([[1.0], [2.0]], [1.3], cardinality=1), limits)
    assert outcome.stopped_by is StoppedBy.INTERRUPT
    assert outcome.subset.size == 1


@pytest.mark.parametrize("compiled", [True, False])
def test_merging_keeps_order_and_prefers_the_first_list(compiled):
    kernel = merge_sorted if compiled else plain(merge_sorted)
    rng = np.random.default_rng(0)
    a, b = np.sort(rng.integers(0, 9, 20)), np.sort(rng.integers(0, 9, 13))
    keys, codes = np.empty(33, dtype=np.int64), np.empty(33, dtype=np.int32)
    place = np.zeros(2, dtype=np.int64)
    for _ in range(7):
        kernel(a, np.arange(20, dtype=np.int32), b, np.arange(20, 33, dtype=np.int32), keys, codes, place, 5)
    both = np.concatenate([a, b])
    assert codes.tolist() == np.argsort(both, kind="stable").tolist()
    assert keys.tolist() == both[codes].tolist()


def cells(columns, leaf, kernels):
    split, bound = kernels
    size = columns.shape[1]
    first, last, child, depth = np.zeros((4, 64), dtype=np.int64)
    last[0] = size
    place = np.array([0, 1], dtype=np.int64)
    position, scratch = np.arange(size), np.empty(size, dtype=np.int64)
    while place[0] < place[1]:
        split(columns, position, scratch, first, last, child, depth, np.array([1, 2, 1, 2]), leaf, place, 30)
    count = place[1]
    low, high = np.empty((2, count, columns.shape[0]), dtype=np.int64)
    columns = np.ascontiguousarray(columns[:, position])
    for stop in range(int(count), 0, -3):
        bound(columns, first[:count], last[:count], child[:count], low, high, max(0, stop - 3), stop)
    return columns, first[:count], last[:count], child[:count], low, high


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("capacity", [5, 4096])
def test_the_join_sees_every_pair_within_the_bound_once(compiled, capacity):
    kernels = [kernel if compiled else plain(kernel) for kernel in (split_cells, bound_cells, join_cells)]
    rng = np.random.default_rng(1)
    halves = []
    for _ in range(2):
        columns = rng.integers(-20, 20, (3, 60))
        columns = np.ascontiguousarray(columns[:, np.argsort(columns[0], kind="stable")])
        halves.append(cells(columns, 7, kernels[:2]))
        columns, first, last, child, low, high = halves[-1]
        leaves = [range(a, b) for a, b, c in zip(first, last, child, strict=True) if c < 0]
        assert sorted(i for leaf in leaves for i in leaf) == list(range(60))
        for a, b, c, down, up in zip(first, last, child, low, high, strict=True):
            assert columns[:, a:b].min(axis=1).tolist() == down.tolist()
            assert columns[:, a:b].max(axis=1).tolist() == up.tolist()
            assert c >= 0 or np.all(np.diff(columns[0, a:b]) >= 0)
    target = np.array([3, -1, 2])
    a, b = halves[0][0], halves[1][0]
    distance = np.abs(a[:, :, None] + b[:, None, :] - target[:, None, None]).max(axis=0)
    stack = np.full((40, 4), -1, dtype=np.int64)
    stack[0] = 0, 0, -1, -1
    place = np.array([1], dtype=np.int64)
    errors, codes = np.zeros(capacity, dtype=np.int64), np.zeros((capacity, 2), dtype=np.int64)
    control = np.array([0, 1 << 40, 1 << 40, 6, 2], dtype=np.int64)
    seen = []
    while place[0] > 0:
        kernels[2](*halves[0], *halves[1], target, stack, place, errors, codes, control, 50)
        seen += [(int(e), int(p), int(q)) for e, (p, q) in zip(errors[: control[0]], codes, strict=False)]
        control[0] = 0
    assert len(seen) == len(set(seen))
    assert sorted((p, q) for _, p, q in seen) == [tuple(pair) for pair in np.argwhere(distance <= 6).tolist()]
    assert all(error == distance[p, q] for error, p, q in seen)


@pytest.mark.needs_jit
@pytest.mark.parametrize("seed", [2, 3])
def test_a_window_that_outgrows_the_best_error_is_still_searched(seed):
    """A first pass that finds nothing proves nothing about errors between its window and the best error so far."""
    instance = draw_instance("uniform", 24, 12, seed, cardinality=8)
    exact = true_error(instance, BruteForce()(instance, Limits()).subset.tolist())
    check_proof(instance, MeetInTheMiddle()(instance, Limits()), exact)
