"""Claim 7 and false versions of it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from sslth.theory.claims import Effort, Verdict
from sslth.theory.claims.claim_nsn_mrss import CLAIM, nsn_hits
from sslth.theory.intervals import clopper_pearson


@pytest.fixture(scope="module")
def pairs():
    return [(cell, json.loads(json.dumps(CLAIM.evaluate(cell)))) for cell in CLAIM.cells(Effort.QUICK, 3)]


def frequency_cases(pairs):
    return {case.name.split(", ", 1)[1]: case for case in CLAIM.judge(pairs, 0.999).cases[:3]}


def test_known_bounds(pairs):
    found = {cell["where"]: round(result["bound"], 3) for cell, result in pairs if cell.get("epsilon") == 0.05}
    assert found == {"origin": 0.580, "diagonal": 0.477, "axis": 0.390}


def test_known_frequencies_are_those_of_the_first_two_targets(pairs):
    """Published: .957±.023 and .803±.045 of 300; as Clopper-Pearson intervals of 300 they overlap ours."""
    cases = list(frequency_cases(pairs).values())
    for case, published in zip(cases, (0.957, 0.803), strict=False):
        low, high = clopper_pearson(round(300 * published), 300, 0.999)
        assert low <= case.interval[1]
        assert case.interval[0] <= high
    third = cases[2]
    assert third.interval[1] < clopper_pearson(round(300 * 0.803), 300, 0.95)[0] + 0.03
    assert third.estimate < cases[1].estimate < cases[0].estimate


def test_the_bounds_hold_and_the_constant_is_estimated(pairs):
    found = CLAIM.judge(pairs, 0.999)
    assert found.verdict is Verdict.NOT_TESTABLE
    assert [case.verdict for case in found.cases[:3]] == [Verdict.HOLDS] * 3
    together, one, two = found.cases[3:]
    # k = 2, d = 1 misses 1/4 more often than not whatever is drawn: C is at least 2 / ln 4
    assert together.estimate == one.estimate == pytest.approx(2 / math.log(4))
    assert two.estimate < one.estimate / 4


def test_false_claims_are_violated(pairs):
    assert nsn_hits(factor=2.0).judge(pairs, 0.999).verdict is Verdict.VIOLATED
    assert nsn_hits(constant=1.0).judge(pairs, 0.999).verdict is Verdict.VIOLATED
    assert nsn_hits(constant=2.0).judge(pairs, 0.999).verdict is Verdict.HOLDS


def test_targets_are_as_far_out_as_the_theorem_allows(pairs):
    for case in CLAIM.judge(pairs, 0.999).cases[:3]:
        norm = np.abs(case.parameters["z"]).sum()
        assert norm == pytest.approx(0.0) or norm == pytest.approx(math.sqrt(10))


def test_the_theorems_condition_is_met_where_the_constant_comes_from():
    cells = [cell for effort in Effort for cell in CLAIM.cells(effort, 0) if cell["part"] == "errors"]
    assert all(cell["n"] == cell["k"] ** 2 or (cell["n"], cell["k"]) == (20, 10) for cell in cells)
