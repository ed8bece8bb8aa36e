"""The verdict from synthetic accuracies, and one real run of the checks."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from sslth.data.splits import Splits
from sslth.errors import InvalidInputError
from sslth.mining import SanityReport, mine, sanity_checks
from sslth.mining.sanity import CONTROLS, _arms

Build = Callable[[], nn.Module]


def report(ticket: tuple[float, ...], **controls: tuple[float, ...]) -> SanityReport:
    usual = {control: tuple(value - 0.2 for value in ticket) for control in CONTROLS}
    return SanityReport({"ticket": ticket, **usual, **controls})


def test_better_than_all_is_a_rare_gem() -> None:
    found = report((0.9, 0.91, 0.92), inverted=(0.3, 0.35, 0.2))
    assert found.is_rare_gem
    assert found.difference("shuffled")[0] == pytest.approx(0.2)


@pytest.mark.parametrize("control", CONTROLS)
def test_one_control_that_is_as_good_is_enough_to_refute(control: str) -> None:
    found = report((0.9, 0.91, 0.92), **{control: (0.91, 0.90, 0.92)})
    assert not found.is_rare_gem
    assert found.better_than == {name: name != control for name in CONTROLS}
    assert "no difference shown" in found.table()


def test_a_mean_that_is_better_by_chance_is_not_enough() -> None:
    assert not report((0.9, 0.8, 0.85), shuffled=(0.6, 0.85, 0.84)).is_rare_gem


def test_intervals_are_students_shared_out_over_four() -> None:
    found = report((0.9, 0.8, 0.7, 0.8), redrawn=(0.5, 0.5, 0.5, 0.5))
    mean, (low, high) = found.difference("redrawn")
    assert mean == pytest.approx(0.3)
    spread = (0.02 / 3) ** 0.5 / 2
    # Student's law with 3 degrees of freedom has a distribution function in closed form; each tail has .05 / 8
    x = (high - low) / 2 / spread / math.sqrt(3)
    assert 0.5 + (x / (1 + x * x) + math.atan(x)) / math.pi == pytest.approx(1 - 0.05 / 8)


def test_bad_results_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="at least 2"):
        report((0.9,))
    with pytest.raises(InvalidInputError, match="same number"):
        report((0.9, 0.8), shuffled=(0.1, 0.2, 0.3))
    with pytest.raises(InvalidInputError, match="arms"):
        SanityReport({"ticket": (0.1, 0.2)})
    with pytest.raises(InvalidInputError, match="outside"):
        report((0.9, 1.8))


def test_arms_are_what_they_say(conv: Build, blobs: Splits) -> None:
    mined = mine(conv, blobs, "snip", keep=0.4, finetune_epochs=0)
    arms = _arms(mined, 7)
    for mask, start in arms.values():
        assert mask.counts() == mined.mask.counts()
        assert start.keys() == mined.start.keys()
    assert arms["redrawn"][0] == mined.mask != arms["shuffled"][0]
    assert torch.equal(arms["shuffled"][1]["0.weight"], mined.start["0.weight"])
    assert not torch.equal(arms["redrawn"][1]["0.weight"], mined.start["0.weight"])
    assert not torch.equal(arms["redrawn"][1]["0.weight"], arms["matched_random"][1]["0.weight"])
    inverted = arms["inverted"][0]["3.weight"]
    scores = mined.scores["3.weight"]
    assert float(scores[inverted].max()) <= float(scores[~inverted].min())


def test_one_call_over_seeds_and_tickets(mlp: Build, blobs: Splits) -> None:
    mined = mine(mlp, blobs, "magnitude", keep=0.1, epochs=2, on_empty="keep_one")
    first, second = (sanity_checks(mined, blobs, seeds=2) for _ in range(2))
    assert first.accuracies == second.accuracies
    assert first.seeds == 2
    other = mine(mlp, blobs, "magnitude", keep=0.1, epochs=2, seed=1, on_empty="keep_one")
    several = sanity_checks([mined, other], blobs)
    # with their own seeds, tickets are finetuned as they were mined, but for the order of batches
    assert several.seeds == 2
    assert set(several.as_dict()["arms"]) == {"ticket", *CONTROLS}
    with pytest.raises(InvalidInputError, match="at least 2"):
        sanity_checks(mined, blobs, seeds=1)


def test_a_model_that_cannot_be_drawn_again_says_so(blobs: Splits) -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(16, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1) @ self.weight

    mined = mine(Scale(), blobs, "random", keep=0.5, epochs=0)
    with pytest.raises(InvalidInputError, match="reset_parameters"):
        sanity_checks(mined, blobs, seeds=2)
    assert sanity_checks(mine(Scale, blobs, "random", keep=0.5, epochs=0), blobs, seeds=2, epochs=0).seeds == 2
