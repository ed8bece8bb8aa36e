"""Claim 8: the constant is estimated, a given one judged; cells are pure; polynomial cells need no less width."""

import math

import pytest

from sslth.theory.claims import Effort, Side, Verdict
from sslth.theory.claims.claim_structured_cnn import CLAIM, EXACT, POLYNOMIAL, claim

CONFIDENCE = 0.999


@pytest.fixture(scope="module")
def pairs():
    return [(cell, CLAIM.evaluate(cell)) for cell in CLAIM.cells(Effort.QUICK, 0)]


def test_the_constant_is_estimated_with_an_interval(pairs):
    findings = CLAIM.judge(pairs, CONFIDENCE)
    assert findings.verdict is Verdict.NOT_TESTABLE
    overall, *shapes = findings.cases
    assert findings.decisive is overall
    assert overall.estimate == max(case.estimate for case in shapes)
    assert all(0.0 < case.interval[0] <= case.estimate for case in findings.cases)
    assert math.isfinite(overall.interval[1])


def test_a_constant_too_small_is_violated_and_a_large_one_holds(pairs):
    low, high = CLAIM.judge(pairs, CONFIDENCE).cases[0].interval
    assert claim(constant=low / 4).judge(pairs, CONFIDENCE).verdict is Verdict.VIOLATED
    held = claim(constant=4 * high).judge(pairs, CONFIDENCE)
    assert held.verdict is Verdict.HOLDS
    assert {case.side for case in held.cases} == {Side.AT_MOST}


def test_exponents_are_parameters(pairs):
    steep, flat = (claim(a=0.0, b=b).judge(pairs, CONFIDENCE) for b in (6.0, 1.0))
    by_name = [{case.name: case.estimate for case in found.cases[1:]} for found in (steep, flat)]
    for name, value in by_name[0].items():
        c = int(name.split("c=")[1].split(",")[0])
        assert by_name[1][name] == pytest.approx(value * c**5)


def test_a_cell_is_a_function_of_its_parameters(pairs):
    cell, result = pairs[1]
    assert CLAIM.evaluate(cell) == result
    assert CLAIM.evaluate({**cell, "seed": 1}) != result


def test_too_few_rows_are_infinite_widths():
    cell = {"c": 1, "d": 2, "layers": 1, "epsilon": 0.1, "rows": 6, "solver": EXACT, "repetitions": 30, "seed": 0}
    assert None in CLAIM.evaluate(cell)["widths"]
    (case, *_) = CLAIM.judge([(cell, CLAIM.evaluate(cell))], CONFIDENCE).cases
    assert case.interval[1] == math.inf


def test_a_polynomial_solver_needs_at_least_what_exists():
    cell = {"c": 2, "d": 1, "layers": 1, "epsilon": 0.1, "rows": 40, "repetitions": 5, "seed": 0, "index": 3}
    exact, found = (CLAIM.evaluate({**cell, "solver": solver})["widths"] for solver in (EXACT, POLYNOMIAL))
    assert all(f is None or f >= e for e, f in zip(exact, found, strict=True))
