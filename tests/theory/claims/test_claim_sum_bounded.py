"""Claim 4: both constants of the uniform law for every k, and constants that are a little wrong."""

from __future__ import annotations

import math

import pytest

from sslth.theory.claims import Effort, Verdict
from sslth.theory.claims.claim_sum_bounded import CLAIM, sum_bounded
from sslth.theory.irwin_hall_limit import limit


@pytest.fixture(scope="module")
def pairs():
    return [(cell, CLAIM.evaluate(cell)) for cell in CLAIM.cells(Effort.QUICK, 0)]


def test_both_constants_hold_for_every_k(pairs):
    findings = CLAIM.judge(pairs, 0.99)
    assert {case.verdict for case in findings.cases} == {Verdict.HOLDS}
    assert not any(case.statistical for case in findings.cases)
    peak, edge, peak_beyond, edge_beyond = findings.cases
    assert peak.parameters["k"] == 2
    assert peak.estimate == pytest.approx(1 / math.sqrt(2), abs=1e-15)
    assert edge.estimate > edge.bound == pytest.approx(0.15418, abs=5e-6)
    assert edge.parameters["k"] == 100  # it still falls
    assert peak_beyond.estimate == pytest.approx(0.69099, abs=5e-6)
    assert edge_beyond.estimate == edge_beyond.bound
    assert "exceeds its limit" in edge_beyond.proof


def test_cells_join_without_a_hole():
    cells = [cell for cell in CLAIM.cells(Effort.FULL, 0) if cell["part"] == "exact"]
    sizes = [k for cell in cells for k in range(cell["first"], cell["last"] + 1)]
    assert sizes == list(range(1, 401))
    assert CLAIM.cells(Effort.FULL, 0)[-1] == {"part": "beyond", "first": 400}


@pytest.mark.parametrize(
    ("constants", "which"),
    [
        ({"upper": 0.5 / math.sqrt(2)}, {0, 2}),
        ({"upper": 0.7071}, {0}),
        ({"lower": 2 * limit(1.0)}, {1, 3}),
        ({"lower": 0.1545}, {3}),
        ({"lower": limit(1.0) * (1 + 1e-12)}, {3}),
    ],
)
def test_wrong_constants_are_violated(pairs, constants, which):
    findings = sum_bounded(**constants).judge(pairs, 0.99)
    assert findings.verdict is Verdict.VIOLATED
    assert {i for i, case in enumerate(findings.cases) if case.verdict is Verdict.VIOLATED} == which


def test_weaker_constants_hold_without_a_proof(pairs):
    findings = sum_bounded(upper=0.8, lower=0.15).judge(pairs, 0.99)
    assert findings.verdict is Verdict.HOLDS
    assert all(low >= 0.15 for low in (findings.cases[1].interval[0], findings.cases[3].interval[0]))


def test_without_the_sign_of_the_excess_nothing_is_claimed(pairs):
    """Were later densities only known to be near their limit, on either side, the lower constant would stay open."""
    exact, (beyond, result) = pairs[:-1], pairs[-1]
    weak = result | {"edge": [-0.1, 0.1]}
    findings = CLAIM.judge([*exact, (beyond, weak)], 0.99)
    assert findings.verdict is Verdict.UNDECIDED
    assert findings.cases[3].interval[0] < findings.cases[3].bound


def test_panels_show_small_and_large_k_between_the_constants(pairs):
    peaks, edges = CLAIM.judge(pairs, 0.99).panels
    for panel in (peaks, edges):
        assert [series.role for series in panel.series] == ["measured", "theory", "bound"]
        assert set(panel.series[0].x) >= {1, 2, 3, 4, 5, 10, 100}
        assert list(panel.series[0].x) == sorted(panel.series[0].x)
    assert max(peaks.series[0].y) <= peaks.series[2].y[0] + 1e-15
    assert min(edges.series[0].y) > edges.series[2].y[0]
