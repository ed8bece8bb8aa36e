"""Iterative magnitude pruning: rounds, rewinding, and going on after kill -9."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sslth.data.splits import Splits
from sslth.errors import InvalidInputError
from sslth.mining import Imp, Mined, Training, method_named, mine
from sslth.mining.methods.imp import masks_by_round
from sslth.mining.training import train

Build = Callable[[], nn.Module]

SCRIPT = """
import os, signal, sys, torch
torch.set_num_threads(1)
from torch import nn
from sslth.data.splits import Examples, Splits
from sslth.mining import Imp, mine

def build():
    hidden = (nn.Linear(64, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.2))
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(12, 10))

def data():
    draw = torch.Generator().manual_seed(0)
    part = Examples(torch.randn(300, 64, generator=draw), torch.arange(300) % 10)
    return Splits(part, part, part, 10)

def run(out, killed_in=None, at=None):
    def progress(done, total, stage):
        if (stage, done) == (killed_in, at):
            os.kill(os.getpid(), signal.SIGKILL)
    return mine(build, data(), Imp(rate=.5, rewind=7), keep=.25, epochs=3, finetune_epochs=2, seed=5, out=out,
                checkpoint_seconds=0, progress=progress)
if __name__ == "__main__":
    for stage, epoch in (("pretrain", 1), ("round-1", 2), ("round-2", 0)):  # a child each
        child = os.fork()
        if child == 0:
            run(sys.argv[1], stage, epoch)
            os._exit(0)
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        print(stage, killed, *sorted(n for n in os.listdir(sys.argv[1]) if "phase" in n), flush=True)
"""


def test_kill_9_within_a_round_and_between_rounds_loses_nothing(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "killed")], check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [
        "pretrain True phase-pretrain.safetensors",
        "round-1 True phase-pretrain.safetensors phase-round-1.safetensors",
        "round-2 True phase-pretrain.safetensors phase-round-1.safetensors",
    ]
    namespace: dict[str, object] = {"__name__": "script"}
    exec(compile(SCRIPT, "script", "exec"), namespace)
    run: Callable[..., Mined] = namespace["run"]  # type: ignore[assignment]
    resumed, whole = run(tmp_path / "killed"), run(tmp_path / "whole")
    assert resumed.mask == whole.mask
    assert resumed.history == whole.history
    assert resumed.results == whole.results
    for name in whole.final:
        assert torch.equal(resumed.final[name], whole.final[name])
        assert torch.equal(resumed.start[name], whole.start[name])
    assert whole.results["steps"] == {"pretrain": 7, "round-1": 15, "round-2": 15, "finetune": 10}


def test_every_round_keeps_its_share_of_the_one_before(mlp: Build, blobs: Splits) -> None:
    method = Imp(rate=0.3, rewind=4)
    mined = mine(mlp, blobs, method, keep=0.2, epochs=1, finetune_epochs=1)
    assert method.rounds(0.2) == 5
    masks = masks_by_round(mined.scores, 5)
    size = mined.mask.size
    assert [mask.kept for mask in masks] == [
        math.floor(size * share + 0.5) for share in (1, 0.7, 0.49, 0.343, 0.2401, 0.2)
    ]
    assert masks[-1] == mined.mask
    for before, after in pairwise(masks):
        assert all(bool((before[name] | ~after[name]).all()) for name in before)


@pytest.mark.parametrize("budget", ["uniform", "erdos_renyi_kernel"])
def test_layerwise_budgets_nest_too(budget: str, conv: Build, blobs: Splits) -> None:
    mined = mine(conv, blobs, Imp(rate=0.4, rewind=0, budget=budget), keep=0.1, epochs=1, finetune_epochs=0)
    masks = masks_by_round(mined.scores, 5)
    assert masks[-1] == mined.mask
    assert mined.mask.kept == round(0.1 * mined.mask.size)
    for before, after in pairwise(masks):
        assert all(bool((before[name] | ~after[name]).all()) for name in before)


def test_the_ticket_starts_where_pre_training_stopped(conv: Build, blobs: Splits) -> None:
    """The same steps by hand give the rewound weights; rewinding to 0 gives the initial ones, bit by bit."""
    mined = mine(conv, blobs, Imp(rate=0.5, rewind=5), keep=0.5, epochs=1, finetune_epochs=0, seed=3)
    network = mine(conv, blobs, "random", keep=0.5, epochs=0, seed=3).template.train()  # the same initial weights
    history = train(
        network,
        network.parameters(),
        blobs.train,
        blobs.validation,
        Training(schedule="constant"),
        phase="pretrain",
        epochs=0,
        steps=5,
        seed=3,
        device=torch.device("cpu"),
    )
    assert [entry["steps"] for entry in history] == [3, 5]  # 160 examples are 3 batches
    assert all(torch.equal(mined.start[name], value) for name, value in network.state_dict().items())
    none = mine(conv, blobs, Imp(rate=0.5, rewind=0), keep=0.5, epochs=1, finetune_epochs=0, seed=3)
    assert all(torch.equal(none.start[name], value) for name, value in none.template.state_dict().items())
    assert "pretrain" not in none.results["steps"]


def test_one_round_keeps_the_largest_trained_weights(mlp: Build, blobs: Splits) -> None:
    """With one round and no rewinding the mask is that of magnitude pruning after the same training."""
    seen = Imp(rate=0.8, rewind=0)
    mined = mine(mlp, blobs, seen, keep=0.2, epochs=2, finetune_epochs=0)
    network = mine(mlp, blobs, "random", keep=0.2, epochs=0).template.train()
    train(
        network,
        network.parameters(),
        blobs.train,
        blobs.validation,
        Training(),
        phase="round-1",
        epochs=2,
        seed=0,
        device=torch.device("cpu"),
    )
    weights = {name: value for name, value in network.named_parameters() if name in mined.mask}
    smallest_kept = min(float(w.detach().abs()[mined.mask[name]].min()) for name, w in weights.items())
    largest_dropped = max(float(w.detach().abs()[~mined.mask[name]].max()) for name, w in weights.items())
    assert smallest_kept > largest_dropped


def test_pre_training_sees_the_chosen_rows_only(mlp: Build, blobs: Splits) -> None:
    rows = (3, 8, 20)
    mined = mine(mlp, blobs, Imp(rate=0.5, rewind=4, rows=rows), keep=0.5, epochs=1, finetune_epochs=0)
    assert mined.results["steps"]["pretrain"] == 4
    assert sum(entry["phase"] == "pretrain" for entry in mined.history) == 4  # a pass over three examples is one step
    inputs = blobs.train.inputs.clone()
    others = torch.tensor([row for row in range(len(blobs.train)) if row not in rows])
    inputs[others] += 1.0
    changed = Splits(type(blobs.train)(inputs, blobs.train.labels), blobs.validation, blobs.test, blobs.classes)
    again = mine(mlp, changed, Imp(rate=0.5, rewind=4, rows=rows), keep=0.5, epochs=1, finetune_epochs=0)
    assert all(torch.equal(mined.start[name], again.start[name]) for name in mined.start)
    assert mined.history[-1]["loss"] != again.history[-1]["loss"]  # the rounds see all


def test_keeping_everything_needs_no_round(mlp: Build, blobs: Splits) -> None:
    mined = mine(mlp, blobs, Imp(rewind=2), keep=1.0, epochs=1)
    assert mined.keep == 1.0
    assert set(mined.results["steps"]) == {"pretrain", "finetune"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 0.0}, "rate is 0.0"),
        ({"rate": 1.0}, "rate is 1.0"),
        ({"rewind": -1}, "rewind is -1"),
        ({"rows": (3, -1)}, "rows are"),
        ({"rows": (0.5,)}, "rows are"),
    ],
    ids=["none", "all", "before", "negative", "half"],
)
def test_bad_hyper_parameters(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Imp(**settings)


def test_rows_by_name() -> None:
    assert method_named("imp", {"rows": [4, 2], "rate": 0.5}) == Imp(rate=0.5, rows=(4, 2))


@pytest.mark.parametrize("rows", [(0, 0), (160,)])
def test_rows_that_are_not_there(rows: tuple[int, ...], mlp: Build, blobs: Splits) -> None:
    with pytest.raises(InvalidInputError, match="different numbers from 0 to 159"):
        mine(mlp, blobs, Imp(rows=rows), keep=0.5, epochs=1)
