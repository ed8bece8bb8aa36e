"""A run that was killed goes on as if nothing had happened; a folder belongs to one run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from sslth.data.splits import Splits
from sslth.errors import InvalidInputError
from sslth.mining import DivergedError, GemMiner, Mined, Training, mine
from sslth.mining.tensor_files import read_tensors

Build = Callable[[], nn.Module]

SCRIPT = """
import os, signal, sys, torch
torch.set_num_threads(1)
from torch import nn
from sslth.data.splits import Examples, Splits
from sslth.mining import mine

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
    return mine(build, data(), "gem_miner", keep=.3, epochs=4, finetune_epochs=3, seed=5, out=out,
                checkpoint_seconds=0, progress=progress)
if __name__ == "__main__":
    for stage, epoch in (("scores", 3), ("finetune", 2)):  # a child each: importing torch takes longest
        child = os.fork()
        if child == 0:
            run(sys.argv[1], stage, epoch)
            os._exit(0)
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        print(stage, killed, sorted(os.listdir(sys.argv[1])), flush=True)
"""


def same(one: Mined, other: Mined) -> None:
    assert one.mask == other.mask
    assert one.history == other.history
    assert one.results == other.results
    for first, second in ((one.start, other.start), (one.final, other.final), (one.scores, other.scores)):
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)


def epoch_of(path: Path) -> int:
    _, description = read_tensors(path, "sslth-mining-checkpoint-2")
    epoch: int = description["epoch"]
    assert [entry["epoch"] for entry in description["history"]] == list(range(1, epoch + 1))
    return epoch


def test_kill_9_loses_nothing(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "killed")], check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [
        "scores True ['phase-scores.safetensors', 'settings.json']",
        "finetune True ['phase-finetune.safetensors', 'phase-scores.safetensors', 'settings.json']",
    ]
    namespace: dict[str, object] = {"__name__": "script"}
    exec(compile(SCRIPT, "script", "exec"), namespace)
    run: Callable[..., Mined] = namespace["run"]  # type: ignore[assignment]
    resumed, whole = run(tmp_path / "killed"), run(tmp_path / "whole")
    same(resumed, whole)
    names = {path.name for path in (tmp_path / "whole").iterdir()}
    assert names == {"settings.json", "mask.safetensors", "found.safetensors", "network.safetensors", "result.json"}


def test_a_finished_run_is_read_back_and_a_restart_discards_it(mlp: Build, blobs: Splits, tmp_path: Path) -> None:
    seen: list[str] = []
    arguments = {"keep": 0.3, "epochs": 1, "out": tmp_path, "progress": lambda _a, _b, stage: seen.append(stage)}
    first = mine(mlp, blobs, "magnitude", **arguments)  # type: ignore[arg-type]
    assert seen == ["dense", "finetune"]
    again = mine(mlp, blobs, "magnitude", **arguments)  # type: ignore[arg-type]
    same(first, again)
    assert len(seen) == 2
    assert torch.equal(first.module()(blobs.test.inputs), again.module()(blobs.test.inputs))
    same(first, mine(mlp, blobs, "magnitude", restart=True, **arguments))  # type: ignore[arg-type]
    assert len(seen) == 4


def test_a_folder_of_another_run_is_refused(mlp: Build, conv: Build, blobs: Splits, tmp_path: Path) -> None:
    mine(mlp, blobs, "random", epochs=0, keep=0.3, out=tmp_path)
    with pytest.raises(InvalidInputError, match="checkpoint of another model"):
        mine(conv, blobs, "random", epochs=0, keep=0.3, out=tmp_path)
    with pytest.raises(InvalidInputError, match="differs in 'keep'"):
        mine(mlp, blobs, "random", epochs=0, keep=0.4, out=tmp_path)
    mine(conv, blobs, "random", epochs=0, keep=0.3, out=tmp_path, restart=True)


def test_damaged_checkpoints_are_refused(mlp: Build, blobs: Splits, tmp_path: Path) -> None:
    def stop(done: int, total: int, stage: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mine(mlp, blobs, "gem_miner", keep=0.3, epochs=4, out=tmp_path, checkpoint_seconds=0, progress=stop)
    path = tmp_path / "phase-scores.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidInputError, match="damaged"):
        mine(mlp, blobs, "gem_miner", keep=0.3, epochs=4, out=tmp_path)
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(InvalidInputError, match="cannot read"):
        mine(mlp, blobs, "gem_miner", keep=0.3, epochs=4, out=tmp_path)


@pytest.mark.parametrize("seconds", [0.0, 3600.0], ids=["every-epoch", "at-the-end"])
@pytest.mark.parametrize("method", ["edge_popup", "gem_miner"])
def test_a_search_that_was_stopped_goes_on_with_what_it_kept(
    method: str, seconds: float, mlp: Build, blobs: Splits, tmp_path: Path
) -> None:
    """What a search remembers besides the checkpoint, to save time, must not be trusted after it was read."""

    def stop(done: int, total: int, stage: str) -> None:
        if (stage, done) == ("scores", 3):
            raise KeyboardInterrupt

    arguments = {"keep": 0.3, "epochs": 6, "finetune_epochs": 1, "seed": 4, "checkpoint_seconds": seconds}
    with pytest.raises(KeyboardInterrupt):
        mine(mlp, blobs, method, out=tmp_path, progress=stop, **arguments)  # type: ignore[arg-type]
    assert epoch_of(tmp_path / "phase-scores.safetensors") == 3
    same(mine(mlp, blobs, method, out=tmp_path, **arguments), mine(mlp, blobs, method, **arguments))  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [0.0, 3600.0], ids=["every-epoch", "at-the-end"])
def test_a_diverging_run_stops_with_the_last_good_checkpoint(
    seconds: float, mlp: Build, blobs: Splits, tmp_path: Path
) -> None:
    class Spoiled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = mlp()
            self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                self.calls += 1
            outputs: torch.Tensor = self.inner(x)
            return outputs * (torch.nan if self.calls > 8 else 1.0)  # 3 steps an epoch: in the third

    arguments = {"keep": 0.3, "epochs": 5, "out": tmp_path, "checkpoint_seconds": seconds}
    for _ in range(2):  # the second attempt starts from the checkpoint and ends the same
        with pytest.raises(DivergedError, match=r"epoch 3|a score is NaN"):
            mine(Spoiled, blobs, GemMiner(training=Training("SGD", 0.1)), **arguments)  # type: ignore[arg-type]
        assert epoch_of(tmp_path / "phase-scores.safetensors") == 2
