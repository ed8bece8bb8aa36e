"""`count` and `solutions` against itertools and Fraction, against each other, and at n = 40."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import oracle
import pytest
from exact_cases import CASES

import sslth.subset_sum.count as counting
from sslth.errors import InvalidInputError
from sslth.subset_sum.count import count
from sslth.subset_sum.draw_instance import draw_instance
from sslth.subset_sum.exact.top import TopCandidates
from sslth.subset_sum.fixed_point import to_fixed_point
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.solution import Status
from sslth.subset_sum.solutions import solutions

SIZES = [{}, {"cardinality": 0}, {"cardinality": 3}, {"cardinality": 6}, {"max_cardinality": 2}]


def every_error(instance: Instance) -> list[tuple[Fraction, int, list[int]]]:
    """The exact error of every allowed subset, in the order in which `solutions` lists them."""
    subsets = (
        list(subset)
        for size in range(instance.smallest_size, instance.largest_size + 1)
        for subset in itertools.combinations(range(instance.n), size)
    )
    return sorted((oracle.exact_error(instance.samples, instance.target, s), len(s), s) for s in subsets)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_counts_are_exact_at_below_and_above_every_error(name, sizes):
    instance = Instance(*CASES[name], **sizes)
    errors = [error for error, _, _ in every_error(instance)]
    for place in {0, len(errors) // 3, len(errors) // 2, len(errors) - 1}:
        near = float(errors[place])
        for tolerance in (near, math.nextafter(near, 0.0), math.nextafter(near, math.inf)):
            wanted = sum(error <= Fraction(tolerance) for error in errors)
            assert count(instance, tolerance) == wanted
    assert count(instance, 0.0) == sum(error == 0 for error in errors)
    assert count(instance, math.inf) == len(errors)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_the_list_is_the_beginning_of_all_subsets_in_order(name, sizes):
    instance = Instance(*CASES[name], **sizes)
    everything = every_error(instance)
    for limit in (1, 7, 1000):
        listed = solutions(instance, limit=limit)
        assert [s.subset.tolist() for s in listed] == [subset for _, _, subset in everything[:limit]]
        assert [s.error for s in listed] == [oracle.rounded_up(error) for error, _, _ in everything[:limit]]
        assert listed[0].status is Status.OPTIMAL
    tolerance = float(everything[len(everything) // 4][0])
    within = [subset for error, _, subset in everything if error <= Fraction(tolerance)]
    assert [s.subset.tolist() for s in solutions(instance, tolerance, limit=1000)] == within


@pytest.mark.needs_jit
@pytest.mark.parametrize("sizes", [{}, {"cardinality": 6}, {"max_cardinality": 5}], ids=str)
@pytest.mark.parametrize(("n", "d"), [(20, 1), (20, 2), (19, 3), (18, 6)])
def test_the_list_of_larger_instances_agrees_with_all_sums(n, d, sizes):
    instance = draw_instance("gaussian", n, d, n + d, **sizes)
    masks = (np.arange(1 << n)[:, None] >> np.arange(n)) & 1
    rows = masks.sum(axis=1)
    masks = masks[(rows >= instance.smallest_size) & (rows <= instance.largest_size)]
    errors = np.abs(masks @ instance.samples - instance.target).max(axis=1)
    order = np.argsort(errors)[:50]
    listed = solutions(instance, limit=50)
    assert [s.subset.tolist() for s in listed] == [np.flatnonzero(mask).tolist() for mask in masks[order]]
    assert all(one.error <= two.error for one, two in itertools.pairwise(listed))
    for tolerance in (0.05, 0.4, 2.0):
        assert count(instance, tolerance) == int((errors <= tolerance).sum())
        if count(instance, tolerance) < 3000:
            assert len(solutions(instance, tolerance, limit=3000)) == count(instance, tolerance)


@pytest.mark.needs_jit
@pytest.mark.parametrize("threads", [1, 3])
def test_streams_list_what_cells_list(threads):
    """At n = 32 and d = 2 the halves are streamed; the subsets of the list are found by a count as well."""
    instance = draw_instance("nsn", 32, 2, 4)
    listed = solutions(instance, limit=40, threads=threads)
    assert len({tuple(s.subset.tolist()) for s in listed}) == 40
    for place in (0, 5, 39):
        assert count(instance, listed[place].error) == place + 1
        assert count(instance, math.nextafter(listed[place].error, 0.0)) == place


@pytest.mark.needs_jit
def test_counts_at_forty_rows():
    """Any tolerance for d <= 2: all pairs of halves, none looked at alone."""
    for d in (1, 2):
        instance = draw_instance("uniform", 40, d, 0)
        counts = [count(instance, tolerance) for tolerance in (1e-3, 0.5, 3.0, 1e3)]
        assert counts == sorted(counts)
        assert counts[-1] == 2**40
        expected = (
            2.0**40 * (2e-3 / math.sqrt(2 * math.pi * 40 / 12)) ** d
        )  # a uniform row kept or not: variance 1/12 each
        if d == 1:
            assert 0.5 < counts[0] / expected < 2.0
    sized = draw_instance("uniform", 40, 2, 0, cardinality=20)
    assert count(sized, 1e3) == math.comb(40, 20)


def test_equal_rows_make_different_subsets():
    instance = Instance(np.ones((10, 1)), [3.0])
    assert count(instance, 0.0) == math.comb(10, 3)
    assert len(solutions(instance, 0.0, limit=500)) == math.comb(10, 3)
    zeros = Instance(np.vstack([np.zeros((4, 2)), [[1.0, 1.0]]]), [1.0, 1.0])
    assert count(zeros, 0.0) == 16


def test_more_ties_than_fit_are_cut_without_losing_better_ones():
    rng = np.random.default_rng(0)
    instance = Instance(rng.integers(-1, 2, (18, 1)), [0.5])
    listed = solutions(instance, limit=30)
    assert [s.error for s in listed] == [0.5] * 30
    assert len({tuple(s.subset.tolist()) for s in listed}) == 30


def test_a_full_buffer_keeps_the_smallest_errors():
    top = TopCandidates(to_fixed_point(Instance([[1.0]], [0.0])), wanted=5)
    top.start_pass(10**9)
    rng = np.random.default_rng(3)
    seen = []
    for _ in range(4):
        errors = rng.integers(0, 10**6, 100_000)
        top.absorb(errors, np.stack([errors, errors], axis=1))
        seen.append(errors)
    kept = top.errors[top.decisive()]
    assert kept[:5].tolist() == np.sort(np.concatenate(seen))[:5].tolist()
    assert kept[4] <= top.bound < 10**6
    assert np.array_equal(top.codes[: top.count, 0], top.errors[: top.count])


def test_nothing_is_listed_where_nothing_exists():
    impossible = Instance([[1.0], [2.0]], [1.0], cardinality=5)
    assert count(impossible, 10.0) == 0
    assert solutions(impossible) == []
    assert solutions(Instance([[1.0], [2.0]], [0.5]), tolerance=0.25) == []


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), "much", True])
def test_bad_tolerances_are_refused(wrong):
    with pytest.raises(InvalidInputError, match="tolerance"):
        count(Instance([[1.0]], [1.0]), wrong)
    with pytest.raises(InvalidInputError, match="tolerance"):
        solutions(Instance([[1.0]], [1.0]), wrong)


@pytest.mark.parametrize("wrong", [0, -3, 1.5, 10**9])
def test_bad_limits_are_refused(wrong):
    with pytest.raises(InvalidInputError, match="limit"):
        solutions(Instance([[1.0]], [1.0]), limit=wrong)


def test_too_many_are_estimated(monkeypatch):
    instance = draw_instance("gaussian", 20, 3, 0)
    truth = count(instance, 2.5)
    monkeypatch.setattr(counting, "_MOST_CHECKS", 1000)
    monkeypatch.setattr(counting, "_MOST_MATCHES", 1000)
    with pytest.raises(InvalidInputError, match=r"more than 1e\+03 subsets .* d >= 3") as refusal:
        count(instance, 2.5)
    estimate = float(str(refusal.value).split("match, about ")[1].split(" ")[0])
    assert truth / 2 < estimate < truth * 2
    with pytest.raises(InvalidInputError, match=r"count needs \d.* GiB for .*n=60.*about .* expected within 0.1"):
        count(draw_instance("gaussian", 60, 2, 0), 0.1)


def test_too_many_on_the_edge_of_the_tolerance_are_refused(monkeypatch):
    monkeypatch.setattr(counting, "_MOST_BORDERLINE", 100)
    rows = np.vstack([np.ones((12, 1)), [[2.0**-70]]])  # a grid that cannot hold the last row
    with pytest.raises(InvalidInputError, match=r"more than 100 subsets .* within rounding of the tolerance 1"):
        count(Instance(rows, [5.0]), 1.0)


@pytest.mark.needs_jit
@pytest.mark.parametrize("sizes", [{}, {"cardinality": 9}])
def test_halves_that_do_not_fit_are_streamed(sizes):
    instance = draw_instance("nsn", 30, 2, 1, **sizes)
    assert count(instance, 0.01) > 10
    for tolerance in (1e-3, 0.01):
        assert count(instance, tolerance, memory_bytes=4_000_000) == count(instance, tolerance)
    with pytest.raises(InvalidInputError, match="too many to list"):
        count(instance, 2.0, memory_bytes=4_000_000)
