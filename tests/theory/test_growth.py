"""The growth of the covered length: against the definition, and its bound over all sets."""

from __future__ import annotations

import numpy as np
import pytest

from sslth.theory.growth import growth_rate
from sslth.theory.interval_unions import IntervalUnion


def random_set(rng, count) -> IntervalUnion:
    ends = np.sort(rng.uniform(-1, 1, 2 * count))
    return IntervalUnion(ends[::2], ends[1::2])


def mean_growth(union, low=-1.0, high=1.0, steps=4000) -> float:
    """By its definition: v after the step, averaged over a fine grid of X."""
    v = union.clipped(-1.0, 1.0).length / 2
    seen = union.clipped(low, high)
    xs = (np.arange(steps) + 0.5) / steps * 2 - 1
    after = np.mean([seen.grown(x).clipped(-1.0, 1.0).length / 2 for x in xs])
    return (after - v) / (v * (1 - v))


@pytest.mark.parametrize("seed", range(5))
def test_the_rate_is_the_mean_over_x_of_what_one_step_adds(seed):
    rng = np.random.default_rng(seed)
    union = random_set(rng, int(rng.integers(1, 6)))
    low, high = growth_rate(union)
    assert low == pytest.approx(high, abs=1e-10)
    assert low == pytest.approx(mean_growth(union), abs=2e-3)


def test_what_is_covered_outside_counts_where_it_is_seen():
    union = IntervalUnion.around([0.0], 0.05)
    for x in (0.9, -0.95, 0.4):
        union = union.grown(x)
    part = union.clipped(-1.0, 1.0)
    wide, narrow = growth_rate(part, union), growth_rate(part)
    assert wide[0] == pytest.approx(mean_growth(union, -9.0, 9.0), abs=2e-3)
    assert narrow[0] == pytest.approx(mean_growth(part), abs=2e-3)
    assert wide[0] > narrow[1]


def test_one_point_in_the_middle_sees_everything():
    low, high = growth_rate(IntervalUnion.around([0.0], 1e-3))
    # all pairs are near but those of a > 0 with z < a - 1 and their mirror images: 2 · ε²/2 of 2ε (2 - 2ε)
    assert low <= 1.0 - 1e-6 / (2e-3 * (2 - 2e-3)) <= high


@pytest.mark.parametrize("w", [0.001, 0.3, 1.0, 1.4, 1.999])
def test_a_set_at_one_end_grows_by_one_half_exactly(w):
    low, high = growth_rate(IntervalUnion(np.array([-1.0]), np.array([-1.0 + w])))
    assert low <= 0.5 <= high
    assert high - low < 1e-10


def test_no_set_grows_by_less_than_one_half():
    rng = np.random.default_rng(7)
    lowest = 1.0
    for _ in range(1500):
        low, high = growth_rate(random_set(rng, int(rng.integers(1, 12))))
        assert high >= 0.5
        lowest = min(lowest, low)
    assert lowest < 0.6  # the search does come near


def test_walking_downhill_ends_at_one_half():
    """Moves of the ends that lower the rate, from a random set: they come to 1/2 and no further."""
    rng = np.random.default_rng(1)
    union = random_set(rng, 3)
    rate = growth_rate(union)[0]
    for _ in range(6000):
        ends = np.stack([union.starts, union.ends], axis=1).ravel()
        ends = np.sort(np.clip(ends + rng.normal(scale=0.1, size=ends.size) * (rng.random(ends.size) < 0.4), -1, 1))
        if (np.diff(ends) <= 1e-4).any():
            continue
        other = IntervalUnion(ends[::2], ends[1::2])
        low, high = growth_rate(other)
        assert high >= 0.5
        if low < rate:
            union, rate = other, low
    assert rate < 0.52
