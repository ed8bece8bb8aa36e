"""Removing neurons: sup norms against a fine boundary, bounds against all subsets and all weights."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

from sslth.theory.neuron_removal import (
    RandomNetwork,
    blocked_error,
    draw_network,
    kink_bound,
    kink_points,
    linear_problem,
    relu_lower_bound,
    relu_problem,
    smallest_error,
)

TARGET = np.array([0.6, -0.4])


def boundary(count: int = 400) -> np.ndarray:
    s = np.linspace(-1, 1, count)
    one = np.ones_like(s)
    return np.vstack([np.stack(pair, 1) for pair in ((s, one), (s, -one), (one, s), (-one, s))])


def network_values(network: RandomNetwork, points: np.ndarray) -> np.ndarray:
    return network.output[:, None] * np.maximum(network.hidden @ points.T, 0)


def all_masks(n: int) -> np.ndarray:
    return np.array(list(itertools.product([0.0, 1.0], repeat=n)))


@pytest.mark.parametrize(
    ("problem", "outer"), [(linear_problem, lambda y: y), (relu_problem, lambda y: np.maximum(y, 0))]
)
def test_the_largest_column_is_the_sup_norm_over_the_box(problem, outer):
    network = draw_network(7, np.random.default_rng(0))
    instance = problem(network, TARGET)
    points = np.vstack([boundary(), np.random.default_rng(1).uniform(-1, 1, (500, 2))])
    values, goals = network_values(network, points), outer(points @ TARGET)
    for mask in all_masks(7):
        columns = np.abs(mask @ instance.samples - instance.target).max()
        seen = np.abs(mask @ values - goals).max()
        assert seen <= columns + 1e-12
        assert columns - seen < 0.05  # the grid is .005 apart, slopes are below 10


def test_smallest_error_is_that_of_the_best_of_all_subsets():
    network = draw_network(9, np.random.default_rng(2))
    instance = relu_problem(network, TARGET)
    best = np.abs(all_masks(9) @ instance.samples - instance.target).max(axis=1).min()
    assert smallest_error(instance) == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_the_kink_bound_holds_for_all_output_weights(seed):
    # the best c_i in sup norm over some points, by linear programming: more points only make it larger
    network = draw_network(8, np.random.default_rng(seed))
    target = TARGET if seed % 2 else np.array([0.2, 0.8])
    points = kink_points(network, target)
    values, goals = np.maximum(points @ network.hidden.T, 0), np.maximum(points @ target, 0)
    ones = np.ones((len(points), 1))
    found = linprog(
        np.r_[np.zeros(8), 1.0],
        A_ub=np.block([[values, -ones], [-values, -ones]]),
        b_ub=np.r_[goals, -goals],
        bounds=[(None, None)] * 8 + [(0, None)],
    )
    assert found.success
    assert kink_bound(network, target) <= found.fun + 1e-9


def test_the_kink_bound_is_attained_by_the_best_line():
    # no neuron's kink meets the upper edge: on it every sum is linear, the best one misses |s|/2 + s/2 by 1/4
    network = RandomNetwork(np.array([[0.1, 1.0]]), np.array([1.0]))
    assert kink_bound(network, np.array([1.0, 0.0])) == 0.25


@pytest.mark.parametrize("seed", range(5))
def test_no_subset_beats_the_bound_with_a_relu_at_the_output(seed):
    network = draw_network(8, np.random.default_rng(seed))
    points = np.vstack([boundary(60), kink_points(network, TARGET)])
    outputs = np.maximum(all_masks(8) @ network_values(network, points), 0)
    best = np.abs(outputs - np.maximum(points @ TARGET, 0)).max(axis=1).min()
    assert 0.0 < relu_lower_bound(network, TARGET) <= best + 1e-12


def test_blocked_error_is_that_of_its_subset_sums_and_within_twice_the_best_mask():
    rng = np.random.default_rng(4)
    networks = [draw_network(8, rng) for _ in range(4)]
    channels = rng.integers(0, 2, (4, 8))
    channels[0] = 0  # the second input has no neuron
    points = np.vstack([boundary(3), [[0, 1], [0, -1], [1, 0], [-1, 0]]])  # linear between axes and corners
    found = blocked_error(networks, TARGET, channels)
    for network, channel, error in zip(networks, channels, found, strict=True):
        hidden = network.hidden * (np.arange(2) == channel[:, None])
        values = network_values(RandomNetwork(hidden, network.output), points)
        best = np.abs(all_masks(8) @ values - points @ TARGET).max(axis=1).min()
        assert best - 1e-12 <= error <= 2 * best + 1e-12
        total = 0.0
        for b, goal in enumerate(TARGET):
            rows = {sign: np.maximum(sign * hidden[:, b], 0) * network.output for sign in (1, -1)}
            total += max(np.abs(all_masks(8) @ row - sign * goal).min() for sign, row in rows.items())
        assert error == pytest.approx(total, abs=1e-12)
