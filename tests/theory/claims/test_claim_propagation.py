"""Claim 11: holds exactly, is attained, and any other factor is violated."""

import json
from fractions import Fraction

import pytest

from sslth.theory.claims import Effort, Verdict
from sslth.theory.claims.claim_propagation import CLAIM, claim


@pytest.fixture(scope="module")
def pairs():
    return [(cell, CLAIM.evaluate(cell)) for cell in CLAIM.cells(Effort.QUICK, 0)]


def test_holds_without_a_sampling_interval(pairs):
    findings = CLAIM.judge(pairs, 0.99)
    assert findings.verdict is Verdict.HOLDS
    assert not any(case.statistical for case in findings.cases)
    assert {case.estimate for case in findings.cases} == {1.0}


@pytest.mark.parametrize("factor", [0.5, 1.0 - 1e-9, 1.0 + 1e-9, 2.0])
def test_another_factor_is_violated(pairs, factor):
    # too small: the worst input exceeds it; too large: nothing attains it
    assert claim(factor).judge(pairs, 0.99).verdict is Verdict.VIOLATED


def test_every_ratio_is_at_most_one_and_the_worst_input_attains_it(pairs):
    for cell, result in pairs:
        assert Fraction(result["largest"]) <= 1
        assert Fraction(result["smallest_extreme"]) == Fraction(result["largest_extreme"]) == 1, cell


def test_cells_survive_json(pairs):
    cell, result = pairs[-1]
    assert CLAIM.evaluate(json.loads(json.dumps(cell))) == json.loads(json.dumps(result))
