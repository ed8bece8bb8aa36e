"""Subsets in the order of their size, against itertools."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sslth.subset_sum.kernels.smallest_size import FIRST, SMALLEST, search_by_size, search_many_by_size

both_ways = pytest.mark.parametrize(
    "search", [search_by_size, getattr(search_by_size, "py_func", search_by_size)], ids=["jit", "plain"]
)


def by_hand(samples: np.ndarray, target: float, tolerance: float, largest: int) -> tuple[int, float, float]:
    """Size, first error and smallest error, by listing subsets; sums are added from the first row to the last."""
    best, best_size = abs(target), 0
    for size in range(min(largest, samples.size) + 1):
        errors = []
        for rows in itertools.combinations(samples.tolist(), size):
            total = 0.0
            for row in rows:
                total += row
            errors.append(abs(total - target))
        fits = [error for error in errors if error <= tolerance]
        if fits:
            return size, fits[0], min(errors)
        if min(errors) < best:
            best, best_size = min(errors), size
    return best_size, best, best


@both_ways
@pytest.mark.parametrize("tolerance", [0.0, 0.01, 0.2])
def test_as_by_hand(search, tolerance):
    rng = np.random.default_rng(round(1000 * tolerance))
    failures = 0
    for n in (1, 2, 3, 6, 7):
        for largest in (0, 1, n - 1, n, n + 2):
            for _ in range(4):
                samples, target = rng.uniform(-1, 1, n), rng.uniform(-1, 1)
                errors = np.full(2, np.nan)
                size = search(samples, target, tolerance, largest, errors)
                assert (size, errors[FIRST], errors[SMALLEST]) == by_hand(samples, target, tolerance, largest)
                failures += errors[FIRST] > tolerance
    assert failures > 0


@both_ways
def test_the_empty_subset_comes_first_and_the_tolerance_is_inclusive(search):
    errors = np.zeros(2)
    assert search(np.array([0.25, 0.5]), 0.25, 0.25, 2, errors) == 0
    assert errors.tolist() == [0.25, 0.25]
    assert search(np.array([0.5, 0.25]), 0.25, 0.125, 2, errors) == 1
    assert errors.tolist() == [0.0, 0.0]


@both_ways
def test_first_and_best_of_one_size_differ(search):
    errors = np.zeros(2)
    assert search(np.array([0.95, 1.05, 0.99]), 1.0, 0.06, 3, errors) == 1
    assert errors == pytest.approx([0.05, 0.01])


@both_ways
def test_the_full_size_is_tried_only_if_it_is_allowed(search):
    samples, errors = np.array([1.0, 2.0, 4.0]), np.zeros(2)
    assert search(samples, 7.0, 0.5, 3, errors) == 3
    assert search(samples, 7.0, 0.5, 2, errors) == 2
    assert errors.tolist() == [1.0, 1.0]  # 2 + 4


def test_many_are_one_after_the_other():
    rng = np.random.default_rng(5)
    samples, targets = rng.uniform(-1, 1, (20, 6)), rng.uniform(-1, 1, 20)
    sizes, errors = np.empty(20, dtype=np.int64), np.empty((20, 2))
    search_many_by_size(samples, targets, 0.05, 5, sizes, errors)
    for index in range(20):
        assert (sizes[index], *errors[index]) == by_hand(samples[index], targets[index], 0.05, 5)
