"""The rule: known differences give known verdicts, and joint intervals hold together."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from sslth.experiments.compare.verdicts import MARGINS, OPEN, REFUTED, SHOWN, Difference, concluded, difference, paired

NEAR = (-0.002, -0.001, 0.0, 0.001, 0.002)


def about(mean: float, scale: float = 1.0) -> list[float]:
    return [mean + scale * value for value in NEAR]


@pytest.mark.parametrize(
    ("values", "kind", "verdict"),
    [
        (about(0.02), "better", SHOWN),
        (about(0.001), "better", REFUTED),  # a difference of .01 is excluded
        (about(-0.05), "better", REFUTED),
        (about(0.02, 20), "better", OPEN),
        (about(0.0), "as good", SHOWN),
        (about(-0.005), "as good", SHOWN),  # worse, but by less than is of interest
        (about(-0.05), "as good", REFUTED),
        (about(-0.01), "as good", REFUTED),
        (about(-0.01, 20), "as good", OPEN),
        (about(0.0), "equal", SHOWN),
        (about(0.05), "equal", REFUTED),
        (about(0.009, 5), "equal", OPEN),
        ([], "better", OPEN),
        ([0.5], "better", OPEN),
        ([0.0] * 5, "as good", OPEN),  # the same for every seed: chance against chance
    ],
    ids=str,
)
def test_known_differences(values: list[float], kind: str, verdict: str) -> None:
    found = difference("a minus b", values, kind, "accuracy", 1)
    assert (found.verdict, found.seeds, found.margin) == (verdict, len(values), MARGINS["accuracy"])
    assert (found.interval is None) == (len(set(values)) < 2)


@pytest.mark.parametrize("comparisons", [1, 2, 5])
def test_the_interval_is_students_shared_out(comparisons: int) -> None:
    values = np.random.default_rng(0).normal(0.1, 0.05, 6).tolist()
    found = difference("a minus b", values, "better", "accuracy", comparisons)
    expected = ttest_1samp(values, 0.0).confidence_interval(1 - 0.05 / comparisons)
    assert found.interval == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx(np.mean(values))


def test_four_intervals_of_nothing_leave_out_0_together_in_at_most_5_per_cent() -> None:
    rng = np.random.default_rng(1)
    draws, wrong = 400, 0
    for _ in range(draws):
        found = [difference("", rng.normal(0.0, 1.0, 5).tolist(), "better", "accuracy", 4) for _ in range(4)]
        wrong += any(one.interval is not None and not one.interval[0] <= 0 <= one.interval[1] for one in found)
    assert wrong / draws < 0.05 + 3 * (0.05 * 0.95 / draws) ** 0.5


def test_only_seeds_with_both_values_are_paired() -> None:
    assert paired({0: 0.5, 1: 0.75, 2: None, 4: 1.0}, {1: 0.25, 2: 0.5, 3: 0.5, 4: None}) == [0.5]


def one(verdict: str, name: str = "a minus b", premise: bool = False, low: float = 0.01) -> Difference:
    return Difference(name, "better", 0.01, low + 0.01, (low, low + 0.02), 5, verdict, premise)


def test_premises_come_first_then_what_is_excluded_then_what_is_open() -> None:
    assert concluded([one(SHOWN, "first"), one(SHOWN, "second", low=0.005)]) == (
        SHOWN,
        "the lowest is second: +0.0150 [+0.0050, +0.0250]",
    )
    assert concluded([one(SHOWN), one(OPEN, "this one")]) == (
        OPEN,
        "this one: +0.0200 [+0.0100, +0.0300] leaves it open",
    )
    verdict, why = concluded([one(OPEN), one(REFUTED, "this one"), one(REFUTED)])
    assert verdict == REFUTED
    assert why.startswith("this one: ")
    assert why.endswith("excludes a difference of 0.01, and 1 more")
    for state in (OPEN, REFUTED):
        verdict, why = concluded([one(SHOWN), one(REFUTED), one(state, "equal accuracy", premise=True)])
        assert verdict == OPEN
        assert why.startswith("a premise is not shown: equal accuracy: ")
    assert concluded([one(SHOWN), one(SHOWN, premise=True)])[0] == SHOWN


def test_what_has_no_interval_says_why() -> None:
    assert difference("", [], "better", "ece", 1).words() == "no interval: 0 seeds with a value"
    assert "all the same" in difference("", [0.1, 0.1], "better", "ece", 1).words()
    worse = difference("a minus b", about(-0.05), "as good", "accuracy", 1)
    assert concluded([worse])[1].endswith("is worse")
