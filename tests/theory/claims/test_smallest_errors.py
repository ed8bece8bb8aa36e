"""Drawn errors, the constants they ask for, and their intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from oracle import best_error

from sslth.errors import InvalidInputError
from sslth.theory.claims import Side, Verdict
from sslth.theory.claims.smallest_errors import (
    Setting,
    collected,
    draw_samples,
    frequency_series,
    frequency_within,
    largest_constant,
    smallest_errors,
)


@pytest.mark.parametrize("k", [None, 3])
def test_the_errors_are_the_smallest(k):
    samples = draw_samples("nsn", np.random.default_rng(0), 5, 8, 2)
    target = [0.3, -0.2]
    found = smallest_errors(samples, target, k)
    for rows, error in zip(samples, found, strict=True):
        assert error == pytest.approx(float(best_error(rows, target, cardinality=k)), rel=1e-12)


def test_nsn_rows_have_variance_one_and_kurtosis_nine():
    x = draw_samples("nsn", np.random.default_rng(1), 200, 500, 3)
    assert x.shape == (200, 500, 3)
    assert (x**2).mean() == pytest.approx(1.0, abs=0.03)
    assert (x**4).mean() == pytest.approx(9.0, abs=1.5)
    with pytest.raises(InvalidInputError, match="no law 'cauchy'"):
        draw_samples("cauchy", np.random.default_rng(1), 1, 1, 1)


def test_batches_are_put_together():
    pairs = [
        ({"part": "errors", "n": 3, "index": 0}, {"errors": [1.0]}),
        ({"part": "bound", "n": 3}, {"bound": 0.5}),
        ({"part": "errors", "n": 4, "index": 1}, {"errors": [2.0]}),
        ({"part": "errors", "n": 3, "index": 2}, {"errors": [3.0, 4.0]}),
    ]
    found = {key: values.tolist() for key, values in collected(pairs, "errors", ("n",)).items()}
    assert found == {(3,): [1.0, 3.0, 4.0], (4,): [2.0]}


def test_frequencies_include_the_tolerance():
    share, (low, high) = frequency_within(np.array([0.1, 0.2, 0.3, 0.4]), 0.2, 0.9)
    assert share == 0.5
    assert 0.0 < low < 0.5 < high < 1.0
    series = frequency_series("x", np.array([0.1, 0.2]), [0.05, 0.1, 1.0], 0.9)
    assert list(series.y) == [0.0, 0.5, 1.0]


def test_the_largest_constant_is_that_of_the_hardest_setting():
    easy = Setting("easy", np.linspace(0.001, 0.1, 400), lambda e: 1.0 + e)
    hard = Setting("hard", np.linspace(0.001, 1.0, 400), lambda e: 2.0 + e)
    case = largest_constant("C", [easy, hard], 0.5, 0.99, None, {"law": "gaussian"})
    assert case.verdict is Verdict.NOT_TESTABLE
    assert case.parameters["decided by"] == "hard"
    assert case.estimate == pytest.approx(2.5, abs=0.01)
    assert case.interval[0] < 2.5 < case.interval[1] < 2.7
    for bound, verdict in ((2.0, Verdict.VIOLATED), (2.5, Verdict.UNDECIDED), (3.0, Verdict.HOLDS)):
        case = largest_constant("C", [easy, hard], 0.5, 0.99, bound, {})
        assert (case.side, case.verdict) == (Side.AT_MOST, verdict)


def test_too_few_draws_give_no_end():
    case = largest_constant("C", [Setting("s", np.array([0.5, 0.7]), lambda e: e)], 0.5, 0.99, None, {})
    assert case.interval == (0.0, math.inf)


def test_the_interval_of_the_maximum_covers():
    """In 300 drawn experiments the true constant 2 + median lies inside at least 90 % of the time, asked for 90 %."""
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(300):
        settings = [Setting(str(i), rng.uniform(size=60), lambda e: 2.0 + e) for i in range(3)]
        low, high = largest_constant("C", settings, 0.5, 0.9, None, {}).interval
        inside += low <= 2.5 <= high
    assert inside >= 270
