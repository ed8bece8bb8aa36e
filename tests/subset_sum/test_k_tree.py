"""The k-tree: its kernels against plain loops, and what its rounds reach."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from sslth.subset_sum.instance import Instance
from sslth.subset_sum.kernels.k_tree import add_pairs, signed_sums, sums_of_size
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import Status, StoppedBy
from sslth.subset_sum.solve import solve
from sslth.subset_sum.solvers import k_tree
from sslth.subset_sum.solvers.k_tree import KTree
from sslth.subset_sum.solvers.k_tree_lists import Group, SumList, Tree, to_grid
from sslth.subset_sum.solvers.k_tree_plan import cut_candidates, plans


def gaussian(n: int, d: int, seed: int, **sizes) -> Instance:
    rng = np.random.default_rng(seed)
    return Instance(rng.standard_normal((n, d)), rng.uniform(-1, 1, d), **sizes)


# ------------------------------------------------------------------------------------------------ lists


@pytest.mark.parametrize("fixed", [0, 1])
def test_signed_sums_are_all_of_them(fixed):
    rows = np.random.default_rng(0).integers(-1000, 1000, (6, 2))
    sums = np.empty((2 ** (6 - fixed), 2), dtype=np.int64)
    signed_sums(rows, fixed, sums)
    signs = itertools.product(*[(1,)] * fixed, *[(1, -1)] * (6 - fixed))
    expected = sorted(tuple(int(v) for v in np.array(s) @ rows) for s in signs)
    assert sorted(map(tuple, sums.tolist())) == expected


@pytest.mark.parametrize("size", [0, 1, 3, 6])
def test_sums_of_a_size_come_in_lexicographic_order(size):
    rows = np.random.default_rng(1).integers(-1000, 1000, (6, 2))
    sums = np.empty((math.comb(6, size), 2), dtype=np.int64)
    sums_of_size(rows, size, sums, np.empty(size, dtype=np.int64), np.empty((size + 1, 2), dtype=np.int64))
    expected = [rows[list(chosen)].sum(axis=0).tolist() for chosen in itertools.combinations(range(6), size)]
    assert sums.tolist() == expected


@pytest.mark.parametrize(("size", "fixed"), [(None, 0), (None, 1), (0, 0), (2, 0), (5, 0)])
def test_an_index_of_a_group_gives_the_rows_of_its_sum(size, fixed):
    rows = np.random.default_rng(2).standard_normal((5, 3))
    group = Group(np.arange(10, 15), fixed, size)
    tree = make_tree(mirrored=size is None)
    leaf = tree.leaf(group, rows, to_grid(rows, -50), np.zeros(3), np.zeros(3, dtype=np.int64))
    assert leaf.keys.shape[0] == (math.comb(5, size) if size is not None else 2 ** (5 - fixed))
    for index, key in enumerate(leaf.keys):
        chosen = group.chosen(index, False) - 10
        total = rows[chosen].sum(axis=0)
        expected = total if size is not None else 2 * total - rows.sum(axis=0)
        assert key == pytest.approx(expected, abs=1e-12)
        assert leaf.exact[index] * 2.0**-50 == pytest.approx(expected, abs=1e-12)
        if size is None:
            assert sorted([*chosen, *(group.chosen(index, True) - 10)]) == list(range(5))


def test_the_grid_is_the_value_rounded_modulo_two_to_the_64():
    values = np.array([0.0, 1.0, -1.0, 3.7, -1e-3, 2.0**-70, 123456.789, -(2.0**40)])
    for exponent in (-61, -40, 0, 3):
        for value, got in zip(values, to_grid(values, exponent), strict=True):
            exact = Fraction(value) / Fraction(2) ** exponent
            apart = (int(got) - math.floor(exact + Fraction(1, 2))) % 2**64
            assert apart == 0


def make_tree(mirrored: bool, size: int = 64, exponent: int = -50, steps: int = 10**9) -> Tree:
    return Tree(size, mirrored, exponent, lambda _done: steps)


def make_list(keys: np.ndarray, first_row: int = 0, exponent: int = -50) -> SumList:
    exact = to_grid(keys, exponent)
    rounded = np.ldexp(exact.astype(np.float64), exponent)
    node = Group(np.arange(first_row, first_row + keys.shape[0]), 0, 1)  # sum i is row i
    return SumList(rounded, exact, node, 1, np.abs(rounded).max(axis=0), (rounded, exact))


def plain_pairs(a: np.ndarray, b: np.ndarray, limit: float, mirrored: bool) -> dict[tuple[int, int], float]:
    """Index of a and index of the point of b, with the distance; all within the limit."""
    found = {}
    for i, j in itertools.product(range(len(a)), range(len(b))):
        for flip in (0, 1) if mirrored else (0,):
            distance = float(np.abs(a[i] - b[j] if flip else a[i] + b[j]).max())
            if distance <= limit:
                found[i, 2 * j + flip if mirrored else j] = distance
    return found


@pytest.mark.parametrize("mirrored", [True, False])
@pytest.mark.parametrize(("d", "limit"), [(1, 0.0), (1, 0.01), (1, 5.0), (2, 0.1), (3, 0.3), (5, 0.7), (11, 1.2)])
def test_the_close_pairs_are_those_of_a_plain_loop(d, limit, mirrored):
    rng = np.random.default_rng(d)
    a = make_list(rng.standard_normal((70, d)))
    b = make_list(np.vstack([rng.standard_normal((60, d)), -a.keys[:5], a.keys[5:10]]))
    expected = plain_pairs(a.keys, b.keys, limit, mirrored)
    pairs = np.empty((70 * 70 * 2, 2), dtype=np.int32)
    for steps in (10**9, 100):  # in one go, and with many interruptions
        found, share = make_tree(mirrored, steps=steps)._close(a, b, limit, 1, pairs)
        assert share == 1.0
        assert found == len(expected) >= 5
        assert {tuple(pair) for pair in pairs[:found].tolist()} == set(expected)


@pytest.mark.parametrize("mirrored", [True, False])
@pytest.mark.parametrize("d", [1, 2, 4])
def test_the_best_pair_is_that_of_a_plain_loop(d, mirrored):
    rng = np.random.default_rng(d)
    a, b = make_list(rng.standard_normal((50, d))), make_list(rng.standard_normal((40, d)), first_row=50)
    everything = plain_pairs(a.keys, b.keys, math.inf, mirrored)
    i, j = min(everything, key=everything.__getitem__)
    best = everything[i, j]
    for enough in (math.inf, best):
        chosen = make_tree(mirrored).best_pair(a, b, enough)
        row_of_b = 50 + (j // 2 if mirrored else j)
        assert chosen is not None
        assert {i, row_of_b} <= set(chosen.tolist())
    assert make_tree(mirrored).best_pair(a, b, best * 0.999) is None


@pytest.mark.parametrize("mirrored", [True, False])
def test_a_merge_keeps_about_as_many_sums_as_asked_and_the_nearest(mirrored):
    rng = np.random.default_rng(4)
    a, b = make_list(rng.uniform(-1, 1, (500, 3))), make_list(rng.uniform(-1, 1, (500, 3)))
    keys = a.keys.copy(), b.keys.copy()
    merged = make_tree(mirrored, size=400).merge(a, b, has_target=False)
    count, limit = merged.keys.shape[0], float(merged.reach[0])
    assert 250 <= count <= 520
    expected = plain_pairs(*keys, limit, mirrored)
    assert count == len(expected)
    for (i, j), key, exact in zip(merged.node.pairs.tolist(), merged.keys, merged.exact, strict=True):
        second = (keys[1][j >> 1] * (1 - 2 * (j & 1))) if mirrored else keys[1][j]
        assert key == pytest.approx(keys[0][i] + second, abs=1e-13)
        assert (exact * 2.0**-50 == key).all()


def test_sums_that_wrapped_around_are_exact_once_they_are_small():
    a, b = np.array([[2**62 + 5]]), np.array([[2**62 - 3 - 2**63]])  # 2**62 - 3 less 2**63
    exact, keys = np.empty((1, 1), dtype=np.int64), np.empty((1, 1))
    pairs = np.array([[0, 1]], dtype=np.int32)  # a - b = 2**63 + 8, which is 8 - 2**63 modulo 2**64
    add_pairs(a, b, pairs, True, 1.0, np.empty_like(exact), exact, keys)
    assert exact[0, 0] == 8 - 2**63


# ------------------------------------------------------------------------------------------------ plans


def test_plans_get_better_with_their_cost_and_keep_within_the_memory():
    candidates = cut_candidates(1000, False)
    tails = {rows for _, rows in candidates}
    ones, zeros = dict.fromkeys(tails, 1.0), dict.fromkeys(tails, np.zeros(4))
    front = plans(4, candidates, ones, zeros, None, 1 << 28)
    assert len(front) > 20
    assert all(b.cost >= a.cost and b.log_error < a.log_error for a, b in itertools.pairwise(front))
    small = plans(4, candidates, ones, zeros, None, 1 << 20)
    assert max(plan.log_size for plan in small) < max(plan.log_size for plan in front)
    assert all(9 << (plan.levels + plan.log_size) <= 1 << 20 for plan in small)


# ------------------------------------------------------------------------------------------------ the solver


@pytest.mark.parametrize(("n", "d"), [(4, 1), (9, 2), (12, 1), (12, 3), (16, 2)])
def test_few_rows_are_searched_completely(n, d):
    for seed in range(3):
        instance = gaussian(n, d, seed)
        assert solve(instance, "k_tree").error == solve(instance, "brute_force").error


@pytest.mark.needs_jit
@pytest.mark.parametrize(
    ("d", "size", "error"), [(1, {}, 1e-17), (2, {}, 1e-9), (4, {}, 1e-4), (2, {"cardinality": 50}, 1e-8)]
)
def test_a_few_hundred_rows_get_close(d, size, error):
    for seed in range(2):
        solution = solve(gaussian(250, d, seed, **size), "k_tree", max_work=60_000_000, time_limit=None)
        assert solution.error < error


@pytest.mark.needs_jit
def test_the_error_falls_with_the_work():
    errors = [
        np.mean([np.log(solve(gaussian(400, 3, s), "k_tree", max_work=w, time_limit=None).error) for s in range(4)])
        for w in (10**4, 10**6, 10**8)
    ]
    assert errors[0] > errors[1] + 1 > errors[2] + 2


@pytest.mark.needs_jit
def test_one_dimension_is_solved_beyond_the_resolution_of_float_sums():
    instance = gaussian(800, 1, 5)
    solution = solve(instance, "k_tree", max_work=10**8, time_limit=None)
    assert solution.error < 1e-19
    assert abs(instance.samples[solution.subset].sum() - instance.target[0]) < 1e-12


@pytest.mark.needs_jit
@pytest.mark.parametrize("limit", ["cardinality", "max_cardinality"])
@pytest.mark.parametrize("k", [1, 2, 7, 60, 199, 200])
def test_any_number_of_rows_can_be_asked_for(k, limit):
    instance = gaussian(200, 2, k, **{limit: k})
    solution = solve(instance, "k_tree", max_work=5_000_000, time_limit=None)
    assert solution.subset.size == k if limit == "cardinality" else solution.subset.size <= k
    if k == 60:
        assert solution.error < 1e-4


@pytest.mark.needs_jit
def test_a_far_target_is_approached_by_the_large_rows_first():
    rng = np.random.default_rng(6)
    samples = rng.standard_normal((2000, 1)) * rng.standard_normal((2000, 3))
    solution = solve(Instance(samples, [150.0, -200.0, 100.0]), "k_tree", max_work=10**8, time_limit=None)
    assert solution.error < 1e-5


def test_the_tolerance_ends_the_search():
    solution = solve(gaussian(300, 2, 7), "k_tree", tolerance=1e-3, time_limit=60.0)
    assert solution.status is Status.WITHIN_TOLERANCE
    assert solution.stats["stopped_by"] == "tolerance"
    assert solution.stats["rounds"] <= 1


@pytest.mark.needs_jit
def test_a_search_without_limits_ends():
    outcome = KTree(memory=1 << 18, largest_round=1e7, repeats=2)(gaussian(60, 3, 8), Limits())
    assert outcome.stopped_by is StoppedBy.DONE


def test_an_interrupt_keeps_the_best_subset():
    limits = Limits()
    limits.interrupted.set()
    outcome = KTree()(gaussian(100, 3, 9), limits)
    assert outcome.stopped_by is StoppedBy.INTERRUPT
    assert outcome.subset is not None


def test_small_chunks_change_no_answer(monkeypatch):
    instance, solver = gaussian(150, 3, 10), KTree(largest_round=3e7, repeats=1)
    expected = solver(instance, Limits())
    monkeypatch.setattr(k_tree, "_CODES_A_CHUNK", 1_000)
    again = solver(instance, Limits())
    assert again.subset.tolist() == expected.subset.tolist()
    assert again.work == expected.work
