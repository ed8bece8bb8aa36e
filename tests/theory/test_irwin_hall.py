"""Densities of sums of uniforms: exact values, convolution, and interval arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from sslth.errors import InvalidInputError
from sslth.theory.irwin_hall import density, scaled_edge, scaled_peak


@pytest.mark.parametrize(
    ("k", "x", "value"),
    [
        (1, Fraction(0), Fraction(1, 2)),
        (1, Fraction(3, 2), Fraction(0)),
        (2, Fraction(1), Fraction(1, 4)),
        (2, Fraction(2), Fraction(0)),
        (3, Fraction(0), Fraction(3, 8)),
        (3, Fraction(1), Fraction(1, 4)),
        (4, Fraction(0), Fraction(1, 3)),
        (5, Fraction(0), Fraction(115, 384)),
    ],
)
def test_values_by_hand(k, x, value):
    assert density(k, x) == density(k, -x) == value


@pytest.mark.parametrize("k", [2, 3, 6])
def test_each_is_the_one_before_averaged_over_a_window(k):
    """f_k(x) is half the integral of f_{k-1} from x - 1 to x + 1, and its derivative half their difference."""
    step = Fraction(1, 10**12)
    for x in (Fraction(1, 3), Fraction(-5, 7), Fraction(7, 5)):
        slope = (density(k, x + step) - density(k, x - step)) / (2 * step)
        assert float(slope) == pytest.approx(float(density(k - 1, x + 1) - density(k - 1, x - 1)) / 2, abs=1e-9)


@pytest.mark.parametrize("k", [2, 5, 9])
def test_the_mass_is_one(k):
    cells = 400 * k  # midpoints of pieces on which the density is one polynomial
    total = sum(density(k, Fraction(2 * j + 1 - cells, 400)) for j in range(cells)) / 200
    assert float(total) == pytest.approx(1.0, abs=1e-4)


def test_draws_have_it():
    sums = np.random.default_rng(0).uniform(-1, 1, (200_000, 4)).sum(axis=1)
    share = (np.abs(sums - 1.0) <= 0.05).mean() / 0.1
    assert share == pytest.approx(float(density(4, Fraction(1))), abs=0.012)


def test_the_upper_constant_is_attained_at_two_and_only_there():
    exact = {k: k * density(k, Fraction(0)) ** 2 for k in range(1, 60)}
    assert exact[2] == Fraction(1, 2)
    assert all(value < Fraction(1, 2) for k, value in exact.items() if k != 2)
    low, high = scaled_peak(2)
    assert low <= math.sqrt(0.5) <= high


@pytest.mark.parametrize("k", [1, 3, 4, 17, 60])
def test_enclosures_agree_with_interval_arithmetic(k):
    flint = pytest.importorskip("flint")
    before = flint.ctx.prec
    flint.ctx.prec = 600
    try:
        root = flint.arb(k).sqrt()

        def scaled(x):
            total = flint.arb(0)
            for j in range(k + 1):
                base = x + k - 2 * j
                if base > 0:
                    total += (-1) ** j * flint.arb(math.comb(k, j)) * base ** (k - 1)
            return root * total / (flint.arb(2) ** k * flint.arb(math.factorial(k - 1)))

        for enclose, x in ((scaled_peak, flint.arb(0)), (scaled_edge, root if k > 1 else flint.arb(1))):
            low, high = enclose(k)
            value = scaled(x)
            assert flint.arb(low) <= value.upper()
            assert value.lower() <= flint.arb(high)
            assert high - low <= 4e-16
    finally:
        flint.ctx.prec = before


def test_a_sum_of_nothing_has_no_density():
    with pytest.raises(InvalidInputError, match="at least one term, not 0"):
        density(0, Fraction(0))
