"""Brute force against itertools and Fraction."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numba
import numpy as np
import pytest

from sslth.errors import InvalidInputError
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.kernels.gray_code import walk_gray_code
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import StoppedBy
from sslth.subset_sum.solvers.brute_force import BruteForce
from sslth.subset_sum.verify import verify

needs_jit = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="minutes without the JIT")


def true_error(instance, subset):
    return max(
        abs(sum((Fraction(instance.samples[i, c]) for i in subset), Fraction(0)) - Fraction(instance.target[c]))
        for c in range(instance.d)
    )


def true_minimum(instance):
    sizes = range(instance.smallest_size, instance.largest_size + 1)
    return min(true_error(instance, s) for k in sizes for s in itertools.combinations(range(instance.n), k))


def check_proof(instance, outcome):
    exact = true_minimum(instance)
    assert outcome.stopped_by is StoppedBy.PROOF
    assert len(set(outcome.subset.tolist())) == outcome.subset.size
    assert instance.smallest_size <= outcome.subset.size <= instance.largest_size
    assert true_error(instance, outcome.subset.tolist()) == exact
    assert Fraction(outcome.lower_bound) <= exact


SIZES = [{}, {"cardinality": 0}, {"cardinality": 3}, {"cardinality": 6}, {"max_cardinality": 2}]


def cases():
    rng = np.random.default_rng(5)
    scale = 10.0 ** rng.uniform(-30, 10, (8, 2))
    near = 0.1 + np.array([[0], [1], [2], [0], [5], [3], [1], [1]]) * 2.0**-56
    return {
        "gaussian": (rng.standard_normal((8, 3)), rng.uniform(-1, 1, 3)),
        "mixed": (rng.standard_normal((8, 2)) * scale, rng.standard_normal(2) * 1e-5),
        "near ties": (np.vstack([near[:7], [[1e6]]]), [0.35]),
        "near ties below the grid": (
            np.array([[1e10], [1e-20], [2e-20], [-1e-21], [3e-20], [1e-20], [7e-20], [0]]),
            [2e-20],
        ),
        "all equal": (np.full((8, 2), 0.1), [0.45, 0.45]),
        "zero rows": (np.array([[0.0], [0.3], [0.0], [0.3], [0.7], [0.0], [1e-25], [1e9]]), [0.61]),
        "subnormal": (rng.integers(-9, 9, (8, 1)) * 5e-324, [1.2e-322]),
        "huge": (rng.standard_normal((8, 2)) * 1e300, [1e300, -1e299]),
    }


CASES = cases()


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


@needs_jit
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
