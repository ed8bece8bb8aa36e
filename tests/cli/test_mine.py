"""`sslth mine`: what it prints and leaves behind, how it goes on, and how it fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sslth.cli.main import main
from sslth.mining import Mask
from sslth.networks.small_cnn import small_cnn

QUICK = ["--keep", ".2", "--epochs", "1", "--finetune", "1"]


def test_result_mask_and_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["mine", "gem_miner", *QUICK, "--out", str(out), "--json", "--sanity", "2"]) == 0
    printed = json.loads(capsys.readouterr().out)
    mask = Mask.load(out / "mask.safetensors")
    assert (mask.kept, mask.size) == (printed["kept"], printed["size"]) == (373, 1864)
    network = small_cnn()
    network.load_state_dict(load_file(out / "network.safetensors"))
    assert torch.equal(network.conv2.weight != 0, mask["conv2.weight"])
    assert printed["steps"] == {"scores": 18, "finetune": 18}
    assert printed["sanity"]["seeds"] == 2
    assert set(printed["sanity"]["arms"]) == {"ticket", "shuffled", "redrawn", "inverted", "matched_random"}
    again = ["mine", "gem_miner", *QUICK, "--out", str(out), "--sanity", "2"]
    assert main([*again, "--json"]) == 0  # read back: not even the seconds differ
    assert json.loads(capsys.readouterr().out) == printed
    assert main(again) == 0
    text = capsys.readouterr().out
    assert f"{printed['accuracy_after']:.4f} after" in text
    assert "rare gem" in text
    assert main(["mine", "gem_miner", "--keep", ".3", "--out", str(out)]) == 2
    assert "differs in 'epochs'" in capsys.readouterr().err


def test_hyper_parameters_and_explanation(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["mine", "edge_popup", *QUICK, "--set", "structured=true", "--set", "weights=kaiming_normal", "--json"]
    assert main([*command, "--on-empty", "keep_one"]) == 0
    assert json.loads(capsys.readouterr().out)["filters_removed"] == {"conv1.weight": 6, "conv2.weight": 13}
    assert main(["mine", "--explain"]) == 0
    assert "synflow" in capsys.readouterr().out


def test_what_is_masked_is_chosen_and_batch_norms_are_stated(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["mine", "snip", "--arch", "sslth.networks:cnn1d", "--data", "mnist1d", "--keep", ".5", "--finetune", "0"]
    choices = [
        "--norms",
        "masked",
        "--first",
        "dense",
        "--last",
        "dense",
        "--biases",
        "masked",
        "--on-empty",
        "keep_one",
    ]
    assert main([*command, *choices, "--json"]) == 0
    masked = json.loads(capsys.readouterr().out)["kept_by_layer"]
    assert "conv1.weight" not in masked
    assert "fc.weight" not in masked
    assert {"conv2.weight", "conv2.bias", "bn1.weight", "bn1.bias"} <= masked.keys()
    for choice, words in (([], "not measured again"), (["--reestimate"], "measured again under the mask, before")):
        assert main([*command, *choice]) == 0
        assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a method"),
        (["gems"], "no method 'gems'"),
        (["random", "--keep", "2"], "keep is 2.0"),
        (["random", "--keep", ".002", "--set", "budget=uniform"], "empties conv1.weight"),
        (["random", "--set", "budget"], "write name=value"),
        (["random", "--set", "colour=red"], "no hyper-parameter 'colour'"),
        (["random", "--sanity", "1"], "an interval needs at least 2"),
        (["random", "--biases", "gone"], "biases is 'gone'"),
        (["random", "--norms", "zero"], "norms is 'zero'"),
        (["random", "--last", "gone"], "last is 'gone'"),
        (["random", "--arch", "nonsense"], "module:callable"),
        (["random", "--data", "nowhere"], "no folder nowhere"),
        (["random", "--arch", "sslth.networks:lenet5"], "does not take inputs"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mine", *arguments, "--epochs", "0"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_diverging_run_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["mine", "random", "--keep", ".5", "--epochs", "2", "--learning-rate", "1e20", "--out", str(tmp_path)]
    assert main(command) == 1
    assert "lower the learning rate" in capsys.readouterr().err
    assert not (tmp_path / "result.json").exists()


def test_an_interrupted_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sslth.mining.training as training

    calls = []

    def interrupted(*arguments: object) -> float:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return 0.5

    command = ["mine", "magnitude", "--keep", ".5", "--epochs", "2", "--out", str(tmp_path), "--quiet"]
    with monkeypatch.context() as patch:
        patch.setattr(training, "accuracy", interrupted)
        assert main(command) == 130
    assert "interrupted" in capsys.readouterr().err
    assert main(command) == 0
    before, after = map(float, capsys.readouterr().out.split())
    assert 0 < before < 1
    assert 0 < after < 1
