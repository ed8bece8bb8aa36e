"""The grid: bounds that must hold for every subset, exactly."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from sslth.subset_sum.candidate_buffer import CandidateBuffer
from sslth.subset_sum.exact_errors import best_exactly, round_down
from sslth.subset_sum.fixed_point import equal_rows, to_fixed_point
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.quick_subset import quick_subset


def true_error(instance, subset):
    columns = range(instance.d)
    return max(
        abs(sum((Fraction(instance.samples[i, c]) for i in subset), Fraction(0)) - Fraction(instance.target[c]))
        for c in columns
    )


def all_subsets(n):
    return itertools.chain.from_iterable(itertools.combinations(range(n), k) for k in range(n + 1))


def mixed(seed, n=7, d=2, low=-30, high=10):
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(low, high, (n, d))
    return Instance(rng.standard_normal((n, d)) * scale, rng.standard_normal(d))


INSTANCES = {
    "gaussian": Instance(np.random.default_rng(0).standard_normal((7, 2)), [0.3, -0.2]),
    "mixed magnitudes": mixed(1),
    "tiny beside huge": mixed(2, low=-300, high=300),
    "subnormal": Instance(np.array([[5e-324], [1e-310], [3e-320], [2.5e-310]]), [2e-310]),
    "subnormal beside 1": Instance(np.array([[5e-324], [1.0], [3e-320]]), [1.5]),
    "huge": Instance(np.array([[1e300, -3e299], [7e299, 1e285], [1e300, 1e300]]), [1e300, 1.0]),
    "largest": Instance(np.array([[8e307], [8.5e307]]), [1e307]),
    "zero column": Instance(np.array([[0.0, 1.1], [0.0, 0.3]]), [0.0, 1.0]),
    "all zero": Instance(np.zeros((3, 2)), [0.0, 0.0]),
    "zero rows, target not": Instance(np.zeros((3, 1)), [0.1]),
    "integers": Instance(np.array([[3.0], [5.0], [-8.0]]), [1.0]),
}


@pytest.mark.parametrize("bits", [61, 55, 20])
@pytest.mark.parametrize("name", INSTANCES)
def test_integer_errors_lie_within_the_slack(name, bits):
    instance = INSTANCES[name]
    grid = to_fixed_point(instance, bits)
    step = Fraction(2) ** grid.exponent
    reach = sum(abs(Fraction(x)) for x in instance.samples[:, 0]) + abs(Fraction(instance.target[0]))
    assert reach / step < 2**bits
    for subset in all_subsets(instance.n):
        error, exact = grid.error(np.array(subset, dtype=int)), true_error(instance, subset)
        assert abs(error - exact / step) <= grid.slack
        assert Fraction(grid.lower_bound(error)) <= exact
        assert grid.floor <= error


def test_entries_on_the_grid_have_no_slack():
    for name in ("integers", "subnormal", "all zero", "zero column", "zero rows, target not"):
        assert to_fixed_point(INSTANCES[name]).slack == 0, name
    assert to_fixed_point(INSTANCES["integers"]).exponent == 0
    assert to_fixed_point(INSTANCES["mixed magnitudes"]).slack > 0


def test_the_grid_uses_the_bits_it_may():
    grid = to_fixed_point(INSTANCES["mixed magnitudes"])
    reach = (np.abs(grid.rows).sum(axis=0) + np.abs(grid.target)).max()
    assert 2**60 <= reach <= 2**61


def test_the_floor_knows_the_sizes():
    assert to_fixed_point(Instance([[1.0], [2.0], [4.0]], [9.0])).floor == 2
    assert to_fixed_point(Instance([[1.0], [2.0], [4.0]], [9.0], max_cardinality=2)).floor == 3
    assert to_fixed_point(Instance([[1.0], [2.0], [4.0]], [0.0], cardinality=2)).floor == 3


def test_points_and_rounding_down():
    grid = to_fixed_point(Instance([[0.25]], [0.0]))
    assert (grid.points(0.5), grid.points(0.74), grid.points(float("inf"))) == (2, 2, 1 << 62)
    assert round_down(Fraction(1, 10)) <= Fraction(1, 10) < Fraction(np.nextafter(round_down(Fraction(1, 10)), 1))
    assert round_down(Fraction(2) ** -1080) == 0.0


def test_deciding_exactly_between_sums_that_floats_cannot_tell_apart():
    instance = Instance([[1.0], [1.0 + 2**-52], [1e-30], [0.0]], [1.0])
    subset, error = best_exactly(instance, [[1], [0, 2], [0, 3], [0]])
    assert subset.tolist() == [0, 3]
    assert error == 0
    with pytest.raises(ValueError, match="no subset"):
        best_exactly(instance, [])


def test_equal_rows_are_grouped_and_zero_rows_left_out_where_they_cannot_help():
    rows = [[1.0, 0.0], [0.0, -0.0], [1.0, -0.0], [2.0, 0.0], [0.0, 0.0]]
    assert [group.tolist() for group in equal_rows(Instance(rows, [1.0, 0.0]))] == [[0, 2], [3]]
    fixed = Instance(rows, [1.0, 0.0], cardinality=2)
    assert [group.tolist() for group in equal_rows(fixed)] == [[0, 2], [1, 4], [3]]


@pytest.mark.parametrize("sizes", [{}, {"cardinality": 5}, {"cardinality": 0}, {"max_cardinality": 2}])
def test_the_quick_subset_has_an_allowed_size(sizes):
    instance = Instance(np.random.default_rng(3).standard_normal((8, 3)), np.ones(3), **sizes)
    size = quick_subset(instance).size
    assert instance.smallest_size <= size <= instance.largest_size


def test_a_full_buffer_gives_up_the_proof_and_a_much_better_subset_restores_it():
    instance = Instance([[0.1], [1e-30], [0.7]], [0.45])
    grid = to_fixed_point(instance)
    assert grid.slack > 0
    buffer = CandidateBuffer(instance, grid, Limits(), lambda a, _: np.array([a]), capacity=4)
    best = buffer.best
    buffer.errors[:] = best
    buffer.control[0] = 4
    buffer.settle()
    assert buffer.overflowed_at == best
    assert int(buffer.control[0]) == 2
    assert int(buffer.control[2]) == -1
    buffer.errors[2], buffer.control[0], buffer.control[1] = best - 10 * grid.slack, 3, best - 10 * grid.slack
    buffer.settle()
    assert buffer.overflowed_at is None
    assert int(buffer.control[2]) == grid.band
