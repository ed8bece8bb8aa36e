"""Sums of k numbers and what they cover, against plain enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sslth.errors import InvalidInputError
from sslth.theory.fixed_size_sums import covering_radius, sums_of_size


@pytest.mark.parametrize(("n", "k"), [(1, 0), (1, 1), (7, 3), (8, 8), (9, 2), (6, 5)])
def test_all_sums_of_a_size(n, k):
    x = np.random.default_rng(n).normal(size=n)
    expected = sorted(sum(c) for c in itertools.combinations(x, k))
    np.testing.assert_allclose(sums_of_size(x, k), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("seed", range(8))
def test_the_radius_is_the_farthest_point(seed):
    rng = np.random.default_rng(seed)
    sums, reach = np.sort(rng.normal(size=rng.integers(1, 30)) * 2), 1.5
    grid = np.linspace(-reach, reach, 20_001)
    farthest = np.abs(grid[:, None] - sums).min(axis=1).max()
    assert farthest <= covering_radius(sums, reach) <= farthest + 1e-4


@pytest.mark.parametrize(
    ("sums", "radius"), [([3.0], 4.0), ([-3.0], 4.0), ([-3.0, 3.0], 3.0), ([-2.0, 0.9, 5.0], 1.45)]
)
def test_sums_outside(sums, radius):
    assert covering_radius(sums, 1.0) == pytest.approx(radius)


def test_impossible_sizes():
    with pytest.raises(InvalidInputError, match="no subsets of 4 of 3"):
        sums_of_size([1.0, 2.0, 3.0], 4)
    with pytest.raises(InvalidInputError, match="too many to list"):
        sums_of_size(np.zeros(40), 20)
