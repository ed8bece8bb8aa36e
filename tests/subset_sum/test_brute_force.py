"""Brute force against itertools and Fraction."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from exact_cases import CASES, check_proof

from sslth.errors import InvalidInputError
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.kernels.combinations import walk_combinations
from sslth.subset_sum.kernels.gray_code import walk_gray_code
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import StoppedBy
from sslth.subset_sum.solvers.brute_force import BruteForce
from sslth.subset_sum.solvers.meet_in_the_middle import MeetInTheMiddle
from sslth.subset_sum.verify import verify

SIZES = [{}, {"cardinality": 0}, {"cardinality": 3}, {"cardinality": 6}, {"max_cardinality": 2}]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_the_optimum_is_exact(name, sizes):
    instance = Instance(*CASES[name], **sizes)
    check_proof(instance, BruteForce()(instance, Limits()))


def test_one_row():
    assert BruteForce()(Instance([[1.0]], [0.6]), Limits()).subset.tolist() == [0]
    assert BruteForce()(Instance([[1.0]], [0.4]), Limits()).subset.tolist() == []


def test_too_many_rows():
    with pytest.raises(InvalidInputError, match=r"24 rows.*25.*meet_in_the_middle"):
        BruteForce()(Instance(np.ones((25, 1)), [1.0]), Limits())


def test_the_tolerance_is_inclusive():
    instance = Instance(*CASES["mixed"])
    best = verify(instance, BruteForce()(instance, Limits()).subset).error
    at = BruteForce()(instance, Limits(tolerance=best))
    assert at.stopped_by is StoppedBy.TOLERANCE
    assert verify(instance, at.subset).error <= best
    check_proof(instance, BruteForce()(instance, Limits(tolerance=np.nextafter(best, 0))))


def test_many_ties_within_the_rounding_end_with_a_bound_instead_of_a_proof():
    rows = 0.1 + np.arange(18)[:, None] * 2.0**-56
    instance = Instance(np.vstack([rows, [[1e8]]]), [0.95])
    outcome = BruteForce()(instance, Limits())
    assert outcome.details["slack"] > 0
    assert outcome.stopped_by is StoppedBy.DONE
    assert 0.049 < outcome.lower_bound <= verify(instance, outcome.subset).error


def test_work_is_a_limit_and_the_answer_repeats():
    instance = Instance(np.random.default_rng(0).standard_normal((22, 2)), [0.1, 0.2])
    runs = [BruteForce()(instance, Limits(max_work=1234)) for _ in range(2)]
    assert all(run.stopped_by is StoppedBy.WORK and run.work == 1234 for run in runs)
    assert runs[0].subset.tolist() == runs[1].subset.tolist()


@pytest.mark.needs_jit
def test_the_clock_is_a_limit():
    ticks = itertools.count(0.0, 0.6)
    instance = Instance(np.random.default_rng(0).standard_normal((24, 2)), [0.1, 0.2])
    outcome = BruteForce()(instance, Limits(time_limit=2.0, clock=lambda: next(ticks)))
    assert outcome.stopped_by is StoppedBy.TIME
    assert 0 < outcome.work < 2**24


def test_an_interrupt_ends_the_search():
    limits = Limits()
    limits.interrupted.set()
    assert BruteForce()(Instance([[1.0], [2.0]], [1.25]), limits).stopped_by is StoppedBy.INTERRUPT


@pytest.mark.parametrize("kernel", [walk_combinations, getattr(walk_combinations, "py_func", walk_combinations)])
@pytest.mark.parametrize(("smallest", "largest"), [(0, 0), (0, 2), (3, 3), (2, 4), (6, 6)])
def test_combinations_are_visited_once(kernel, smallest, largest):
    """In pieces of five: all subsets of the sizes, each once, and equal rows in one way only."""
    rows = np.array([[1], [2], [2], [2], [40], [500]], dtype=np.int64)
    repeats = np.array([False, False, True, True, False, False])
    seen = []
    picks, sums = np.zeros(largest + 1, dtype=np.int64), np.zeros((largest + 1, 1), dtype=np.int64)
    state = np.zeros(2, dtype=np.int64)
    while state[0] >= 0:
        errors, codes = np.zeros(64, dtype=np.int64), np.zeros((64, 2), dtype=np.int64)
        control = np.array([0, 1 << 60, 1 << 60, 1 << 60, -1], dtype=np.int64)
        sizes = np.array([smallest, largest], dtype=np.int64)
        assert kernel(rows, repeats, sizes, picks, sums, state, errors, codes, control, 5) <= 5
        for error, code in zip(errors[: control[0]].tolist(), codes[: control[0], 0].tolist(), strict=True):
            chosen = [i for i in range(6) if code >> i & 1]
            assert error == rows[chosen].sum()
            seen.append(tuple(sorted(rows[chosen, 0].tolist())))
    expected = {
        tuple(sorted(rows[list(chosen), 0].tolist()))
        for size in range(smallest, largest + 1)
        for chosen in itertools.combinations(range(6), size)
    }
    assert len(seen) == len(expected)
    assert set(seen) == expected


@pytest.mark.needs_jit
@pytest.mark.parametrize("size", [2, 5, 21])
def test_few_sizes_take_few_visits(size):
    instance = Instance(np.random.default_rng(1).standard_normal((24, 3)), [0.1, 0.2, 0.3], cardinality=size)
    outcome = BruteForce()(instance, Limits())
    assert outcome.stopped_by is StoppedBy.PROOF
    assert outcome.work < 2**18
    check = MeetInTheMiddle()(instance, Limits())
    assert outcome.subset.tolist() == check.subset.tolist()


@pytest.mark.parametrize("kernel", [walk_gray_code, getattr(walk_gray_code, "py_func", walk_gray_code)])
def test_the_walk_visits_every_choice_once(kernel):
    rows = np.array([[1, 10], [2, -5], [7, 3]], dtype=np.int64)
    copies, weights = np.array([2, 1, 3]), np.array([1, 3, 6])
    walk = np.zeros((3, 4), dtype=np.int64)
    walk[1], walk[2] = 1, np.arange(4)
    residual, state = np.array([-4, -1], dtype=np.int64), np.zeros(3, dtype=np.int64)
    errors, codes = np.zeros(100, dtype=np.int64), np.zeros((100, 2), dtype=np.int64)
    control = np.array([0, 1 << 40, 1 << 40, 1 << 40, -1], dtype=np.int64)
    visited = 0
    while not state[2]:
        visited += kernel(rows, copies, weights, np.array([0, 6]), walk, residual, state, errors, codes, control, 5)
    assert visited == control[0] == 24
    assert sorted(codes[:24, 0].tolist()) == list(range(24))
    for error, code in zip(errors[:24], codes[:24, 0], strict=True):
        total = (code // weights % (copies + 1)) @ rows - [4, 1]
        assert error == np.abs(total).max()
