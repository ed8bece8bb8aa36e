"""Claim 5 and false versions of it."""

from __future__ import annotations

import json
import math

import pytest

from sslth.theory.claims import Effort, Verdict
from sslth.theory.claims.claim_rfss import CLAIM, fixed_size_hits


@pytest.fixture(scope="module")
def pairs():
    return [(cell, json.loads(json.dumps(CLAIM.evaluate(cell)))) for cell in CLAIM.cells(Effort.QUICK, 3)]


def test_known_bounds(pairs):
    found = {
        (cell["n"], round(cell["target"], 2)): round(result["bound"], 3)
        for cell, result in pairs
        if cell["part"] == "bound"
    }
    assert found == {(20, 0.0): 0.848, (20, 3.16): 0.606, (40, 0.0): 0.959, (40, 3.16): 0.786}


def test_the_enclosures_hold_the_bounds(pairs):
    pytest.importorskip("flint")
    for cell, result in pairs:
        if cell["part"] == "bound":
            assert result["low"] - 1e-12 <= result["bound"] <= result["high"] + 1e-12
            assert result["high"] - result["low"] < 1e-12
            assert "interval arithmetic" in result["proved_by"]


def test_the_bounds_hold_and_the_constants_are_estimated(pairs):
    found = CLAIM.judge(pairs, 0.999)
    by_verdict = [case.verdict for case in found.cases]
    assert by_verdict == [Verdict.HOLDS, Verdict.HOLDS, Verdict.NOT_TESTABLE, Verdict.NOT_TESTABLE]
    assert found.verdict is Verdict.NOT_TESTABLE
    fixed, every = found.cases[2:]
    assert 0.9 < fixed.interval[0] < fixed.interval[1] < 1.5  # counting says about 1
    assert 0.1 < every.interval[0] < every.interval[1] < 0.6


def test_false_claims_are_violated(pairs):
    found = fixed_size_hits(factor=1.65).judge(pairs, 0.999)  # 1.65 · .606 is 1, and z = √k is missed now and then
    assert found.verdict is Verdict.VIOLATED
    edge = found.cases[1]
    assert edge.parameters["z"] == pytest.approx(math.sqrt(10))
    assert edge.bound < 1.0
    assert edge.verdict is Verdict.VIOLATED
    estimated = CLAIM.judge(pairs, 0.999).cases[2:]
    for name, case in zip(("constant", "constant_all"), estimated, strict=True):
        halved = fixed_size_hits(**{name: case.estimate / 2}).judge(pairs, 0.999)
        assert halved.verdict is Verdict.VIOLATED
    doubled = fixed_size_hits(constant=2 * estimated[0].estimate, constant_all=2 * estimated[1].estimate)
    assert doubled.judge(pairs, 0.999).verdict is Verdict.HOLDS


def test_the_curves_lie_below_the_measurements(pairs):
    panel = CLAIM.judge(pairs, 0.999).panels[0]
    measured, bound = panel.series[:2]
    at = dict(zip(bound.x, bound.y, strict=True))
    assert all(at[x] <= high for x, high in zip(measured.x, measured.high, strict=True))
    assert min(bound.y) < 0.05 < 0.8 < max(bound.y)


def test_full_draws_more_in_cells_of_limited_size():
    cells = CLAIM.cells(Effort.FULL, 0)
    assert {cell["n"] for cell in cells if cell["part"] == "errors"} >= {20, 40}
    assert all(cell["repetitions"] <= 100 for cell in cells if cell["part"] == "errors" and cell["n"] == 40)
    indices = [cell["index"] for cell in cells if "index" in cell]
    assert len(set(indices)) == len(indices)
