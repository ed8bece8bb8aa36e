"""Claim 9: it holds at small widths, and each part fails when its constant is false."""

import pytest

from sslth.theory.claims import Effort, Verdict
from sslth.theory.claims.claim_lower_bound import CLAIM, claim

CONFIDENCE = 0.999


@pytest.fixture(scope="module")
def pairs():
    return [(cell, CLAIM.evaluate(cell)) for cell in CLAIM.cells(Effort.QUICK, 0)]


def test_holds(pairs):
    findings = CLAIM.judge(pairs, CONFIDENCE)
    assert findings.verdict is Verdict.HOLDS
    power = findings.cases[0]
    assert power.interval[0] < -1.0 < power.interval[1]
    assert len(findings.panels) == 2


@pytest.mark.parametrize("false", [{"exponent": 0.5}, {"smallest_rate": 0.5}, {"smallest_separation": 0.5}])
def test_false_constants_are_violated(pairs, false):
    assert claim(**false).judge(pairs, CONFIDENCE).verdict is Verdict.VIOLATED


def test_no_draw_is_below_its_bound(pairs):
    for cell, result in pairs:
        if cell["part"] == "searched":
            assert all(e >= b for e, b in zip(result["best_of_linear_output"], result["kink_bound"], strict=True))
        if cell["part"] != "bounded":
            assert all(w <= b for w, b in zip(result["weights"], result["blocked"], strict=True))


def test_a_cell_is_a_function_of_its_parameters(pairs):
    for cell, result in (pairs[0], pairs[3]):
        assert CLAIM.evaluate(cell) == result
