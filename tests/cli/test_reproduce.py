"""`sslth reproduce`: what it prints and leaves behind, and how it fails."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sslth.cli.main import main
from sslth.experiments import reproduce as package
from sslth.experiments.reproduce import burkholz2022

KEYS = {"experiment", "quantity", "theirs", "ours", "interval", "note"}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches that even plain Python searches at once; what comes out is tested elsewhere."""
    monkeypatch.setattr(burkholz2022, "QUICK_BATCH", 40)
    monkeypatch.setattr(burkholz2022, "N", 7)


def broken(setup, cell):
    raise ValueError("no luck")


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "burkholz2022", "--quick", "--seed", "3", "--json"]) == 0
    captured = capsys.readouterr()
    printed = json.loads(captured.out)
    assert (printed["experiment"], printed["seed"], printed["quick"]) == ("burkholz2022", 3, True)
    assert printed["seconds"] > 0
    assert len(printed["rows"]) == 12
    assert all(set(row) == KEYS for row in printed["rows"])
    assert printed["rows"][0]["theirs"] == 0.00404
    assert any("--quick" in sentence for sentence in printed["differs"]["burkholz2022"])


def test_text_and_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "burkholz2022", "--quick"]) == 0
    printed = capsys.readouterr().out
    assert "theirs" in printed
    assert "0.00404" in printed
    assert "What differs in set-up" in printed
    assert main(["reproduce", "burkholz2022", "--quick", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_a_folder_resumes_and_restarts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["reproduce", "burkholz2022", "--quick", "--out", str(tmp_path / "out"), "--json"]
    assert main(command) == 0
    first = capsys.readouterr().out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"reproduce.html", "burkholz2022.png", "reproduce.db"}
    page = (tmp_path / "out" / "reproduce.html").read_text(encoding="utf-8")
    assert str(tmp_path) not in page
    assert "sslth reproduce burkholz2022 --seed 0 --quick" in page
    monkeypatch.setattr(burkholz2022, "EXPERIMENT", replace(burkholz2022.EXPERIMENT, evaluate=broken))
    assert main(command) == 0
    assert capsys.readouterr().out == first
    assert main([*command, "--restart"]) == 1


def test_a_part_that_fails_is_status_1(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(burkholz2022, "EXPERIMENT", replace(burkholz2022.EXPERIMENT, evaluate=broken))
    assert main(["reproduce", "burkholz2022", "--quick", "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["rows"] == []
    assert "no luck" in captured.err


def test_all_takes_every_experiment(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def toy(name: str) -> package.Experiment:
        return replace(
            burkholz2022.EXPERIMENT,
            name=name,
            cells=lambda _setup: [{"n": 1}],
            evaluate=lambda _setup, _cell: {"n": 1},
            rows=lambda _outcomes: [package.Row("n", None, 1.0, None, "")],
        )

    monkeypatch.setattr(package, "experiment_named", toy)
    assert main(["reproduce", "all", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["experiment"] for row in printed["rows"]] == list(package.EXPERIMENTS)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["pensia"],
        ["burkholz2022", "--seed", "-1"],
        ["burkholz2022", "--data", "nowhere"],
        ["burkholz2022", "--restart"],
        ["burkholz2022", "--out", "/proc/nowhere"],
    ],
)
def test_bad_input_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", *arguments, "--quick"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "--help"]) == 0
    assert "Example: sslth reproduce burkholz2022" in " ".join(capsys.readouterr().out.split())
