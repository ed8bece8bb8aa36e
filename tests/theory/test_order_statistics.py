"""Quantile intervals: against the binomial by hand, at infinite ends, and their coverage."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from sslth.errors import InvalidInputError
from sslth.theory.order_statistics import median_interval, quantile_interval


@pytest.mark.parametrize("probability", [0.5, 0.9])
def test_ends_are_the_innermost_order_statistics_whose_tails_fit(probability):
    m, confidence = 60, 0.95
    _, (low, high) = quantile_interval(np.arange(1, m + 1), probability, confidence)
    # x_(r) lies above the quantile iff fewer than r values lie below it
    tail = 0.025
    assert binom.cdf(low - 1, m, probability) <= tail < binom.cdf(low, m, probability)
    assert binom.sf(high - 1, m, probability) <= tail < binom.sf(high - 2, m, probability)


def test_few_values_give_infinite_ends_and_infinite_values_are_values():
    assert quantile_interval([1.0, 2.0], 0.5, 0.99) == (1.0, (-math.inf, math.inf))
    estimate, (low, high) = quantile_interval([1.0] * 30 + [math.inf] * 30, 0.9, 0.9)
    assert estimate == low == high == math.inf


def test_coverage_of_a_discrete_law_is_at_least_the_confidence():
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(1000):
        _, (low, high) = median_interval(rng.poisson(4.0, 40), 0.9)
        hits += low <= 4.0 <= high
    assert binom.cdf(hits, 1000, 0.9) > 1e-4


@pytest.mark.parametrize(
    ("values", "p", "c"), [([], 0.5, 0.9), ([math.nan], 0.5, 0.9), ([1], 1.0, 0.9), ([1], 0.5, 1.0)]
)
def test_bad_input(values, p, c):
    with pytest.raises(InvalidInputError):
        quantile_interval(values, p, c)
