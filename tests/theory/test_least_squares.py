"""The fitted coefficient: against NumPy's, the formula of its standard error, and coverage with unequal noise."""

import numpy as np
import pytest
from scipy.stats import binom, t

from sslth.errors import InvalidInputError
from sslth.theory.least_squares import coefficient_interval


def test_estimate_and_interval_follow_the_formula():
    rng = np.random.default_rng(0)
    a = np.stack([np.ones(30), rng.normal(size=30), rng.normal(size=30)], axis=1)
    y = a @ [1.0, 2.0, 3.0] + rng.normal(size=30)
    inverse = np.linalg.inv(a.T @ a)
    beta = inverse @ a.T @ y
    leverage = np.diag(a @ inverse @ a.T)
    meat = a.T @ np.diag(((y - a @ beta) / (1 - leverage)) ** 2) @ a
    half = t.ppf(0.995, 27) * np.sqrt((inverse @ meat @ inverse)[2, 2])
    estimate, ends = coefficient_interval(a, y, 2, 0.99)
    assert estimate == pytest.approx(beta[2])
    assert ends == pytest.approx((beta[2] - half, beta[2] + half))


def test_coverage_where_the_noise_grows():
    rng = np.random.default_rng(1)
    x = np.repeat(np.arange(1.0, 7.0), 20)
    a = np.stack([np.ones_like(x), x], axis=1)
    hits = 0
    for _ in range(600):
        _, (low, high) = coefficient_interval(a, 2 * x + x**2 * rng.normal(size=x.size), 1, 0.9)
        hits += low <= 2.0 <= high
    assert 1e-4 < binom.cdf(hits, 600, 0.9) < 1 - 1e-4


@pytest.mark.parametrize(
    ("design", "y"),
    [
        (np.ones((3, 2)), np.ones(3)),
        (np.ones((2, 2)), np.ones(2)),
        (np.ones((3, 1)), np.ones(4)),
        (np.ones((3, 1)), np.array([1.0, np.nan, 0.0])),
    ],
)
def test_bad_input(design, y):
    with pytest.raises(InvalidInputError):
        coefficient_interval(design, y, 0, 0.9)
    with pytest.raises(InvalidInputError):
        coefficient_interval(np.arange(4.0)[:, None], np.ones(4), 0, 1.0)
