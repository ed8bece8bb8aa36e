"""Probabilities of intervals and of pairs, against interval arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from sslth.theory.second_moment.enclosure import enclose_pair
from sslth.theory.second_moment.normal_boxes import PairIntegral, log_interval

SETTINGS = np.random.default_rng(0).uniform(size=(60, 3))


@pytest.mark.parametrize("centre", [0.0, 0.5, 5.0, 60.0])
@pytest.mark.parametrize("half", [1e-12, 1e-3, 0.3, 1.0, 8.0, 100.0])
def test_intervals_of_any_width_and_place(centre, half):
    flint = pytest.importorskip("flint")
    with flint.ctx.workprec(8000):  # the two ends may agree in thousands of bits
        root = flint.arb(2).sqrt()
        exact = ((flint.arb(centre) + half) / root).erf() - ((flint.arb(centre) - half) / root).erf()
        expected = float((exact / 2).log().mid())
    found = float(log_interval(np.array(centre), half))
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("z", [0.0, 0.3, 3.0])
@pytest.mark.parametrize("epsilon", [1e-6, 0.05, 1.0])
def test_pairs_at_scales_from_1e_5_to_10(z, epsilon):
    pytest.importorskip("flint")
    for shared, *own in 10.0 ** (6 * SETTINGS[:12] - 5):
        scales = np.array([0.0, *own])
        smallest = min(shared, *own)
        integral = PairIntegral(z, epsilon, scales, smallest, max(1.0, shared, *own), 0.0)
        found = integral.matrix(shared, np.arange(3))
        low, high = enclose_pair(shared**2, own[0] ** 2, own[1] ** 2, z, epsilon)
        # in the far tails the relative error grows; those are no share of any second moment
        assert low * (1 - 2e-11) - 1e-25 <= found[1, 2] <= high * (1 + 2e-11) + 1e-25
        assert found[1, 2] == pytest.approx(found[2, 1], rel=1e-14)


def test_without_own_parts_it_is_the_hit_of_the_shared_part():
    integral = PairIntegral(0.7, 0.2, np.array([0.0]), 1.0, 2.0, 0.0)
    hit = float(np.exp(log_interval(np.array(0.7 / 2.0), 0.2 / 2.0)))
    assert integral.matrix(2.0, np.array([0]))[0, 0] == pytest.approx(hit, rel=1e-13)
