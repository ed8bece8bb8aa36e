"""Unions of intervals against lists of points and exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from sslth.errors import InvalidInputError
from sslth.theory.interval_unions import IntervalUnion, pairs_within


def union_of(*ends) -> IntervalUnion:
    return IntervalUnion(np.array([low for low, _ in ends]), np.array([high for _, high in ends]))


def as_pairs(union) -> list[tuple[float, float]]:
    return list(zip(union.starts.tolist(), union.ends.tolist(), strict=True))


def random_union(rng, count) -> IntervalUnion:
    ends = np.sort(rng.uniform(-2, 2, 2 * count))
    return IntervalUnion(ends[::2], ends[1::2])


def test_points_become_intervals_that_merge_where_they_touch():
    assert as_pairs(IntervalUnion.around([3.0, 0.0, 1.0], 0.5)) == [(-0.5, 1.5), (2.5, 3.5)]


def test_a_shift_is_united_with_what_was_there():
    union = union_of((0.0, 1.0), (4.0, 5.0))
    assert as_pairs(union.grown(0.5)) == [(0.0, 1.5), (4.0, 5.5)]
    assert as_pairs(union.grown(-3.0)) == [(-3.0, -2.0), (0.0, 2.0), (4.0, 5.0)]
    assert as_pairs(union.grown(0.0)) == as_pairs(union)


@pytest.mark.parametrize("seed", range(5))
def test_growing_covers_the_points_that_it_should(seed):
    rng = np.random.default_rng(seed)
    union, shift = random_union(rng, 6), rng.uniform(-1, 1)
    grown = union.grown(shift)
    for z in rng.uniform(-4, 4, 400):
        inside = any(low <= z <= high or low <= z - shift <= high for low, high in as_pairs(union))
        assert inside == any(low <= z <= high for low, high in as_pairs(grown))
    assert (grown.starts[1:] > grown.ends[:-1]).all()


def test_clipping_and_gaps_share_out_the_range():
    union = union_of((-2.0, -0.5), (0.0, 0.25), (0.75, 3.0))
    assert as_pairs(union.clipped(-1.0, 1.0)) == [(-1.0, -0.5), (0.0, 0.25), (0.75, 1.0)]
    assert as_pairs(union.gaps(-1.0, 1.0)) == [(-0.5, 0.0), (0.25, 0.75)]
    assert union.clipped(-1.0, 1.0).length + union.gaps(-1.0, 1.0).length == 2.0
    assert as_pairs(union_of((2.0, 3.0)).gaps(-1.0, 1.0)) == [(-1.0, 1.0)]
    assert as_pairs(union_of((2.0, 3.0)).clipped(-1.0, 1.0)) == []


def test_covering_includes_both_ends():
    assert union_of((-1.0, 1.0)).covers(-1.0, 1.0)
    assert not union_of((-1.0, 1.0)).covers(-1.0, np.nextafter(1.0, 2.0))
    assert not union_of((-1.0, 1.0)).covers(np.nextafter(-1.0, -2.0), 1.0)
    assert not union_of((-1.0, 0.0), (0.5, 1.0)).covers(-1.0, 1.0)
    assert union_of((-9.0, -8.0), (-1.5, 1.0)).covers(-1.0, 1.0)
    assert not union_of((0.0, 1.0)).covers(-1.0, 1.0)


def exact_pairs(first, second, distance: Fraction) -> Fraction:
    """The area of |a - z| <= distance, from (x)_+² / 2 at the corners of every rectangle."""

    def square(x):
        return max(x, Fraction(0)) ** 2 / 2

    total = Fraction(0)
    for low, high in as_pairs(first):
        for left, right in as_pairs(second):
            a, b, c, d = (Fraction(value) for value in (low, high, left, right))
            for t, sign in ((distance, 1), (-distance, -1)):
                total += sign * (square(t - a + d) - square(t - b + d) - square(t - a + c) + square(t - b + c))
    return total


@pytest.mark.parametrize("seed", range(8))
def test_the_area_of_near_pairs_is_exact_within_its_error(seed):
    rng = np.random.default_rng(seed)
    first, second = random_union(rng, int(rng.integers(1, 30))), random_union(rng, int(rng.integers(1, 30)))
    area, error = pairs_within(first, second, 1.0)
    exact = exact_pairs(first, second, Fraction(1))
    assert abs(Fraction(area) - exact) <= Fraction(error)
    assert error < 1e-9
    assert pairs_within(second, first, 1.0)[0] == pytest.approx(area, rel=1e-9)


def test_areas_by_hand():
    left, right = union_of((-1.0, 0.0)), union_of((0.0, 1.0))
    assert pairs_within(left, right, 2.0)[0] == pytest.approx(1.0)  # all pairs
    assert pairs_within(left, right, 1.0)[0] == pytest.approx(0.5)  # a triangle
    assert pairs_within(left, left, 0.5)[0] == pytest.approx(0.75)  # all but two triangles of .125
    assert pairs_within(left, union_of((1.5, 2.0)), 1.0)[0] == pytest.approx(0.0, abs=1e-14)
    assert pairs_within(left, union_of((2.0, 3.0)).clipped(0.0, 1.0), 1.0) == (0.0, 0.0)


@pytest.mark.parametrize(("points", "radius"), [([], 0.1), ([np.nan], 0.1), ([0.0], 0.0), ([0.0], -1.0), ([[0.0]], 1)])
def test_impossible_unions_are_refused(points, radius):
    with pytest.raises(InvalidInputError, match=r"points|radius"):
        IntervalUnion.around(points, radius)
