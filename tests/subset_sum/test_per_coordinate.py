"""One tolerance for each coordinate, against itertools and Fraction."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from sslth.errors import InvalidInputError
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.solution import Status
from sslth.subset_sum.solve import solve
from sslth.subset_sum.solve_many import solve_many


def within(instance: Instance, tolerances: list[float]) -> list[list[int]]:
    """Every subset that meets all tolerances, by exact arithmetic."""
    rows = [[Fraction(x) for x in row] for row in instance.samples.tolist()]
    target = [Fraction(z) for z in instance.target.tolist()]
    found = []
    for size in range(instance.smallest_size, instance.largest_size + 1):
        for subset in itertools.combinations(range(instance.n), size):
            residual = [sum((rows[i][c] for i in subset), -target[c]) for c in range(instance.d)]
            if all(t == float("inf") or abs(r) <= Fraction(t) for r, t in zip(residual, tolerances, strict=True)):
                found.append(list(subset))
    return found


@pytest.mark.parametrize("solver", ["auto", "brute_force", "meet_in_the_middle"])
@pytest.mark.parametrize("sizes", [{}, {"cardinality": 4}, {"max_cardinality": 3}], ids=str)
@pytest.mark.parametrize("tolerances", [[0.9, 0.01], [0.05, 0.05], [3.0, 0.3], [0.3, float("inf")], [1e-3, 2e-3]])
def test_a_subset_is_found_iff_there_is_one(solver, tolerances, sizes):
    rng = np.random.default_rng(4)
    seen = set()
    for _ in range(6):
        instance = Instance(rng.standard_normal((9, 2)), rng.uniform(-1, 1, 2), **sizes)
        allowed = within(instance, tolerances)
        solution = solve(instance, solver, tolerance=tolerances)
        seen.add(bool(allowed))
        if allowed:
            assert solution.status is Status.WITHIN_TOLERANCE
            assert solution.subset.tolist() in allowed
            assert solution.stats["tolerance_ratio"] <= 1.0
            assert not solution.stats["none_within_tolerance"]
        else:
            assert solution.status is Status.BEST_FOUND
            assert solution.stats["tolerance_ratio"] > 1.0
            assert solution.stats["none_within_tolerance"]
        assert solution.lower_bound <= solution.error


def test_a_tolerance_of_zero_asks_for_equality():
    rng = np.random.default_rng(1)
    rows = np.column_stack([rng.integers(-5, 6, 12), rng.standard_normal(12)])
    instance = Instance(rows, [2.0, 0.3])
    allowed = within(instance, [0.0, 0.1])
    assert allowed
    solution = solve(instance, tolerance=[0.0, 0.1])
    assert solution.status is Status.WITHIN_TOLERANCE
    assert solution.subset.tolist() in allowed
    assert solve(Instance(rows, [2.5, 0.3]), tolerance=[0.0, 0.1]).stats["none_within_tolerance"]
    assert solve(Instance(rows[:, :1], [2.0]), tolerance=[0.0]).status is Status.WITHIN_TOLERANCE


def test_heuristics_take_it_as_well():
    rng = np.random.default_rng(2)
    instance = Instance(rng.standard_normal((400, 12)), rng.uniform(-1, 1, 12))
    tolerances = np.where(np.arange(12) < 6, 0.8, 3.0)
    solution = solve(instance, "sorted_pursuit", tolerance=tolerances)
    residual = instance.samples[solution.subset].sum(axis=0) - instance.target
    assert (solution.status is Status.WITHIN_TOLERANCE) == bool(np.all(np.abs(residual) <= tolerances))
    assert solution.stats["tolerance_ratio"] == pytest.approx(np.max(np.abs(residual) / tolerances))


def test_many_targets():
    rng = np.random.default_rng(3)
    rows, targets = rng.standard_normal((9, 2)), rng.uniform(-1, 1, (5, 2))
    many = solve_many(rows, targets, tolerance=[0.5, 0.02])
    for target, solution in zip(targets, many, strict=True):
        allowed = within(Instance(rows, target), [0.5, 0.02])
        assert (solution.status is Status.WITHIN_TOLERANCE) == bool(allowed)


@pytest.mark.parametrize(
    ("tolerance", "message"),
    [
        ([0.1], r"shape \(1,\), but there are 2 coordinates"),
        ([[0.1, 0.1]], r"shape \(1, 2\)"),
        ([0.1, -1.0], r"tolerance\[1\] is -1"),
        ([float("nan"), 1.0], r"tolerance\[0\] is nan"),
        (["a", "b"], "one number for each coordinate"),
        ([1e-300, 1e300], "differ by too much"),
    ],
)
def test_bad_tolerances(tolerance, message):
    with pytest.raises(InvalidInputError, match=message):
        solve(Instance([[1e9, 2.0]], [1.0, 1.0]), tolerance=tolerance)


def test_not_in_the_euclidean_norm():
    with pytest.raises(InvalidInputError, match="sup"):
        solve(Instance([[1.0, 2.0]], [1.0, 1.0]), tolerance=[1.0, 1.0], norm="l2")
