"""`sslth check` from outside: what it prints, what it leaves behind, and its exit status."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import toy_claims as toys

from sslth.cli.main import main
from sslth.theory.claims import Claim

GOOD = toys.catalogue(toys.holds(1), toys.violated(2), toys.undecided(3), toys.not_testable(4))


def run(*arguments: str, claims: Mapping[int, Claim] = GOOD) -> int:
    return main(["check", "--jobs", "1", *arguments], claims=claims)


def test_whatever_the_verdicts_the_status_is_0(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run() == 0
    printed = capsys.readouterr()
    for word in ("holds", "violated", "undecided", "not testable here", "Bonferroni"):
        assert word in printed.out
    assert printed.err == ""  # no bar where there is no terminal


def test_json_is_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json", "--claim", "2", "--claim", "1") == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert printed.err == ""
    assert [claim["claim"] for claim in found["claims"]] == [1, 2]
    keys = {"claim", "name", "verdict", "estimate", "interval", "bound", "parameters", "seconds"}
    assert all(keys <= set(claim) for claim in found["claims"])
    assert [claim["verdict"] for claim in found["claims"]] == ["holds", "violated"]


def test_a_failed_cell_is_an_error_row_and_status_1(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    claims = toys.catalogue(toys.holds(1), toys.failing(2))
    assert run("--out", str(tmp_path), claims=claims) == 1
    printed = capsys.readouterr().out
    assert "error: 1 of 4 cells failed" in " ".join(printed.split())
    assert f"report: {tmp_path / 'check.html'}" in printed
    assert run("--json", "--out", str(tmp_path), claims=claims) == 1
    found = json.loads(capsys.readouterr().out)
    assert [claim["verdict"] for claim in found["claims"]] == ["holds", None]
    assert found["claims"][1]["error"].startswith("1 of 4 cells failed")


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("--quiet", "--out", str(tmp_path / "new" / "folder")) == 0
    assert capsys.readouterr() == ("", "")
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == {"check.db", "check.html", "check.json"}


def test_seed_and_effort_are_passed_on(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = []
    for arguments in (["--seed", "0"], ["--seed", "1"], ["--full", "--out", str(tmp_path)]):
        assert run("--json", "--claim", "1", *arguments) == 0
        found.append(json.loads(capsys.readouterr().out))
    estimates = {one["claims"][0]["estimate"] for one in found}
    assert len(estimates) == 3
    assert [one["effort"] for one in found] == ["quick", "quick", "full"]
    assert (tmp_path / "check-1.html").exists()


def test_full_keeps_its_results_without_being_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("--full", "--quiet", "--claim", "1") == 0
    assert (tmp_path / "out" / "check" / "check.db").exists()
    assert run("--quiet", "--claim", "1") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--claim", "9"], "there is no claim 9; the claims are 1, 2, 3, 4"),
        (["--quick", "--full"], "--quick and --full exclude each other"),
        (["--claim", "one"], "Invalid value for '--claim'"),
        (["--jobs", "0"], "0 jobs"),
        (["--seed", "-1"], "the seed is -1"),
        (["--restart"], "--restart needs --out"),
        (["--out", "{file}/out"], "cannot make the output folder"),
        (["--out", "{folder}"], "is not an SQLite file"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "check.db").write_text("something else " * 100)
    places = {"file": tmp_path / "file", "folder": tmp_path / "folder"}
    assert run(*(argument.format(**places) for argument in arguments)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.count("\n") == 1


def test_an_interrupt_keeps_what_was_finished_and_the_same_command_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, evaluated = toys.holds(1), []

    def evaluate(parameters: Mapping[str, Any]) -> dict[str, Any]:
        evaluated.append(parameters["index"])
        if evaluated == [0, 1, 2]:
            raise KeyboardInterrupt
        return plain.evaluate(parameters)

    claims = toys.catalogue(replace(plain, evaluate=evaluate))
    assert run("--json", "--out", str(tmp_path), claims=claims) == 130
    assert capsys.readouterr().err == "sslth: interrupted\n"
    assert {path.name.split("-")[0] for path in tmp_path.iterdir()} == {"check.db"}
    assert run("--json", "--out", str(tmp_path), claims=claims) == 0
    assert evaluated == [0, 1, 2, 2, 3]
    resumed = json.loads(capsys.readouterr().out)
    assert run("--json", claims=toys.catalogue(plain)) == 0
    (first,), (second,) = resumed["claims"], json.loads(capsys.readouterr().out)["claims"]
    del first["seconds"], second["seconds"]
    assert first == second
    assert run("--json", "--restart", "--out", str(tmp_path), claims=claims) == 0
    assert evaluated == [0, 1, 2, 2, 3, 0, 1, 2, 3]


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--help"]) == 0
    assert "Example: sslth check --claim 7" in capsys.readouterr().out
