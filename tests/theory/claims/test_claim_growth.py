"""Claim 2: the growth recursion, its best constant, and constants that are too large."""

from __future__ import annotations

import numpy as np
import pytest

from sslth.theory.claims import Effort, Verdict
from sslth.theory.claims.claim import cell_rng
from sslth.theory.claims.claim_growth import CLAIM, growth_recursion
from sslth.theory.coverage import covered_length, subset_sums


@pytest.fixture(scope="module")
def pairs():
    return [(cell, CLAIM.evaluate(cell)) for cell in CLAIM.cells(Effort.QUICK, 0)]


def test_it_holds_for_every_drawn_and_every_built_state(pairs):
    findings = CLAIM.judge(pairs, 0.999)
    assert {case.verdict for case in findings.cases} == {Verdict.HOLDS}
    computed = [case for case in findings.cases if not case.statistical]
    assert all(case.interval[1] - case.interval[0] < 1e-6 for case in computed)
    assert sum(r["states"] for p, r in pairs if p["part"] == "paths") > 10_000


def test_no_state_grows_by_less_than_one_half_and_some_by_just_that(pairs):
    lowest = [case for case in CLAIM.judge(pairs, 0.999).cases if case.name.startswith("least")]
    assert all(case.interval[1] >= 0.5 for case in lowest)
    assert min(case.estimate for case in lowest) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("constant", "verdict"),
    [(0.125, Verdict.HOLDS), (0.5, Verdict.HOLDS), (0.51, Verdict.VIOLATED), (1.0, Verdict.VIOLATED)],
)
def test_one_half_is_the_largest_constant_that_holds(pairs, constant, verdict):
    claim = growth_recursion(constant)
    findings = claim.judge(pairs, 0.999)  # the cells do not depend on the constant
    assert findings.verdict is verdict
    assert f"{constant:g} (1 - v)" in claim.statement


def test_what_is_drawn_alone_refutes_a_false_constant(pairs):
    findings = growth_recursion(2.0).judge(pairs, 0.999)
    drawn = [case for case in findings.cases if case.statistical]
    assert len(drawn) == 2
    assert {case.verdict for case in drawn} == {Verdict.VIOLATED}


def test_what_is_proved_counts_only_for_what_touches_the_bound(pairs):
    assert not any(case.proof for case in CLAIM.judge(pairs, 0.999).cases)
    assert any(case.proof for case in growth_recursion(0.5).judge(pairs, 0.999).cases)
    assert not any(case.proof for case in growth_recursion(0.51).judge(pairs, 0.999).cases)


def test_paths_follow_all_subset_sums():
    cell = {"part": "paths", "epsilon": 0.05, "paths": 12, "steps": 7, "seed": 4, "index": 1}
    rng, volumes = cell_rng(2, cell), []
    for _ in range(12):
        samples = rng.uniform(-1.0, 1.0, 7)
        volumes.append([covered_length(subset_sums(samples[:t]), 0.05) / 2 for t in range(8)])
    result, v = CLAIM.evaluate(cell), np.array(volumes)
    assert result["volume"] == pytest.approx(v.mean(axis=0), abs=1e-12)
    assert result["gain"] == pytest.approx(v[:, -1] - v[:, 0], abs=1e-12)
    assert result["room"] == pytest.approx((v * (1 - v))[:, :-1].sum(axis=1), abs=1e-12)


def test_the_mean_step_is_the_mean_of_the_conditional_expectations(pairs):
    """Drawn steps and computed expectations are two ways to one number: the first step, where the past is the same."""
    cell, result = next(pair for pair in pairs if pair[0]["part"] == "paths")
    low, high = result["lowest"][0][2:]  # before any sample there is one state only
    v = result["volume"]
    expected = v[0] + (low + high) / 2 * v[0] * (1 - v[0])
    assert expected == pytest.approx(v[1], abs=4 * v[0] / np.sqrt(cell["paths"]))
    assert v[1] > v[0] * (1 + 0.25 * (1 - v[0]))


def test_the_ratio_interval_holds_the_ratio_and_narrows(pairs):
    def ratio(confidence):
        return next(case for case in CLAIM.judge(pairs, confidence).cases if case.statistical)

    narrow, wide = ratio(0.9), ratio(0.9999)
    assert wide.interval[0] < narrow.interval[0] < narrow.estimate < narrow.interval[1] < wide.interval[1]
    assert narrow.repetitions == 500


def test_the_ends_of_the_ratio_interval_are_where_hoeffding_gives_up(pairs):
    from sslth.theory.intervals import hoeffding

    case = next(case for case in CLAIM.judge(pairs, 0.99).cases if case.statistical)
    drawn = [r for p, r in pairs if p["part"] == "paths" and p["epsilon"] == case.parameters["epsilon"]]
    gain, room = (np.concatenate([r[key] for r in drawn]) for key in ("gain", "room"))
    for c, end in zip(case.interval, (0, 1), strict=True):
        assert hoeffding(gain - c * room, -4.0 * c, 1.0, 0.99)[end] == pytest.approx(0.0, abs=1e-12)


def test_panels_show_the_bound_below_the_points(pairs):
    growth, volume = CLAIM.judge(pairs, 0.99).panels
    bound = next(series for series in growth.series if series.role == "bound")
    for series in growth.series:
        if series.role == "measured":
            assert min(series.y) > max(bound.y)
    for series in volume.series:
        assert (np.diff(series.y) >= 0).all()
        assert all(low <= y <= high for low, y, high in zip(series.low, series.y, series.high, strict=True))
