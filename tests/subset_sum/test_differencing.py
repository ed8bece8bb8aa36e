"""Differencing: against Karmarkar and Karp's method on Python integers, and against enumeration."""

from __future__ import annotations

import heapq
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from sslth.errors import InvalidInputError
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.kernels.differencing import LOW_BITS, difference_largest, search_signs, spread_signs
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import Status, StoppedBy
from sslth.subset_sum.solve import solve
from sslth.subset_sum.solvers.differencing import Differencing, _Differences, _Numbers, _split


def gaussian(n: int, seed: int) -> Instance:
    rng = np.random.default_rng(seed)
    return Instance(rng.standard_normal(n), rng.uniform(-1, 1))


def plain_differencing(numbers: list[int]) -> int:
    heap = [-number for number in numbers]
    heapq.heapify(heap)
    while len(heap) > 1:
        largest, second = heapq.heappop(heap), heapq.heappop(heap)
        heapq.heappush(heap, largest - second)
    return -heap[0]


def in_heap(numbers: list[int]) -> _Differences:
    high = np.array([number >> LOW_BITS for number in numbers], dtype=np.int64)
    low = np.array([number % 2**LOW_BITS for number in numbers], dtype=np.int64)
    order = np.array(sorted(range(len(numbers)), key=lambda i: -numbers[i]), dtype=np.int64)
    return _Differences.of(high, low, order)


@pytest.mark.parametrize("bits", [3, 62, 100, 120])
@pytest.mark.parametrize("n", [1, 2, 3, 10, 60])
def test_the_last_difference_and_its_signs_are_right(n, bits):
    rng = np.random.default_rng(n)
    numbers = [int.from_bytes(rng.bytes(16), "big") >> (128 - bits) for _ in range(n)]
    state = in_heap(numbers)
    third = np.zeros(n, dtype=np.bool_)
    size = n
    while size > 1:  # a few steps at a time
        size = difference_largest(
            state.high, state.low, state.heap, state.keys, size, 1, third, state.larger, state.smaller, 7
        )
    last = state.heap[0]
    value = (int(state.high[last]) << LOW_BITS) + int(state.low[last])
    assert value == plain_differencing(numbers)
    signs = np.ones(n, dtype=np.int64)
    spread_signs(state.larger, state.smaller, 1, signs)
    assert abs(sum(int(sign) * number for sign, number in zip(signs, numbers, strict=True))) == value


def test_the_third_largest_can_take_part():
    state = in_heap([100, 90, 50, 3])
    third = np.array([False, False, True, False])  # where four numbers become three
    size = difference_largest(
        state.high, state.low, state.heap, state.keys, 4, 3, third, state.larger, state.smaller, 10
    )
    assert sorted(state.low[state.heap[:size]].tolist()) == [3, 50, 90]  # 100 - 50, 90, 3


@pytest.mark.parametrize("m", [2, 3, 5, 9, 11])
def test_the_search_finds_the_best_signs(m):
    for seed in range(5):
        numbers = sorted(np.random.default_rng(seed).integers(1, 10**6, m).tolist(), reverse=True)
        values, names = np.zeros((2, m, m), dtype=np.int64)
        values[0], names[0] = numbers, np.arange(m)
        path, best_path = np.zeros((2, m - 1, 3), dtype=np.int64)
        best, place, branch = np.array([2**62]), np.zeros(1, dtype=np.int64), np.zeros(m, dtype=np.int64)
        while place[0] >= 0 and best[0] > 0:
            search_signs(values, names, branch, path, best_path, best, place, 50)
        sums = (
            abs(sum(s * v for s, v in zip(signs, numbers, strict=True)))
            for signs in itertools.product((1, -1), repeat=m)
        )
        assert best[0] == min(sums)
        signs = [1] * m
        for kept, taken, sign in best_path[::-1].tolist():
            signs[taken] = sign * signs[kept]
        assert abs(sum(s * v for s, v in zip(signs, numbers, strict=True))) == best[0]


def test_two_words_hold_the_value():
    values = np.array([0.0, 1.0, 0.1, 2.0**-60, 3.0, 1e-30, 5e-324, math.pi])
    high, low = _split(values, 2 - 123)
    for value, h, w in zip(values, high.tolist(), low.tolist(), strict=True):
        assert 0 <= w < 2**LOW_BITS
        assert (h << LOW_BITS) + w == math.floor(Fraction(value) / Fraction(2) ** (2 - 123))


def test_the_right_hand_side_is_exact():
    instance = Instance([1e16, 1.0, -3.0, 2.0**-40], 2.5)
    numbers = _Numbers.of(instance, np.arange(4), np.empty(0, dtype=np.int64))
    exact = [(h << LOW_BITS) + w for h, w in zip(numbers.high.tolist(), numbers.low.tolist(), strict=True)]
    unit = Fraction(10**16) / exact[0]
    wanted = 2 * Fraction(2.5) - sum(Fraction(x) for x in instance.samples[:, 0])
    assert exact[-1] * unit == abs(wanted)
    assert numbers.negative.tolist() == [False, False, True, False, True]


@pytest.mark.parametrize("n", [1, 2, 3, 7, 12, 16])
def test_few_rows_are_searched_completely(n):
    for seed in range(4):
        instance = gaussian(n, 10 * n + seed)
        assert solve(instance, "differencing").error == solve(instance, "brute_force").error


@pytest.mark.needs_jit
def test_many_rows_leave_no_error_at_all():
    for rows in (30_000, 3_000):  # all of them, or the smallest after a pursuit
        solution = solve(gaussian(5000, 1), Differencing(rows=rows), time_limit=None)
        assert (solution.error, solution.status) == (0.0, Status.OPTIMAL)


@pytest.mark.needs_jit
def test_the_search_improves_on_plain_differencing():
    better = 0
    for seed in range(6):
        instance = gaussian(80, seed)
        plain = solve(instance, Differencing(restarts=0), time_limit=None)
        full = solve(instance, Differencing(restarts=5, search_work=10**6), time_limit=None)
        assert full.error <= plain.error
        assert full.stats["restarts"] == 5
        better += full.error < 0.01 * plain.error
    assert better >= 4


def test_a_target_out_of_reach_takes_all_rows_of_its_sign():
    samples = np.array([1.0, -2.0, 3.0, -0.5])
    assert solve(Instance(samples, 100.0), "differencing").subset.tolist() == [0, 2]
    assert solve(Instance(samples, -100.0), "differencing").subset.tolist() == [1, 3]


def test_limits_are_kept():
    instance = gaussian(3000, 2)
    some = solve(instance, "differencing", max_work=100, time_limit=None)
    assert some.stats["work"] <= 100 + 3000
    assert some.stats["stopped_by"] == "work"
    assert some.error < 0.1  # the pursuit that comes first
    limits = Limits()
    limits.interrupted.set()
    assert Differencing()(instance, limits).stopped_by is StoppedBy.INTERRUPT
    close = solve(gaussian(100, 3), "differencing", tolerance=1e-6)
    assert close.status is Status.WITHIN_TOLERANCE


def test_other_instances_are_refused():
    with pytest.raises(InvalidInputError, match="at most 1 coordinates"):
        solve(Instance([[1.0, 2.0]], [1.0, 2.0]), "differencing")
    with pytest.raises(InvalidInputError, match="no cardinality"):
        solve(Instance([1.0, 2.0], 1.0, cardinality=1), "differencing")
