"""The study of robust ensembles: choices by validation only, resuming, and tables that add up."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import benchmarks.robust_ensemble as study
from benchmarks.robust_tables import diagrams, differences, interval, tables
from sslth.data.splits import Examples, Splits, digit_splits
from sslth.errors import InvalidInputError

FEW: dict[str, list[dict[str, Any]]] = {
    "single": [{}],
    "plain ensemble": [{"lambdas": [None, None]}],
    "DRO ensemble": [{"lambdas": [None, 2.0]}, {"lambdas": [None, 0.5]}],
    "label smoothing": [{"label_smoothing": 0.05}, {"label_smoothing": 0.3}],
    "mixup": [{"mixup": 0.2}],
}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(study, "CANDIDATES", FEW)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def of(store: Path, **more: Any) -> study.Study:
    settings = {"network": "lenet_300_100", "keep": 0.2, "epochs": 1, "finetune": 1, "deadline": math.inf}
    return study.Study(store, progress=lambda *_: None, **{**settings, **more})


def command(monkeypatch: pytest.MonkeyPatch, store: Path, *more: str) -> int:
    given = ["robust_ensemble", "--store", str(store), "--seeds", "0,1", "--epochs", "1", "--finetune", "1", *more]
    monkeypatch.setattr(sys, "argv", given)
    return study.main()


def test_a_study_that_was_stopped_goes_on(
    few: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, tmp_path, "--minutes", "0") == 1
    assert "stopped in seed 0" in capsys.readouterr().err
    figure = tmp_path / "reliability.png"
    assert command(monkeypatch, tmp_path, "--figure", str(figure)) == 0
    printed = capsys.readouterr().out
    assert "after finetuning; 2 seeds" in printed
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in tmp_path.iterdir()} == {
        "settings.json",
        "seed-0.json",
        "seed-1.json",
        "reliability.png",
    }
    with pytest.raises(InvalidInputError, match="differs in 'keep'"):
        command(monkeypatch, tmp_path, "--keep", ".3")

    # everything is there already: no network is mined again
    monkeypatch.setattr(study, "mine", None)
    monkeypatch.setattr(study, "mine_ensemble", None)
    assert command(monkeypatch, tmp_path) == 0
    assert capsys.readouterr().out == printed

    records = [json.loads((tmp_path / f"seed-{seed}.json").read_text()) for seed in (0, 1)]
    assert len(set(records[0]["kept"].values())) == 1  # every arm keeps as much as the single ticket
    for arm, stages in records[0]["candidates"].items():
        for found in stages.values():
            losses = [entry["validation_nll"] for entry in found["entries"]]
            assert found["chosen"] == int(np.argmin(losses))
            chosen = found["entries"][found["chosen"]]
            stage = next(name for name, value in stages.items() if value is found)
            assert records[0]["arms"][arm][stage]["ece"] == chosen["ece"]
    for stage in study.STAGES:
        cold, warm = (records[0]["arms"][arm][stage] for arm in ("single", "temperature"))
        assert cold["accuracy"] == warm["accuracy"]
        bins = diagrams(records, stage)["single"]
        assert int(bins.counts.sum()) == 720
        both = [record["arms"]["single"][stage]["accuracy"] for record in records]
        assert int(bins.right.sum()) == round(360 * sum(both))


def test_the_test_part_has_no_say(few: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoiled(seed: int) -> Splits:
        splits = digit_splits(seed)
        wrong = Examples(splits.test.inputs.flip(0), splits.test.labels)
        return Splits(splits.train, splits.validation, wrong, splits.classes)

    honest = study.measure_seed(of(tmp_path / "one"), 3)
    monkeypatch.setattr(study, "digit_splits", spoiled)
    other = study.measure_seed(of(tmp_path / "other"), 3)
    for arm, stages in honest["candidates"].items():
        for stage, found in stages.items():
            again = other["candidates"][arm][stage]
            assert again["chosen"] == found["chosen"]
            losses = [[entry["validation_nll"] for entry in one["entries"]] for one in (found, again)]
            assert losses[0] == losses[1]
    assert honest["arms"]["temperature"]["after"]["temperature"] == other["arms"]["temperature"]["after"]["temperature"]
    assert honest["arms"]["single"]["after"]["accuracy"] != other["arms"]["single"]["after"]["accuracy"]


def test_intervals_leave_out_what_is_not_there() -> None:
    mean, half, count = interval([0.1, None, 0.3])
    assert (mean, count) == (pytest.approx(0.2), 2)
    assert half == pytest.approx(0.1 * 12.7062, rel=1e-4)  # Student's law with one degree of freedom
    assert interval([0.5])[1] == math.inf
    assert math.isnan(interval([None])[0])


def test_differences_are_paired_by_seed() -> None:
    def record(single: float | None, mixup: float | None) -> dict[str, Any]:
        return {"arms": {"single": {"after": {"ece": single}}, "mixup": {"after": {"ece": mixup}}}}

    records = [record(0.1, 0.4), record(0.2, None), record(0.5, 0.6)]
    found = differences(records, "after", "mixup", "single", "ece")
    assert found == [pytest.approx(0.3), None, pytest.approx(0.1)]


def test_tables_of_one_seed_claim_nothing(few: None, tmp_path: Path) -> None:
    text = tables([study.measure_seed(of(tmp_path), 0)])
    assert "± inf" in text
    assert " *" not in text
