"""Subset sums in order, what they cover and when, against plain enumeration."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from sslth.errors import InvalidInputError
from sslth.theory.coverage import coverage_time, covered_length, covering_radius, subset_sums


def exact_sums(samples) -> list[Fraction]:
    return sorted(
        sum((Fraction(x) for x, kept in zip(samples, keep, strict=True) if kept), Fraction(0))
        for keep in itertools.product([False, True], repeat=len(samples))
    )


def exact_radius(sums, low, high) -> Fraction:
    """The largest distance to the nearest sum, over the places where it can be largest."""
    low, high = Fraction(low), Fraction(high)
    places = [low, high] + [(a + b) / 2 for a, b in itertools.pairwise(sums) if low <= (a + b) / 2 <= high]
    return max(min(abs(z - s) for s in sums) for z in places)


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_all_sums_in_order(n):
    samples = np.random.default_rng(n).uniform(-1, 1, n)
    sums = subset_sums(samples)
    assert sums.shape == (2**n,)
    assert (np.diff(sums) >= 0).all()
    assert sums == pytest.approx([float(value) for value in exact_sums(samples)], abs=1e-14)


@pytest.mark.parametrize("seed", range(6))
def test_the_radius_is_the_largest_distance_to_a_sum(seed):
    samples = np.random.default_rng(seed).uniform(-1, 1, 6)
    sums = subset_sums(samples)
    exact = exact_radius(exact_sums(samples), -1, 1)
    assert covering_radius(sums) == pytest.approx(float(exact), abs=1e-14)
    grid = np.linspace(-1, 1, 2001)
    distance = np.abs(grid[:, None] - sums).min(axis=1)
    assert distance.max() <= covering_radius(sums) <= distance.max() + 1e-3


def test_sums_outside_the_range_count_at_its_ends():
    assert covering_radius([-1.1, 0.0, 1.1]) == pytest.approx(0.55)
    assert covering_radius([0.0]) == 1.0
    assert covering_radius([5.0]) == 6.0
    assert covering_radius([-3.0, 3.0]) == 3.0  # half-way, at 0


@pytest.mark.parametrize("seed", range(4))
def test_the_covered_length_is_what_a_fine_grid_sees(seed):
    sums = subset_sums(np.random.default_rng(seed).uniform(-1, 1, 5))
    grid = (np.arange(20_000) + 0.5) / 10_000 - 1.0
    share = (np.abs(grid[:, None] - sums).min(axis=1) <= 0.03).mean()
    assert covered_length(sums, 0.03) == pytest.approx(2 * share, abs=32 * 2e-4)


@pytest.mark.parametrize("epsilon", [0.2, 0.05])
@pytest.mark.parametrize("seed", range(5))
def test_the_time_is_the_first_prefix_whose_radius_is_small_enough(epsilon, seed):
    samples = np.random.default_rng([seed, 1]).uniform(-1, 1, 14)
    radii = [covering_radius(subset_sums(samples[:t])) for t in range(15)]
    assert all(later <= earlier for earlier, later in itertools.pairwise(radii))
    expected = next((t for t, radius in enumerate(radii) if radius <= epsilon), None)
    assert coverage_time(samples, epsilon) == expected


def test_the_end_points_of_the_range_count():
    assert coverage_time([1.0, -1.0, 0.5, -0.5], 0.25) == 3  # -1, -.5, 0, .5, 1, 1.5
    assert coverage_time([1.0, -1.0, 0.5, -0.5], 0.249) is None
    assert coverage_time([1.0, -1.0], 0.5) == 2
    assert coverage_time([], 1.0) == 0
    assert coverage_time([0.3], 0.5) is None


def test_zeros_and_order_do_not_matter():
    samples = np.random.default_rng(0).uniform(-1, 1, 12)
    padded = np.concatenate([np.zeros(3), samples])
    assert coverage_time(padded, 0.1) == coverage_time(samples, 0.1) + 3
    assert (coverage_time(samples[::-1], 0.1) is None) == (coverage_time(samples, 0.1) is None)
    assert coverage_time(-samples, 0.1) == coverage_time(samples, 0.1)


def test_bad_input_is_refused():
    with pytest.raises(InvalidInputError, match="27 samples have 2\\^27"):
        subset_sums(np.zeros(27))
    with pytest.raises(InvalidInputError, match="finite"):
        coverage_time([0.1, np.inf], 0.1)
    with pytest.raises(InvalidInputError, match="radius"):
        coverage_time([0.1], 0.0)
