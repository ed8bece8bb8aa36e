"""Claim 10: known constants of number partitioning, and false ones."""

import math

import pytest

from sslth.theory.claims import Effort, Verdict
from sslth.theory.claims.claim_algorithmic_gap import BOETTCHER_MERTENS, CLAIM, FIRST_MOMENT, claim

CONFIDENCE = 0.9998


@pytest.fixture(scope="module")
def pairs():
    return [(cell, CLAIM.evaluate(cell)) for cell in CLAIM.cells(Effort.QUICK, 0)]


def test_holds_and_meets_the_known_limit_of_the_median(pairs):
    findings = CLAIM.judge(pairs, CONFIDENCE)
    assert findings.verdict is Verdict.HOLDS
    limit = math.log(2.0) * FIRST_MOMENT
    medians = [case for case in findings.cases if "median" in case.name and case.parameters["n"] >= 18]
    assert medians
    assert all(case.interval[0] < limit < case.interval[1] for case in medians)


def test_differencing_is_near_its_known_exponent(pairs):
    # at n from 100 to 2,000 the ratio passes through the limit on its way to below it
    findings = CLAIM.judge(pairs, CONFIDENCE)
    assert 0.4 < findings.cases[-1].estimate < BOETTCHER_MERTENS + 0.1
    measured = findings.panels[1].series[0]
    assert all(abs(y - BOETTCHER_MERTENS) < 0.06 for x, y in zip(measured.x, measured.y, strict=True) if x >= 128)


@pytest.mark.parametrize(
    "false",
    [
        {"rate": 0.5},
        {"rate": 1.2},
        {"constants": (FIRST_MOMENT, 2 * FIRST_MOMENT)},
        {"constants": (0.0, FIRST_MOMENT / 2)},
        {"smallest_curvature": 2.0},
        {"smallest_gap": 1.5},
    ],
)
def test_false_constants_are_violated(pairs, false):
    assert claim(**false).judge(pairs, CONFIDENCE).verdict is Verdict.VIOLATED


def test_a_cell_is_a_function_of_its_parameters(pairs):
    cell, result = pairs[0]
    assert CLAIM.evaluate(cell) == result
    assert all(o <= k + 1e-9 for o, k in zip(result["optimum"], result["differencing"], strict=True))
