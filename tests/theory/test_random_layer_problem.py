"""The subset sums of a random layer: law, filters, tolerances, and the smallest number of rows."""

import itertools

import numpy as np
import pytest

from sslth.theory.convolution import convolve
from sslth.theory.random_layer_problem import draw_blocks, draw_kernel, layer_tolerance, rows_needed, widths_needed

EXACT = "meet_in_the_middle"


def test_blocks_are_the_kernels_of_each_channel_and_sign():
    kernel = np.arange(24.0).reshape(3, 2, 2, 2)
    blocks = draw_blocks(kernel, 6, both_signs=True, rng=np.random.default_rng(0))
    assert blocks.samples.shape == (4, 6, 12)
    assert np.array_equal(blocks.targets[0], kernel[:, 0].ravel())
    assert np.array_equal(blocks.targets[3], -kernel[:, 1].ravel())
    for positive, negative in blocks.filters.reshape(2, 2, 6):
        assert not set(positive) & set(negative)  # a filter has one sign
        assert (np.diff(positive) > 0).all()
        assert {0, 1, 2} <= set(positive) | set(negative)
    one_sign = draw_blocks(kernel, 6, both_signs=False, rng=np.random.default_rng(0))
    assert one_sign.samples.shape == (2, 6, 12)


def test_rows_are_normally_scaled_normal():
    rng = np.random.default_rng(1)
    rows = draw_blocks(np.ones((2, 1, 1, 1)), 40_000, both_signs=False, rng=rng).samples[0]
    assert np.abs(rows.mean(axis=0)).max() < 5 / 200
    assert np.abs((rows**2).mean(axis=0) - 1).max() < 5 * np.sqrt(8) / 200  # kurtosis 9
    assert abs(np.corrcoef(rows.T**2)[0, 1] - 0.25) < 0.1
    assert abs(np.corrcoef(rows.T)[0, 1]) < 5 * np.sqrt(3) / 200


@pytest.mark.parametrize("layers", [1, 3])
def test_kernels_within_the_tolerance_make_networks_within_epsilon(layers):
    rng = np.random.default_rng(layers)
    c, d, epsilon = 2, 2, 0.3
    share = layer_tolerance(c, d, layers, epsilon)
    worst = 0.0
    for _ in range(100):
        x = one = rng.choice([-1.0, 1.0], (c, 6, 6))
        other = x
        for _ in range(layers):
            kernel = draw_kernel(c, d, rng)
            change = share * np.where(rng.random() < 0.5, np.sign(kernel), rng.choice([-1.0, 1.0], kernel.shape))
            one = np.maximum(convolve(kernel, one, padding=1), 0)
            other = np.maximum(convolve(kernel + change, other, padding=1), 0)
        worst = max(worst, float(np.abs(one - other).max()))
    assert worst <= epsilon * (1 + 1e-12)
    if layers == 1:
        assert worst > 0.8 * epsilon  # the share is not wasteful: all entries may err at once


def test_rows_needed_is_the_smallest_prefix():
    rng = np.random.default_rng(5)
    samples, targets = rng.standard_normal((6, 9, 2)), rng.uniform(-1, 1, (6, 2))
    targets[0] = 0.05
    found = rows_needed(samples, targets, 0.2, EXACT)
    for rows, goal, needed in zip(samples, targets, found, strict=True):
        within = [
            np.abs(np.array(list(itertools.product([0, 1], repeat=k))) @ rows[:k] - goal).max(axis=1).min() <= 0.2
            for k in range(10)
        ]
        assert needed == (within.index(True) if any(within) else 10)
    assert found[0] == 0


def test_widths_count_filters_of_both_signs():
    blocks = draw_blocks(np.ones((1, 1, 1, 1)), 5, both_signs=True, rng=np.random.default_rng(6))
    widths = widths_needed(blocks, np.array([3, 0]))
    assert 2 * widths[0] >= blocks.filters[0, 2] + 1 > 2 * (widths[0] - 1)
    assert widths[1] == 0
    assert widths_needed(blocks, np.array([5, 6])).tolist()[1] == np.inf
