"""How numbers of a claim read."""

from __future__ import annotations

import math

import pytest

from sslth.experiments.claim_words import (
    bound_text,
    estimate_text,
    interval_text,
    more_repetitions,
    parameters_text,
    percent_text,
    verdict_text,
)
from sslth.theory.claims import Case, Findings, Side


def at_least(estimate: float, low: float, high: float, bound: float, repetitions: int | None = 100) -> Case:
    return Case("x", estimate, (low, high), bound, Side.AT_LEAST, {}, repetitions)


def test_digits_are_as_many_as_the_verdict_hangs_on() -> None:
    assert estimate_text(at_least(0.5, 0.4, 0.6, 0.25)) == "0.5"
    near = at_least(0.17329, 0.173287, 0.173293, 0.173286)
    assert (estimate_text(near), interval_text(near)) == ("0.17329", "0.173287 to 0.173293")
    assert bound_text(near) == "at least 0.173286"
    touching = at_least(1.0, 1.0, 1.0, 1.0)
    assert (estimate_text(touching), interval_text(touching), bound_text(touching)) == ("1", "1", "at least 1")
    assert len(estimate_text(at_least(1 + 1e-14, 1, 2, 1))) <= 11
    assert interval_text(at_least(1.0, 0.5, math.inf, 0.1)) == "0.5 to inf"
    assert bound_text(Case("c", 2.0, (1.0, 3.0))) == "unnamed constant"


def test_an_open_claim_waits_for_its_slowest_case() -> None:
    quick, slow = at_least(0.5, 0.25, 0.75, 0.375), at_least(0.5, 0.25, 0.75, 0.4375)
    assert quick.more_repetitions == 300
    assert slow.more_repetitions == 1500
    assert more_repetitions(Findings([quick, slow, at_least(0.6, 0.5, 0.7, 0.1)])) == 1500
    assert verdict_text(Findings([quick, slow])) == "undecided: about 1,500 more repetitions would decide"
    assert verdict_text(quick) == "undecided: about 300 more repetitions would decide"


def test_no_number_is_named_where_draws_cannot_decide() -> None:
    enclosure, even = at_least(0.6, 0.4, 0.8, 0.5, None), at_least(0.5, 0.4, 0.6, 0.5)
    for open_case in (enclosure, even):
        assert more_repetitions(Findings([open_case, at_least(0.6, 0.4, 0.8, 0.45)])) is None
        assert verdict_text(open_case) == "undecided: no number of repetitions is known to decide"
    assert more_repetitions(Findings([at_least(0.6, 0.5, 0.7, 0.1)])) is None
    assert verdict_text(Findings([at_least(0.6, 0.5, 0.7, 0.1)])) == "holds"


def test_parameters_read_as_a_list() -> None:
    text = parameters_text({"n": 20, "law": "nsn", "epsilon": 1e-4, "z": [1.0, 0.0], "exact": True})
    assert text == "n = 20, law = nsn, epsilon = 0.0001, z = (1, 0), exact = yes"


@pytest.mark.parametrize(
    ("missing", "text"),
    [(0.01, "99 %"), (0.01 / 40, "99.975 %"), (0.01 / 37, "99.973 %"), (0.01 / 8, "99.875 %"), (1e-7, "99.99999 %")],
)
def test_a_confidence_is_never_rounded_to_certainty(missing: float, text: str) -> None:
    assert percent_text(1 - missing) == text
