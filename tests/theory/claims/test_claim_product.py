"""Claim 3: (ln 2)/4 by integration and by drawing, and masses that are too large."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad

from sslth.theory.claims import Effort, Verdict
from sslth.theory.claims.claim_product import CLAIM, product_density, product_lemma


@pytest.fixture(scope="module")
def pairs():
    return [(cell, CLAIM.evaluate(cell)) for cell in CLAIM.cells(Effort.QUICK, 0)]


@pytest.mark.parametrize("z", [0.001, -0.1, 0.5, -0.75, 0.999])
def test_the_density_is_enclosed(z):
    low, high = product_density(z)
    exact = math.log(1 / abs(z)) / 2
    assert low < exact < high
    assert high - low < 1e-8
    theirs, _ = quad(lambda x: 1 / (2 * x), abs(z), 1, epsabs=1e-13)
    assert low - 1e-12 <= theirs <= high + 1e-12


def test_the_density_has_mass_one_and_no_mass_beyond_one():
    assert product_density(1.0) == product_density(-2.0) == (0.0, 0.0)
    nodes, weights = np.polynomial.legendre.leggauss(30)
    z = np.exp(9 * (nodes - 1))  # from e^-18 to 1
    density = [sum(product_density(value)) for value in z]  # both signs, the mean of the two ends
    assert 9 * weights @ (z * density) == pytest.approx(1.0, abs=1e-6)


def test_interval_arithmetic_agrees():
    flint = pytest.importorskip("flint")
    value = flint.arb(2).log() / 2
    low, high = product_density(0.5)
    assert flint.arb(low) < value
    assert value < flint.arb(high)


def test_the_lemma_holds_with_equality_at_the_edge(pairs):
    findings = CLAIM.judge(pairs, 0.9999)
    assert findings.verdict is Verdict.HOLDS
    edge = findings.cases[0]
    assert edge.bound == pytest.approx(0.17328679513998632, rel=1e-15)
    assert edge.interval[0] < edge.bound < edge.interval[1] < edge.interval[0] + 1e-10
    assert edge.proof


def test_draws_alone_decide_too(pairs):
    drawn = [case for case in CLAIM.judge(pairs, 0.9999).cases if case.statistical]
    assert len(drawn) == 6
    assert all(case.verdict is Verdict.HOLDS and not case.proof for case in drawn)
    for case in drawn:
        low, high = case.parameters["bin"]
        smaller, larger = sorted(abs(end) for end in (low, high))
        antiderivative = [z * (1 - math.log(z)) if z > 0 else 0.0 for z in (smaller, larger)]  # of ln(1/z)
        mean = (antiderivative[1] - antiderivative[0]) / (larger - smaller) / 4
        assert case.interval[0] <= mean <= case.interval[1]


@pytest.mark.parametrize("factor", [2.0, 1.5, 1.001])
def test_a_larger_mass_is_violated(pairs, factor):
    findings = product_lemma(factor * math.log(2) / 4).judge(pairs, 0.9999)
    assert findings.verdict is Verdict.VIOLATED
    assert findings.cases[0].verdict is Verdict.VIOLATED
    if factor > 1.4:  # then the draws see it as well
        assert any(case.verdict is Verdict.VIOLATED for case in findings.cases if case.statistical)


def test_a_smaller_mass_needs_no_proof(pairs):
    findings = product_lemma(0.17).judge(pairs, 0.9999)
    assert findings.verdict is Verdict.HOLDS
    assert findings.cases[0].interval[0] > 0.17


def test_batches_add_up(pairs):
    integral, (cell, result) = pairs
    half = cell | {"draws": cell["draws"] // 2}
    counts = np.array(result["counts"])
    halves = [
        (half, {"counts": (counts // 2).tolist()}),
        (half | {"index": 1}, {"counts": (counts - counts // 2).tolist()}),
    ]
    assert CLAIM.judge([integral, *halves], 0.99).cases == CLAIM.judge(pairs, 0.99).cases


def test_the_panel_has_the_draws_the_integral_and_the_mass(pairs):
    (panel,) = CLAIM.judge(pairs, 0.99).panels
    left, right, exact, bound = panel.series
    assert [series.role for series in panel.series] == ["measured", "measured", "theory", "bound"]
    for drawn in (left, right):
        assert len(drawn.x) == 3
        assert list(drawn.y) == sorted(drawn.y, reverse=True)
        assert all(low < y < high for low, y, high in zip(drawn.low, drawn.y, drawn.high, strict=True))
    assert list(exact.y) == sorted(exact.y, reverse=True)
    assert min(exact.y) >= bound.y[0] - 1e-9
