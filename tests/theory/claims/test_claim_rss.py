"""Claim 1: the table of coverage, the interval of the smallest n, and constants that are too small."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sslth.theory.claims import Effort, Side, Verdict
from sslth.theory.claims.claim import cell_rng
from sslth.theory.claims.claim_rss import CLAIM, rss_covering
from sslth.theory.coverage import covering_radius, subset_sums


def quick(claim, seed=0):
    return [(cell, claim.evaluate(cell)) for cell in claim.cells(Effort.QUICK, seed)]


@pytest.fixture(scope="module")
def pairs():
    return quick(CLAIM)


def one_cell(epsilon, hits, repetitions, share=1.0, index=0):
    cell = {"epsilon": epsilon, "p": share, "largest_n": len(hits) - 1, "repetitions": repetitions, "index": index}
    return cell | {"seed": 0}, {"hits": hits}


# ε, n, published frequency, repetitions behind it
TABLE = [
    (0.1, 8, 0.68, 800),
    (0.1, 10, 0.886, 800),
    (0.1, 12, 0.950, 4000),
    (0.01, 12, 0.711, 800),
    (0.01, 14, 0.90, 800),
    (0.01, 16, 0.96, 800),
    (0.01, 20, 0.985, 200),
]


@pytest.mark.parametrize(("epsilon", "n", "published", "draws"), TABLE)
def test_coverage_is_as_published(pairs, epsilon, n, published, draws):
    cell, result = next(pair for pair in pairs if pair[0]["epsilon"] == epsilon)
    ours, m = result["hits"][n] / cell["repetitions"], cell["repetitions"]
    pooled = (ours * m + published * draws) / (m + draws)
    deviation = math.sqrt(pooled * (1 - pooled) * (1 / m + 1 / draws))
    assert abs(ours - published) <= 3.5 * deviation
    assert deviation < 0.02


def test_a_cell_counts_what_enumeration_of_all_sums_finds():
    cell = {"epsilon": 0.05, "p": 0.7, "largest_n": 11, "repetitions": 40, "seed": 3, "index": 2}
    rng, expected = cell_rng(1, cell), np.zeros(12, dtype=int)
    for _ in range(40):
        samples = rng.uniform(-1.0, 1.0, 11) * (rng.random(11) < 0.7)
        expected += [covering_radius(subset_sums(samples[:n])) <= 0.05 for n in range(12)]
    assert CLAIM.evaluate(cell)["hits"] == expected.tolist()
    assert 0 < expected[-1] < 40


def test_the_constant_is_not_testable_but_estimated(pairs):
    findings = CLAIM.judge(pairs, 0.99)
    assert findings.verdict is Verdict.NOT_TESTABLE
    overall, *single = findings.cases
    assert overall.estimate == max(case.estimate for case in single)
    assert 3.0 < overall.interval[0] <= overall.estimate <= overall.interval[1] < 5.0
    for case in single:
        n = case.parameters["n"]
        assert case.estimate == pytest.approx(n / math.log(2 / case.parameters["epsilon"]))
        cell, result = next(pair for pair in pairs if pair[0]["epsilon"] == case.parameters["epsilon"])
        wanted = (1 - cell["epsilon"]) * cell["repetitions"]
        assert result["hits"][n - 1] < wanted <= result["hits"][n]


def test_as_many_intervals_at_every_confidence(pairs):
    cases = [CLAIM.judge(pairs, confidence).cases for confidence in (0.9, 0.99999)]
    assert [case.statistical for case in cases[0]] == [case.statistical for case in cases[1]]
    assert all(wide.interval[1] >= narrow.interval[1] for narrow, wide in zip(*cases, strict=True))


def test_the_interval_of_the_smallest_n_by_hand():
    # of 1,000: sure to lie below .9 up to n = 1, sure to lie above from n = 4 on
    findings = CLAIM.judge([one_cell(0.1, [0, 500, 890, 910, 990, 1000], 1000)], 0.99)
    scale = math.log(20)
    assert findings.cases[1].interval == pytest.approx((2 / scale, 4 / scale))
    assert findings.cases[1].estimate == pytest.approx(3 / scale)


def test_batches_add_up():
    hits = [0, 300, 460, 490]
    both = [one_cell(0.1, hits, 500), one_cell(0.1, hits, 500, index=1)]
    together = one_cell(0.1, [2 * hit for hit in hits], 1000)
    assert CLAIM.judge(both, 0.99).cases == CLAIM.judge([together], 0.99).cases


def test_a_probability_that_is_never_reached_has_no_smallest_n():
    findings = CLAIM.judge([one_cell(0.1, [0, 10, 20], 100)], 0.99)
    assert findings.cases[0].estimate == math.inf
    assert findings.verdict is Verdict.NOT_TESTABLE
    assert all(series.role != "bound" for series in findings.panels[1].series)  # no line to draw


@pytest.mark.parametrize(
    ("constant", "verdict"), [(2.0, Verdict.VIOLATED), (3.0, Verdict.VIOLATED), (6.0, Verdict.HOLDS)]
)
def test_a_named_constant_is_judged(constant, verdict):
    claim = rss_covering(constant)
    findings = claim.judge(quick(claim), 0.999)
    assert findings.verdict is verdict
    for case in findings.cases:
        assert case.bound == 1 - case.parameters["epsilon"]
        assert case.side is Side.AT_LEAST
        assert case.parameters["n"] == math.ceil(constant * math.log(2 / case.parameters["epsilon"]))
    assert f"C = {constant:g}" in claim.statement


def test_a_large_constant_gets_enough_samples():
    cells = rss_covering(40.0).cells(Effort.QUICK, 0)
    assert all(cell["largest_n"] >= 40 * math.log(2 / cell["epsilon"]) for cell in cells)


def test_panels_have_points_with_bars_and_a_line(pairs):
    coverage, sizes = CLAIM.judge(pairs, 0.99).panels
    for series in [*coverage.series, sizes.series[0]]:
        assert len(series.x) == len(series.y) == len(series.low) == len(series.high) > 2
        assert all(low <= y <= high for low, y, high in zip(series.low, series.y, series.high, strict=True))
    assert {series.role for series in sizes.series} == {"measured", "bound", "theory"}
