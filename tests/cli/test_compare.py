"""`sslth compare`: what it prints, its exit statuses, and how it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sslth.cli.main import main
from sslth.experiments import figure_style
from sslth.experiments.compare import job
from sslth.experiments.compare.cells import evaluate_way
from sslth.experiments.compare.table import FIGURES
from sslth.experiments.compare.ways import WAYS, TrainingEffort

COMMAND = ["compare", "--quick", "--methods", "dense,synflow", "--seeds", "2", "--jobs", "1"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in; `--quick` is one epoch of everything."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(TrainingEffort, "quick", classmethod(lambda _cls: TrainingEffort(1, 1, 1, 64)))
    return tmp_path


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made but not drawn, which takes longest."""
    monkeypatch.setattr(figure_style, "figure_to_png", lambda _figure, **_options: b"\x89PNG")


def test_table_findings_and_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMAND, "--out", "here", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((folder / "here" / "compare.json").read_text())
    assert list(printed["methods"]) == ["dense", "synflow"]
    for name in FIGURES:
        assert set(printed["methods"]["synflow"][name]) == {"mean", "interval", "seeds"}
    assert main([*COMMAND, "--out", "here"]) == 0  # at once: it is all there
    said = capsys.readouterr()
    assert said.out.startswith("method ")
    assert said.out.endswith(f"report: {Path('here') / 'compare.html'}\n")
    assert "failed" not in said.out + said.err
    assert "--methods dense,synflow --keep 0.02 --seeds 2" in (folder / "here" / "compare.html").read_text()
    assert main([*COMMAND, "--out", "here", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("undrawn")
def test_findings_are_printed_with_what_they_rest_on(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real: dict[str, Any] = evaluate_way(
        {"way": "synflow", "data": "digits", "fingerprint": "", "seed": 0, "arch": None, "keep": 0.1}
        | {"settings": {"optimizer": "Adam"}, "finetune": 1, "epochs": 1}
    )
    monkeypatch.setattr(job, "evaluate_way", lambda _cell: real)
    assert main(["compare", "--quick", "--methods", "gem_miner,edge_popup", "--seeds", "3", "--jobs", "1"]) == 0
    assert "better than edge-popup: cannot be judged here; Gem-Miner minus" in capsys.readouterr().out
    assert (folder / "out" / "compare" / "findings.json").exists()


@pytest.mark.usefixtures("undrawn")
def test_ctrl_c_is_130_and_the_same_command_goes_on(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def interrupted(parameters: dict[str, Any]) -> dict[str, Any]:
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(parameters)
        return evaluate_way(parameters)

    monkeypatch.setattr(job, "evaluate_way", interrupted)
    command = [*COMMAND, "--quiet"]
    assert main(command) == 130
    assert capsys.readouterr().err == "sslth: interrupted\n"
    assert len(seen) == 3
    monkeypatch.setattr(job, "evaluate_way", lambda cell: seen.append(cell) or evaluate_way(cell))
    assert main(command) == 0
    assert len(seen) == 6
    assert len({json.dumps(cell) for cell in seen}) == 6
    assert (folder / "out" / "compare" / "compare.html").exists()


@pytest.mark.usefixtures("undrawn")
def test_a_method_that_fails_is_status_1_and_the_rest_is_there(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(parameters: dict[str, Any]) -> dict[str, Any]:
        if parameters["way"] == "dense":
            raise ArithmeticError("the loss is NaN")
        return evaluate_way(parameters)

    monkeypatch.setattr(job, "evaluate_way", half)
    assert main(COMMAND) == 1
    said = capsys.readouterr()
    assert said.err == "sslth: dense failed: ArithmeticError: the loss is NaN\n"
    assert "nothing pruned (failed)" in said.out
    assert main([*COMMAND, "--json"]) == 1
    methods = json.loads(capsys.readouterr().out)["methods"]
    assert methods["dense"]["error"] == methods["dense"]["ece_reason"] == "ArithmeticError: the loss is NaN"
    assert methods["synflow"]["ece"]["seeds"] == 2
    monkeypatch.setattr(job, "evaluate_way", evaluate_way)
    assert main([*COMMAND, "--quiet"]) == 0
    assert (folder / "out" / "compare" / "choices.json").exists()


def test_methods_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--explain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(WAYS)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--methods", "gems"], "no method 'gems'"),
        (["--methods", ""], "--methods is ''"),
        (["--keep", "0"], "keep is 0"),
        (["--keep", "2"], "keep is 2"),
        (["--seeds", "1"], "--seeds is 1"),
        (["--seeds", "many"], "--seeds"),
        (["--jobs", "0"], "--jobs is 0"),
        (["--data", "nowhere"], "no folder nowhere"),
        (["--arch", "nonsense"], "module:callable"),
        (["--out", "taken"], "cannot use the output folder taken"),
        (["--unknown"], "--unknown"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    (folder / "taken").write_text("a file")
    assert main(["compare", "--quick", "--jobs", "1", *more]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["taken"]
