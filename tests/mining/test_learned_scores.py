"""What is particular to the methods that learn scores, and to SynFlow."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

import pytest
import torch
from torch import nn

from sslth.data.splits import Examples, Splits
from sslth.errors import InvalidInputError
from sslth.mining import EdgePopup, GemMiner, Scope, Snip, SynFlow, mine
from sslth.mining.diverged import DivergedError
from sslth.mining.run import Run
from sslth.mining.scope import masked_slots
from sslth.mining.scores import Scores

Build = Callable[[], nn.Module]


@pytest.mark.parametrize("budget", ["uniform", "global"])
def test_structured_edge_popup_removes_whole_filters(budget: str, conv: Build, blobs: Splits) -> None:
    method = EdgePopup(structured=True, budget=budget)
    mined = mine(conv, blobs, method, keep=0.5, epochs=2, on_empty="keep_one")
    assert list(mined.mask) == ["0.weight", "3.weight", "0.bias", "3.bias"]
    for layer in ("0", "3"):
        by_filter = mined.mask[f"{layer}.weight"].flatten(1)
        assert torch.equal(by_filter.all(1), by_filter.any(1))
        assert torch.equal(by_filter.any(1), mined.mask[f"{layer}.bias"])
    removed = mined.results["filters_removed"]
    assert removed["0.weight"] + removed["3.weight"] == 7
    if budget == "uniform":
        assert removed == {"0.weight": 3, "3.weight": 4}
    convolved = mined.module()[0](blobs.test.inputs)
    assert not convolved[:, ~mined.mask["0.bias"]].any()


def test_filters_of_transposed_convolutions_are_their_outputs(blobs: Splits) -> None:
    def build(groups: int = 1) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 4, 1), nn.ConvTranspose2d(4, 6, 2, groups=groups), nn.Flatten(), nn.Linear(150, 3)
        )

    mask = mine(build, blobs, EdgePopup(structured=True), keep=0.5, epochs=1).mask["1.weight"]
    by_filter = mask.transpose(0, 1).flatten(1)
    assert torch.equal(by_filter.all(1), by_filter.any(1))
    assert int(by_filter.any(1).sum()) == 3
    with pytest.raises(InvalidInputError, match="grouped transposed"):
        mine(lambda: build(2), blobs, EdgePopup(structured=True), keep=0.5, epochs=1)


def test_structured_needs_a_hidden_layer(blobs: Splits) -> None:
    with pytest.raises(InvalidInputError, match="two weights"):
        mine(lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), blobs, EdgePopup(structured=True), epochs=1)


def test_gem_miner_freezes_step_by_step_to_the_budget(mlp: Build, blobs: Splits) -> None:
    mined = mine(mlp, blobs, GemMiner(freezes=4), keep=0.1, epochs=10, finetune_epochs=0, scope=Scope(biases="zero"))
    alive = [entry["alive"] for entry in mined.history]
    assert alive == sorted(alive, reverse=True)
    assert alive[5] > alive[7] == alive[-1] == mined.keep == 71 / 708  # the last freeze is at 24 of 30 steps
    steps = {round(708 * 0.1 ** (j / 4)) for j in range(5)}
    assert {round(share * 708) for share in alive} <= steps
    assert all(entry["rounded_up"] <= entry["alive"] for entry in mined.history)
    scores = torch.cat([values.flatten() for values in mined.scores.values()])
    kept = torch.cat([keep.flatten() for keep in mined.mask.values()])
    assert float(scores[kept].min()) >= 4 > float(scores[~kept].max())
    assert mined.results["keep_rounded"] <= mined.keep


def test_gem_miner_with_fewer_steps_than_freezes(mlp: Build, blobs: Splits) -> None:
    for epochs in (0, 1):
        assert mine(mlp, blobs, GemMiner(freezes=50), keep=0.1, epochs=epochs).mask.kept == 71


def test_a_strong_penalty_drives_scores_down(mlp: Build, blobs: Splits) -> None:
    rounded = [
        mine(mlp, blobs, GemMiner(penalty=penalty, freezes=1), keep=0.9, epochs=6, finetune_epochs=0).results[
            "keep_rounded"
        ]
        for penalty in (0.0, 1e-2)
    ]
    assert rounded[1] < rounded[0]


class NoData:
    """Has the shape of an input, and nothing else to give."""

    @property
    def inputs(self) -> Any:
        return torch.empty((0, 1, 4, 4))

    @property
    def labels(self) -> Any:
        raise AssertionError("data was looked at")


def run_on(network: nn.Module, data: Examples, keep: float, on_empty: str = "refuse") -> Run:
    return Run(
        network=network,
        slots=masked_slots(network, Scope()),
        scope=Scope(),
        train_part=data,
        validation=data,
        keep=keep,
        epochs=1,
        seed=0,
        device=torch.device("cpu"),
        on_empty=on_empty,
    )


def test_synflow_needs_no_data(conv: Build) -> None:
    network = conv()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = SynFlow(rounds=5).search(run_on(network, cast(Examples, NoData()), 0.1))
    assert found.mask.kept == 58
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def deep_chain() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        widths = [16, 40, 40, 6, 40, 40, 6, 40, 40, 3]
        layers = [nn.Linear(a, b, bias=False) for a, b in pairwise(widths)]
        return nn.Sequential(nn.Flatten(), *(part for layer in layers for part in (layer, nn.ReLU())))


def test_synflow_keeps_a_path_through_a_deep_chain(blobs: Splits) -> None:
    keep = 40 / sum(parameter.numel() for parameter in deep_chain().parameters())
    run = run_on(deep_chain(), blobs.train, keep)
    found = SynFlow(rounds=100).search(run)
    assert found.mask.kept == 40
    assert not found.mask.empty_layers()
    # some output still depends on some input
    reach = torch.ones(16)
    for keep_layer in found.mask.values():
        reach = keep_layer.double() @ reach.double()
    assert bool((reach > 0).any())
    # one shot, or gradients of a loss, empty a layer at that budget
    for method in (SynFlow(rounds=1), Snip()):
        with pytest.raises(InvalidInputError, match="empties"):
            method.search(run_on(deep_chain(), blobs.train, keep))


def test_synflow_conserves_flow_at_hidden_units(mlp: Build) -> None:
    # of an undamaged chain without biases the scores into a unit and out of it are the same sum
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 8, bias=False), nn.ReLU(), nn.Linear(8, 3, bias=False))
    scores = SynFlow(rounds=1).search(run_on(network, cast(Examples, NoData()), 1.0)).scores
    assert torch.allclose(scores["1.weight"].sum(1), scores["3.weight"].sum(0))


def test_scores_that_are_no_numbers_end_a_run_though_the_loss_is_one(
    mlp: Build, blobs: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A score that is NaN keeps nothing, so that the network's loss stays finite."""
    collect = Scores.collect

    def spoilt(scores: Scores, pull: float = 0.0) -> None:
        collect(scores, pull)
        assert scores.vector.grad is not None
        scores.vector.grad[3] = math.nan

    monkeypatch.setattr(Scores, "collect", spoilt)
    with pytest.raises(DivergedError, match="the penalty of scores is nan in epoch 1; lower the learning rate"):
        mine(mlp, blobs, GemMiner(freezes=1), keep=0.2, epochs=3)
