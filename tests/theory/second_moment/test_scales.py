"""The rule for χ: its mass, its truncation, and that its a-priori error bound is one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import chi

from sslth.theory.second_moment.normal_boxes import log_interval
from sslth.theory.second_moment.scales import chi_rule, chi_truncated, fixed_scales, trapezoid_error


def hits(rule, size, d, z, epsilon):
    r = rule.scales[1:]
    return float(rule.weights[size, 1:] @ np.exp(d * log_interval(z / r, epsilon / r)))


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_mass_and_moments(size):
    rule = chi_rule(40, 0.05, 1e-12, 20.0)
    assert rule.weights[size].sum() == pytest.approx(1.0, abs=1e-11)
    assert rule.weights[size] @ rule.scales**2 == pytest.approx(size, rel=1e-12)


def test_an_empty_sum_has_scale_zero():
    for rule in (chi_rule(3, 0.1, 1e-3, 10.0), fixed_scales(3)):
        assert rule.scales[0] == 0.0
        assert rule.weights[0].tolist() == [1.0] + [0.0] * (rule.scales.size - 1)


def test_truncated_mass():
    found = chi_truncated(np.array([0, 1, 5]), 0.1, 3.0)
    expected = [0.0, *(chi.cdf(0.1, s) + chi.sf(3.0, s) for s in (1, 5))]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("size", [1, 3, 10, 30])
@pytest.mark.parametrize("d", [1, 4])
@pytest.mark.parametrize("step", [0.6, 0.45, 0.3, 0.2])
def test_the_error_bound_of_the_discretisation_holds(size, d, step):
    """For every place of the nodes, targets at and off zero, boxes wide and narrow."""
    fine = chi_rule(size, 0.005, 1e-13, 25.0)
    bound = float(trapezoid_error(np.array([size]), d, step)[0])
    assert bound > 0.0
    for z, epsilon in ((0.0, 0.05), (0.5, 0.3), (0.0, 2.0)):
        exact, at_zero = hits(fine, size, d, z, epsilon), hits(fine, size, d, 0.0, epsilon)
        for shift in (0.0, 0.3, 0.7):
            coarse = chi_rule(size, step, 1e-13 * math.exp(shift * step), 25.0)
            assert abs(hits(coarse, size, d, z, epsilon) - exact) <= bound * at_zero + 1e-11


def test_the_bound_is_not_idle():
    """It falls as fast as the true error: halving the step squares it, about."""
    factors = [float(trapezoid_error(np.array([1]), 1, step)[0]) for step in (0.4, 0.2, 0.1)]
    assert factors[1] < factors[0] ** 1.7
    assert factors[2] < factors[1] ** 1.7
    assert trapezoid_error(np.array([0]), 1, 0.2).tolist() == [0.0]
