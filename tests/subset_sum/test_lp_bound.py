"""The Lagrangian bound against enumeration: never above the optimum, and as large as the relaxation."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from exact_cases import CASES, true_minimum
from scipy.optimize import linprog

from sslth.subset_sum.exact_errors import best_exactly
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solvers import lp_bound
from sslth.subset_sum.solvers.brute_force import BruteForce
from sslth.subset_sum.solvers.lp_bound import exact_lagrangian_bound, lagrangian_bound


def relaxation(instance: Instance) -> float:
    """The linear relaxation by the primal, in the form with two-sided rows."""
    n, rows, target = instance.n, instance.samples, instance.target
    ones = np.ones((instance.d, 1))
    size = np.append(np.ones(n), 0.0)
    result = linprog(
        np.append(np.zeros(n), 1.0),
        A_ub=np.vstack([np.hstack([rows.T, -ones]), np.hstack([-rows.T, -ones]), size, -size]),
        b_ub=np.concatenate([target, -target, [instance.largest_size, -instance.smallest_size]]),
        bounds=[(0, 1)] * n + [(0, None)],
        method="highs-ipm",
    )
    return float(result.fun)


def drawn(rng: np.random.Generator) -> Instance:
    n, d = int(rng.integers(1, 12)), int(rng.integers(1, 20))
    rows = rng.standard_normal((n, d)) * rng.choice([0.01, 1.0, 100.0])
    target = rng.uniform(-1, 1, d) * rng.choice([0.3, 1.0, 5.0])
    if rng.random() < 0.3:
        rows, target = np.rint(4 * rows), np.rint(4 * target)
    size = int(rng.integers(0, n + 1))
    return Instance(rows, target, **[{}, {"cardinality": size}, {"max_cardinality": size}][int(rng.integers(3))])


def test_never_above_the_optimum_and_equal_to_the_relaxation():
    rng = np.random.default_rng(3)
    positive = tight = 0
    for _ in range(300):
        instance = drawn(rng)
        bound = exact_lagrangian_bound(instance)
        optimum = best_exactly(instance, [BruteForce()(instance, Limits()).subset])[1]
        assert bound <= optimum
        assert Fraction(lagrangian_bound(instance)) <= bound
        assert float(bound) == pytest.approx(relaxation(instance), rel=1e-6, abs=1e-7)
        positive += bound > 0
        tight += 0 < bound == optimum
    assert positive > 200  # most are out of reach
    assert tight > 50  # and many by a corner of the box


@pytest.mark.parametrize("sizes", [{}, {"cardinality": 3}, {"max_cardinality": 2}], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_awkward_numbers(name, sizes):
    instance = Instance(*CASES[name], **sizes)
    assert 0 <= Fraction(lagrangian_bound(instance)) <= true_minimum(instance)


def test_a_target_out_of_reach_is_met_exactly():
    assert lagrangian_bound(Instance([[0.1], [0.2], [-0.4]], [0.9])) == float(
        Fraction(0.9) - Fraction(0.1) - Fraction(0.2)
    )
    assert lagrangian_bound(Instance([[1.0], [2.0], [4.0]], [1.5], cardinality=2)) == 1.5
    assert lagrangian_bound(Instance([[1.0], [2.0], [4.0]], [7.0], max_cardinality=2)) == 1.0
    assert lagrangian_bound(Instance([[1e300], [1e300]], [-1e300])) == 1e300


def test_more_than_one_coordinate_is_weighed():
    """Every coordinate alone can be reached, both together cannot."""
    instance = Instance([[1.0, 1.0], [2.0, 2.0]], [2.0, 1.0])
    assert lagrangian_bound(instance) == pytest.approx(0.5)
    assert lagrangian_bound(instance) <= 0.5


def test_where_d_is_large_it_is_positive():
    rng = np.random.default_rng(0)
    assert lagrangian_bound(Instance(rng.standard_normal((100, 300)), rng.uniform(-1, 1, 300))) > 0.7
    assert lagrangian_bound(Instance(rng.standard_normal((100, 9)), rng.uniform(-1, 1, 9))) == 0.0


def test_false_dual_weights_do_no_harm(monkeypatch):
    """Nothing rests on the linear solver."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        instance = drawn(rng)
        optimum = best_exactly(instance, [BruteForce()(instance, Limits()).subset])[1]
        weights = rng.integers(-(2**40), 2**40, instance.d)
        monkeypatch.setattr(lp_bound, "_dual_weights", lambda *_, weights=weights: weights)
        assert exact_lagrangian_bound(instance) <= optimum


def test_without_time_the_best_coordinate_is_left():
    instance = Instance([[1.0, 1.0], [2.0, 2.0]], [2.0, 4.5])
    assert lagrangian_bound(instance, time_limit=0.0) >= 1.5


def test_infeasible_is_infinite():
    assert lagrangian_bound(Instance([[1.0]], [1.0], cardinality=2)) == math.inf
