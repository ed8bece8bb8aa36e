"""The limit of the scaled densities, and how far all later ones are from it, against exact values."""

from __future__ import annotations

import pytest

from sslth.errors import InvalidInputError
from sslth.theory.irwin_hall import scaled_edge, scaled_peak
from sslth.theory.irwin_hall_limit import excess_beyond, limit


def test_limits_are_the_normal_density():
    assert limit(1.0) == pytest.approx(0.15418032980376926, rel=1e-14)  # √3 φ(√3)
    assert limit(0.0) == pytest.approx(0.69098829894267, rel=1e-13)  # √3 φ(0)


@pytest.mark.parametrize("place", [0.0, 1.0])
@pytest.mark.parametrize("first", [16, 40, 64, 100])
def test_the_excess_holds_for_every_later_sum(first, place):
    low, high = excess_beyond(first, place)
    enclose = scaled_peak if place == 0.0 else scaled_edge
    for k in {first, first + 1, 2 * first, 130}:
        below, above = enclose(k)
        assert low <= k * (above - limit(place))
        assert k * (below - limit(place)) <= high


def test_the_excess_narrows_and_has_a_sign_from_64_on():
    edge, peak = excess_beyond(64, 1.0), excess_beyond(64, 0.0)
    assert edge[0] > 0.0  # the density at √k comes to its limit from above
    assert peak[1] < 0.0  # the largest density from below
    assert excess_beyond(1000, 1.0)[1] - excess_beyond(1000, 1.0)[0] < (edge[1] - edge[0]) / 8


def test_the_excess_is_refused_where_its_parts_do_not_fall():
    with pytest.raises(InvalidInputError, match="from k = 16 on, not at 15"):
        excess_beyond(15, 1.0)
