"""Intervals of probabilities, means and statistics: do they hold what they promise?"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest, t

from sslth.errors import InvalidInputError
from sslth.theory.intervals import bootstrap_interval, clopper_pearson, hoeffding

# ------------------------------------------------------------------------------------------ Clopper-Pearson


@pytest.mark.parametrize("confidence", [0.8, 0.99])
@pytest.mark.parametrize("m", [1, 2, 7, 30, 101])
def test_clopper_pearson_covers_every_probability_summed_exactly(m, confidence):
    ends = np.array([clopper_pearson(hits, m, confidence) for hits in range(m + 1)])
    # coverage jumps at the ends of the intervals: on either side of each is where it is worst
    jumps = np.concatenate([ends.ravel() - 1e-9, ends.ravel() + 1e-9, np.linspace(0, 1, 101)])
    for p in jumps[(jumps >= 0.0) & (jumps <= 1.0)]:
        mass = binom.pmf(np.arange(m + 1), m, p)
        below, above = mass[ends[:, 1] < p].sum(), mass[ends[:, 0] > p].sum()
        tail = (1 - confidence) / 2
        assert below <= tail + 1e-12
        assert above <= tail + 1e-12


def test_clopper_pearson_solves_its_two_tail_equations():
    low, high = clopper_pearson(13, 40, 0.95)
    assert binom.sf(12, 40, low) == pytest.approx(0.025, rel=1e-10)
    assert binom.cdf(13, 40, high) == pytest.approx(0.025, rel=1e-10)


@pytest.mark.parametrize(("hits", "m"), [(0, 9), (9, 9), (1, 1), (480, 1000), (3, 1_000_000)])
def test_clopper_pearson_agrees_with_scipy(hits, m):
    theirs = binomtest(hits, m).proportion_ci(confidence_level=0.999, method="exact")
    assert clopper_pearson(hits, m, 0.999) == pytest.approx((theirs.low, theirs.high), rel=1e-9, abs=1e-11)


def test_clopper_pearson_is_symmetric_and_narrows():
    low, high = clopper_pearson(7, 20, 0.99)
    assert clopper_pearson(13, 20, 0.99) == pytest.approx((1 - high, 1 - low), rel=1e-12)
    narrow = clopper_pearson(70, 200, 0.99)
    assert low < narrow[0] < 0.35 < narrow[1] < high


@pytest.mark.parametrize("hits", [-1, 11])
def test_more_hits_than_repetitions_are_no_frequency(hits):
    with pytest.raises(InvalidInputError, match=f"{hits} hits in 10 repetitions"):
        clopper_pearson(hits, 10, 0.99)


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.5, 99.0, math.nan])
def test_a_confidence_is_strictly_between_0_and_1(confidence):
    with pytest.raises(InvalidInputError, match="confidence"):
        clopper_pearson(1, 10, confidence)


def test_no_repetitions_no_interval():
    with pytest.raises(InvalidInputError, match="at least one repetition, not 0"):
        clopper_pearson(0, 0, 0.99)


# ------------------------------------------------------------------------------------------------ Hoeffding


@pytest.mark.parametrize("p", [0.01, 0.2, 0.5, 0.97])
def test_hoeffding_covers_the_mean_of_coin_flips_summed_exactly(p):
    m, confidence = 60, 0.9
    covered = 0.0
    for hits in range(m + 1):
        low, high = hoeffding([1.0] * hits + [0.0] * (m - hits), 0.0, 1.0, confidence)
        covered += binom.pmf(hits, m, p) * (low <= p <= high)
    assert covered >= confidence


def test_hoeffding_by_hand_and_scaled():
    half = math.sqrt(math.log(20.0) / 200.0)  # ln(2 / .1) / (2 · 100)
    assert hoeffding([0.5] * 100, 0.0, 1.0, 0.9) == pytest.approx((0.5 - half, 0.5 + half), rel=1e-12)
    assert hoeffding([5.0] * 100, 0.0, 10.0, 0.9) == pytest.approx((5 - 10 * half, 5 + 10 * half), rel=1e-12)


def test_hoeffding_never_leaves_the_range():
    assert hoeffding([2.0], 1.0, 3.0, 0.99) == (1.0, 3.0)


@pytest.mark.parametrize("values", [[0.5, 1.1], [-0.1], [math.nan]])
def test_hoeffding_refuses_values_outside_the_range(values):
    with pytest.raises(InvalidInputError, match="leave"):
        hoeffding(values, 0.0, 1.0, 0.99)


def test_hoeffding_needs_values():
    with pytest.raises(InvalidInputError, match="at least one repetition"):
        hoeffding([], 0.0, 1.0, 0.99)


# ------------------------------------------------------------------------------------------------ bootstrap


def test_bootstrap_is_about_as_wide_as_the_t_interval_and_covers_about_as_often():
    rng = np.random.default_rng(3)
    m, trials, confidence = 40, 120, 0.95
    hits, widths, student = 0, [], []
    for _ in range(trials):
        x = rng.normal(1.0, 2.0, m)
        low, high = bootstrap_interval(x, np.mean, confidence, rng, resamples=400)
        hits += low <= 1.0 <= high
        widths.append(high - low)
        student.append(2 * t.ppf(0.975, m - 1) * x.std(ddof=1) / math.sqrt(m))
    assert clopper_pearson(hits, trials, 0.999)[1] >= 0.93  # its coverage is approximate: 2 % below is its usual lack
    assert clopper_pearson(hits, trials, 0.999)[0] <= confidence
    assert 0.85 < np.mean(widths) / np.mean(student) < 1.1


def test_bootstrap_repeats_with_the_same_generator_and_holds_its_statistic():
    x = np.random.default_rng(0).exponential(size=50)
    once = bootstrap_interval(x, np.median, 0.99, np.random.default_rng(1))
    again = bootstrap_interval(x, np.median, 0.99, np.random.default_rng(1))
    assert once == again
    assert once[0] <= np.median(x) <= once[1]
    assert once[0] < once[1]


def test_a_constant_sample_has_an_interval_of_no_length():
    assert bootstrap_interval([2.5] * 8, np.mean, 0.99, np.random.default_rng(0)) == (2.5, 2.5)


@pytest.mark.parametrize("sample", [[1.0], [[1.0, 2.0], [3.0, 4.0]]])
def test_bootstrap_needs_a_list_of_two(sample):
    with pytest.raises(InvalidInputError, match="at least 2 values"):
        bootstrap_interval(sample, np.mean, 0.99, np.random.default_rng(0))
