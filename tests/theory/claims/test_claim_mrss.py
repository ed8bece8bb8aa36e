"""Claim 6 and false versions of it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from sslth.theory.claims import Effort, Verdict
from sslth.theory.claims.claim_mrss import CLAIM, _exponent_case, _smallest_n, multidimensional_samples
from sslth.theory.claims.smallest_errors import smallest_errors


@pytest.fixture(scope="module")
def pairs():
    return [(cell, json.loads(json.dumps(CLAIM.evaluate(cell)))) for cell in CLAIM.cells(Effort.QUICK, 3)]


def test_more_rows_never_hurt(pairs):
    for cell, result in pairs:
        one, every = np.array(result["one"]), np.array(result["all"])
        assert one.shape == (cell["repetitions"], cell["sizes"][1] - cell["sizes"][0] + 1)
        assert (np.diff(one, axis=1) <= 0).all()
        assert (np.diff(every, axis=1) <= 0).all()
        assert (every >= one).all()


def test_the_growth_is_near_counting_and_the_constant_estimated(pairs):
    found = CLAIM.judge(pairs, 0.999)
    assert found.verdict is Verdict.NOT_TESTABLE
    one, every = found.cases[:2]
    assert (one.verdict, every.verdict) == (Verdict.HOLDS, Verdict.HOLDS)
    assert 0.8 < one.estimate < 1.7  # d, rather than d³
    constant = next(case for case in found.cases if case.name.startswith("smallest C"))
    assert 0.0 < constant.interval[0] < constant.interval[1] < math.inf


def test_false_claims_are_violated(pairs):
    assert multidimensional_samples(exponent=0.5).judge(pairs, 0.999).verdict is Verdict.VIOLATED
    case = next(case for case in CLAIM.judge(pairs, 0.999).cases if case.name.startswith("smallest C"))
    assert multidimensional_samples(constant=case.estimate / 2).judge(pairs, 0.999).verdict is Verdict.VIOLATED
    held = multidimensional_samples(constant=case.interval[1]).judge(pairs, 0.999)
    assert Verdict.VIOLATED not in {one.verdict for one in held.cases}


@pytest.mark.parametrize(("m", "estimate"), [(20, 6), (5000, 6)])
def test_the_smallest_n(m, estimate):
    """Success with probability .1, .3, .6, .9 at n = 4 … 7."""
    rank = (np.arange(m) + 0.5) / m
    errors = np.stack([np.where(rank < p, 0.05, 1.0) for p in (0.1, 0.3, 0.6, 0.9)], axis=1)
    found, (low, high) = _smallest_n(errors, 4, 0.99)
    assert found == estimate
    assert (low, high) == ((5, 7) if m == 20 else (6, 6))
    assert _smallest_n(errors[:, :2], 4, 0.99)[0] == math.inf
    assert _smallest_n(errors[:, 2:], 4, 0.99)[1][0] == 1  # nothing is known of smaller n


def test_the_exponent_of_a_power_law():
    exact = {d: (float(5 * d**2), (5.0 * d**2, 5.0 * d**2)) for d in (1, 2, 3)}
    drawn = {d: np.zeros((7, 1)) for d in exact}
    case = _exponent_case("one", exact, drawn, 3.0)
    assert case.estimate == pytest.approx(2.0)
    assert case.interval == pytest.approx((2.0, 2.0))
    assert case.repetitions == 7
    loose = {d: (n, (0.9 * n, 1.1 * n)) for d, (n, _) in exact.items()} | {4: (math.inf, (1.0, math.inf))}
    case = _exponent_case("one", loose, drawn, 3.0)
    ends = [
        np.polyfit(np.log([1, 2, 3]), np.log([5 * a, 20 * b, 45 * c]), 1)[0]
        for a in (0.9, 1.1)
        for b in (0.9, 1.1)
        for c in (0.9, 1.1)
    ]
    assert case.interval == pytest.approx((min(ends), max(ends)))


def test_a_cell_draws_what_it_says(pairs):
    cell = pairs[0][0]
    assert CLAIM.evaluate(cell) == pairs[0][1]
    other = CLAIM.evaluate({**cell, "seed": 4})
    assert other["one"] != pairs[0][1]["one"]
    assert smallest_errors(np.array([[1.0], [0.5]]), [[0.5], [1.4]], None).tolist() == pytest.approx([0.0, 0.1])
