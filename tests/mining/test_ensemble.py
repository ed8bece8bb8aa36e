"""Ensembles: the budget of one ticket, plain members that are plain, runs that go on, bad input."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sslth.data.splits import Splits
from sslth.errors import InvalidInputError
from sslth.mining import EdgePopup, Ensemble, Scope, mine, mine_ensemble
from sslth.mining.budgets import total_count
from sslth.mining.ensemble import member_keeps
from sslth.mining.predictions import probabilities_of
from sslth.mining.seeds import stream

Build = Callable[[], nn.Module]


def small(build: Build, data: Splits, lambdas: Sequence[float], **more: Any) -> Ensemble:
    return mine_ensemble(build, data, lambdas, **{"keep": 0.4, "epochs": 2, "seed": 3, **more})


@pytest.mark.parametrize("members", [1, 2, 3, 5])
@pytest.mark.parametrize("keep", [0.1, 0.5, 1.0])
def test_members_share_the_budget_of_one_ticket_exactly(mlp: Build, members: int, keep: float) -> None:
    shares = member_keeps(mlp, Scope(), keep, members)
    counts = [total_count(708, share) for share in shares]
    assert sum(counts) == total_count(708, keep)
    assert max(counts) - min(counts) <= 1


def test_density_is_that_of_the_single_ticket(mlp: Build, blobs: Splits) -> None:
    single = mine(mlp, blobs, "edge_popup", keep=0.4, epochs=0)
    ensemble = small(mlp, blobs, (math.inf, 1.0, 0.5), epochs=0)
    assert ensemble.kept == single.mask.kept == 283
    assert ensemble.keep == single.keep
    assert ensemble.results["kept"] == sum(int(m.mask[name].sum()) for m in ensemble.members for name in m.mask)
    # 39 biases come three times
    assert ensemble.results["density"] == pytest.approx((283 + 3 * 39) / (708 + 39))


def test_a_plain_ensemble_is_edge_popup_under_other_seeds(mlp: Build, blobs: Splits) -> None:
    ensemble = small(mlp, blobs, (math.inf, math.inf))
    for number, member in enumerate(ensemble.members):
        keep = member.mask.kept / member.mask.size
        alone = mine(mlp, blobs, "edge_popup", keep=keep, epochs=2, seed=stream(3, "member", number))
        assert alone.mask == member.mask
        assert all(torch.equal(alone.final[name], member.final[name]) for name in alone.final)
    first, second = ensemble.members
    assert first.mask != second.mask
    assert not torch.equal(first.start["1.weight"], second.start["1.weight"])


def test_lambdas_change_their_own_member_only(mlp: Build, blobs: Splits) -> None:
    plain, robust = small(mlp, blobs, (math.inf, math.inf)), small(mlp, blobs, (math.inf, 0.3))
    assert plain.members[0].history == robust.members[0].history
    assert torch.equal(plain.members[1].start["1.weight"], robust.members[1].start["1.weight"])  # the same random net
    assert plain.members[1].history[0]["loss"] < robust.members[1].history[0]["loss"]  # the hard examples' own
    assert robust.members[1].history[-1]["phase"] == "finetune"
    assert plain.members[1].mask != robust.members[1].mask
    assert robust.lambdas == (math.inf, 0.3)
    assert robust.members[1].setup.training.kl_penalty == 0.3


def test_frozen_weights_stay_bit_by_bit(mlp: Build, blobs: Splits) -> None:
    before = small(mlp, blobs, (0.5,), epochs=0).members[0].start
    after = small(mlp, blobs, (0.5,), epochs=2).members[0].start
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("finetuned", [False, True], ids=["before", "after"])
def test_the_module_averages_its_members(conv: Build, blobs: Splits, finetuned: bool) -> None:
    ensemble = small(conv, blobs, (math.inf, 1.0), epochs=1)
    inputs, labels = blobs.test.inputs, blobs.test.labels
    mean = np.mean([probabilities_of(m.module(finetuned=finetuned), inputs) for m in ensemble.members], axis=0)
    network = ensemble.module(finetuned=finetuned)
    assert not network.training
    assert np.allclose(probabilities_of(network, inputs), mean, atol=1e-6)
    right = float((mean.argmax(1) == labels.numpy()).mean())
    assert ensemble.results[f"accuracy_{'after' if finetuned else 'before'}"] == pytest.approx(right)
    steps = sum(sum(member.results["steps"].values()) for member in ensemble.members)
    assert ensemble.results["steps"] == steps
    assert repr(ensemble).startswith("Ensemble(2 members, keep=0.4003, accuracy ")


def test_an_interrupted_ensemble_goes_on(mlp: Build, blobs: Splits, tmp_path: Path) -> None:
    seen: list[str] = []

    def stop(done: int, _total: int, stage: str) -> None:
        seen.append(stage)
        if stage == "member 2 of 2: scores" and done == 1:
            raise KeyboardInterrupt

    arguments = {"out": tmp_path / "killed", "checkpoint_seconds": 0}
    with pytest.raises(KeyboardInterrupt):
        small(mlp, blobs, (math.inf, 0.5), progress=stop, **arguments)
    assert seen[0] == "member 1 of 2: scores"
    later: list[str] = []
    resumed = small(mlp, blobs, (math.inf, 0.5), progress=lambda _a, _b, stage: later.append(stage), **arguments)
    assert later == ["member 2 of 2: scores"] + 2 * ["member 2 of 2: finetune"]
    whole = small(mlp, blobs, (math.inf, 0.5))
    assert resumed.results == whole.results
    for one, other in zip(resumed.members, whole.members, strict=True):
        assert one.mask == other.mask
        assert one.history == other.history
        assert all(torch.equal(one.final[name], other.final[name]) for name in one.final)
    names = {path.name for path in (tmp_path / "killed").iterdir()}
    assert names == {"settings.json", "result.json", "member-0", "member-1"}
    with pytest.raises(InvalidInputError, match="another run"):
        small(mlp, blobs, (math.inf, 0.7), **arguments)
    again = small(mlp, blobs, (math.inf, 0.7), restart=True, **arguments)
    assert again.lambdas == (math.inf, 0.7)


@pytest.mark.parametrize(
    ("lambdas", "more", "message"),
    [
        ((), {}, "lambdas is empty"),
        ((math.inf, 0.0), {}, "a λ is 0.0"),
        ((-1.0,), {}, "a λ is -1.0"),
        ((math.nan,), {}, "a λ is nan"),
        ((math.inf,) * 3, {"keep": 0.002}, "leaves 1 of 708 entries for 3 members"),
        ((math.inf,), {"keep": 1.5}, "keep is 1.5"),
        ((math.inf,), {"method": EdgePopup(structured=True)}, "counts entries"),
    ],
    ids=["none", "zero", "negative", "nan", "too-few", "keep", "structured"],
)
def test_bad_ensembles(
    mlp: Build, blobs: Splits, lambdas: tuple[float, ...], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        small(mlp, blobs, lambdas, epochs=0, **more)


def test_other_methods_are_robust_where_they_train_weights(mlp: Build, blobs: Splits) -> None:
    from sslth.mining import Magnitude, Snip

    for method in (Magnitude(), Snip()):
        plain, robust = (small(mlp, blobs, (penalty,), method=method) for penalty in (math.inf, 0.3))
        assert plain.members[0].history != robust.members[0].history
