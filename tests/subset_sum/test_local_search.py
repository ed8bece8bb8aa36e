"""Local search: what it keeps true, and what it finds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sslth.subset_sum.draw_instance import draw_instance
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.kernels.local_search import anneal, moved_norm
from sslth.subset_sum.limits import Limits, Norm
from sslth.subset_sum.solution import StoppedBy
from sslth.subset_sum.solve import solve
from sslth.subset_sum.solvers.local_search import LocalSearch
from sslth.subset_sum.verify import verify


def plain(function):
    return getattr(function, "py_func", function)


@pytest.mark.parametrize("fourth", [False, True])
@pytest.mark.parametrize("kernel", [moved_norm, plain(moved_norm)])
@pytest.mark.parametrize("d", [1, 7, 8, 21])
def test_the_norm_after_a_move(kernel, fourth, d):
    residual, out, into = np.random.default_rng(d).standard_normal((3, d))
    moved = residual + out - 0.5 * into
    expected = np.linalg.norm(moved, 4 if fourth else 2)
    assert np.isclose(kernel(residual, out, into, 1.0, 0.5, fourth, np.empty(d)), expected, rtol=1e-13)


@pytest.mark.parametrize("kernel", [anneal, plain(anneal)])
@pytest.mark.parametrize("sizes", [(0, 12), (4, 4), (0, 5)])
@pytest.mark.parametrize("sup", [False, True])
def test_annealing_keeps_its_books(kernel, sizes, sup):
    rng = np.random.default_rng(4)
    rows, target = rng.standard_normal((12, 10)), rng.standard_normal(10)
    keep = np.arange(12) < 4
    places = np.arange(12)
    state, residual, best = np.array([4]), target - rows[:4].sum(axis=0), keep.copy()
    values = np.array([np.inf, 1.0, np.inf, -1.0])
    sizes = np.array(sizes)
    powers = np.empty(10)
    seen = set()
    for _ in range(40):
        picks, chances = rng.random((10, 3)), rng.standard_exponential(10)
        made = kernel(rows, residual, keep, places, best, state, values, sizes, picks, chances, powers, sup, 0.99)
        assert made == 10
        assert sorted(places.tolist()) == list(range(12))
        assert set(places[: state[0]].tolist()) == set(np.flatnonzero(keep).tolist())
        assert sizes[0] <= state[0] <= sizes[1]
        assert np.allclose(residual, target - rows[keep].sum(axis=0))
        assert np.isclose(values[0], np.linalg.norm(residual, 4 if sup else 2))
        best_residual = target - rows[best].sum(axis=0)
        assert np.isclose(values[2], np.linalg.norm(best_residual, np.inf if sup else 2))
        seen.add(keep.tobytes())
    assert len(seen) > 5
    assert np.isclose(values[1], 0.99**400)


@pytest.mark.parametrize("norm", ["sup", "l2"])
@pytest.mark.parametrize("sizes", [{}, {"cardinality": 4}, {"max_cardinality": 3}])
def test_it_finds_the_optimum_of_few_rows(norm, sizes):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        instance = Instance(rng.standard_normal((9, 12)), rng.uniform(-2, 2, 12), **sizes)
        subset = LocalSearch()(instance, Limits(norm=Norm(norm))).subset
        allowed = [
            np.array(rows, dtype=int)
            for size in range(instance.smallest_size, instance.largest_size + 1)
            for rows in itertools.combinations(range(9), size)
        ]
        errors = [Norm(norm).of(instance.samples[rows].sum(axis=0) - instance.target) for rows in allowed]
        assert np.isclose(Norm(norm).of(instance.samples[subset].sum(axis=0) - instance.target), min(errors))


@pytest.mark.needs_jit
@pytest.mark.parametrize(("n", "d", "k"), [(30, 72, 15), (34, 40, 17)])
def test_it_finds_the_proved_optimum_of_a_wanted_size(n, d, k):
    instance = draw_instance("gaussian", n, d, 1, cardinality=k)
    assert solve(instance, "local_search").error == solve(instance, "branch_and_bound", time_limit=None).error


@pytest.mark.needs_jit
@pytest.mark.parametrize("norm", ["sup", "l2"])
@pytest.mark.parametrize(("n", "d", "k"), [(60, 72, 15), (200, 144, 50)])
def test_it_beats_the_pursuits(n, d, k, norm):
    instance = draw_instance("gaussian", n, d, 2, cardinality=k)
    ours = solve(instance, LocalSearch(moves=400_000), norm=norm).error
    for other in ("sorted_pursuit", "best_first_pursuit"):
        assert ours < 0.95 * solve(instance, other, norm=norm).error


@pytest.mark.needs_jit
def test_more_moves_are_not_worse_and_none_goes_on_until_a_limit():
    instance = draw_instance("nsn", 300, 40, 3)
    errors = []
    for moves in (100_000, 300_000, 700_000):  # whole runs: each begins with the shorter one
        outcome = LocalSearch(moves=moves)(instance, Limits())
        assert outcome.stopped_by is StoppedBy.DONE
        assert outcome.work == moves
        errors.append(verify(instance, outcome.subset).error)
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < errors[0]
    endless = LocalSearch(moves=None)(instance, Limits(max_work=1_234_567))
    assert endless.stopped_by is StoppedBy.WORK
    assert endless.work == 1_234_567


def test_the_tolerance_ends_the_search():
    instance = Instance(np.random.default_rng(0).standard_normal((40, 3)), [0.3, 0.2, -0.4])
    outcome = LocalSearch()(instance, Limits(tolerance=0.1, max_work=100_000))
    assert outcome.stopped_by is StoppedBy.TOLERANCE
    assert 0 < outcome.work < 100_000
    assert verify(instance, outcome.subset).error <= 0.1


@pytest.mark.parametrize("scale", [1e290, 1e-290])
def test_the_scale_does_not_matter(scale):
    rng = np.random.default_rng(6)
    rows, target = rng.standard_normal((12, 20)), rng.uniform(-2, 2, 20)
    factor = 2.0 ** round(np.log2(scale))
    near = LocalSearch(moves=2000)(Instance(rows, target), Limits()).subset
    far = LocalSearch(moves=2000)(Instance(rows * factor, target * factor), Limits()).subset
    assert near.tolist() == far.tolist()


def test_no_time_still_gives_a_subset():
    instance = draw_instance("gaussian", 20, 30, 0, cardinality=7)
    outcome = LocalSearch()(instance, Limits(time_limit=0.0))
    assert outcome.stopped_by is StoppedBy.TIME
    assert outcome.subset.size == 7
    assert outcome.work == 0
