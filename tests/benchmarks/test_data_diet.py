"""The data-diet study: it measures, goes on, and says what its intervals say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.data_diet import main
from benchmarks.data_diet_report import Arms, report, words
from sslth.errors import InvalidInputError


def test_the_study_measures_in_pieces_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--out", str(tmp_path), "--seeds", "2", "--quick", "--figure", str(tmp_path / "curves.png")]
    assert main([*command, "--minutes", "0"]) == 1
    assert "10 of 10 cells are left" in capsys.readouterr().out
    assert main([*command, "--minutes", "60"]) == 0
    shown = capsys.readouterr().out
    assert "| all minus no pre-training | 36 |" in shown
    assert (tmp_path / "curves.png").is_file()
    stored = tmp_path / "el2n-00-all-036.json"
    row = json.loads(stored.read_text())
    row["points"][0]["test"] = [0.123, 0.123]
    stored.write_text(json.dumps(row))
    assert main(command) == 0  # what is stored is not measured again
    assert capsys.readouterr().out != shown
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path), "--seeds", "1"])


def row(seed: int, kind: str, steps: int, quality: float, connected: float) -> dict[str, Any]:
    point = {"keep": 0.1, "kept": 10, "test": [quality, quality], "barrier": 0.01, "test_barrier": 0.0}
    return {
        "seed": seed,
        "kind": kind,
        "steps": steps,
        "points": [point | {"connected": connected, "unbarred": 0.9}] * 3,
    }


def test_verdicts_come_from_the_intervals() -> None:
    """Random as good as all, the hardest worse; connectivity rises with quality, `unbarred` never varies."""
    rows = []
    for seed in range(4):
        wobble = 0.001 * seed
        rows.append(row(seed, "all", 0, 0.5 + wobble, 0.5))
        rows.append(row(seed, "all", 9, 0.9 + wobble, 0.9))
        rows.append(row(seed, "random", 9, 0.902 + wobble * 0.9, 0.91))
        rows.append(row(seed, "easiest", 9, 0.87 + 20 * wobble, 0.89))
        rows.append(row(seed, "hardest", 9, 0.8 + wobble * 1.1, 0.8))
    lines = report(rows).splitlines()
    found = {line.split(" | ")[0].removeprefix("| "): line for line in lines if " minus " in line}
    assert found["random minus all"].endswith("| equal within 1, slightly better |")
    assert found["hardest minus all"].endswith("| worse |")
    assert found["all minus no pre-training"].endswith("| better |")
    assert found["easiest minus all"].endswith("| cannot be judged |")
    assert sum("positive" in line for line in lines) == 2
    assert sum("cannot be judged" in line and "no rank" in line for line in lines) == 2


def test_a_missing_cell_is_refused() -> None:
    rows = [row(seed, kind, 9, 0.5, 0.5) for seed in range(3) for kind in ("all", "random")]
    assert Arms(rows).steps == [9]
    with pytest.raises(InvalidInputError, match="2 seeds of 3"):
        Arms(rows[:-1])


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (-1.0, 1.0, "equal"),
        (-0.5, -0.1, "equal within 1, slightly worse"),
        (0.1, 2.0, "better"),
        (-2.0, -0.1, "worse"),
        (-2.0, 0.5, "cannot"),
    ],
)
def test_words(low: float, high: float, says: str) -> None:
    assert words(low, high).startswith(says)
