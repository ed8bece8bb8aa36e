"""The frontier study: the counting bound, its table and figures, and that it goes on where it was stopped."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from benchmarks import frontier
from benchmarks.frontier_figures import block_figure, network_figure
from benchmarks.frontier_network import network_table
from sslth.experiments.figure_style import figure_to_png


@pytest.mark.parametrize(
    ("n", "d", "error", "rows"), [(65_536, 144, 1e-2, 87), (65_536, 144, 1e-3, 140), (16_384, 144, 1e-2, 111)]
)
def test_counting_asks_for_the_known_numbers_of_rows(n: int, d: int, error: float, rows: int) -> None:
    assert frontier.counted_rows(n, d, error) == rows
    assert rows * math.log2(math.e * n / rows) >= d * math.log2(1 / error)
    assert (rows - 1) * math.log2(math.e * n / (rows - 1)) < d * math.log2(1 / error)


def test_points_are_measured_once_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(frontier, "N", 1024)
    monkeypatch.setattr(frontier, "ERRORS", (0.3,))
    monkeypatch.setattr(frontier, "TIMES", (1.5,))
    command = ["--dimensions", "6", "--beams", "1,4", "--out", str(tmp_path)]
    assert frontier.main(command) == 0
    first = json.loads((tmp_path / "blocks.json").read_text())
    solvers = {row["solver"] for row in first}
    assert solvers == {"sorted_pursuit", "message_passing", "best_first_pursuit, beam 1", "best_first_pursuit, beam 4"}
    assert all(row["kept"] <= row["k"] for row in first if "k" in row)
    assert all(0 < row["error"] < 1 for row in first)
    assert "| 6 | 0 | sorted_pursuit |" in capsys.readouterr().out
    assert frontier.main(command) == 0
    assert json.loads((tmp_path / "blocks.json").read_text()) == first
    assert (tmp_path / "blocks.png").is_file()


@pytest.mark.parametrize("text", ["", "a", "72,", "0", "1.5"])
def test_other_dimensions_are_one_sentence(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert frontier.main(["--dimensions", text, "--out", str(tmp_path)]) == 2
    assert "whole numbers" in capsys.readouterr().err


def test_the_best_length_counts() -> None:
    rows = [
        {"solver": "a", "d": 9, "seed": 0, "n": 8, "k": 4, "factor": factor, "error": error, "kept": 4}
        for factor, error in ((1.0, 0.5), (2.0, 0.25), (3.0, 0.75))
    ]
    assert frontier.best_points(rows) == [rows[1]]


def test_the_figures_are_drawn() -> None:
    rows = [
        {"solver": solver, "d": d, "error": 10.0**-k, "kept": 20 * k}
        for solver in ("sorted_pursuit", "best_first_pursuit, beam 16")
        for d in (9, 72)
        for k in (1, 2, 3)
    ]
    assert figure_to_png(block_figure(rows, 65_536), dpi=40).startswith(b"\x89PNG")
    networks = [
        {"max_kept": most, "width": 64, "kept": kept, "logit_error": 1 / kept, "same_class": 0.9, "cpu_seconds": 2.0,
         "times": {"parameters": 12.0, "multiply_adds": 13.0}}
        for most, kept in ((8, 100), (16, 190), (None, 5000))
    ]  # fmt: skip
    assert figure_to_png(network_figure(networks), dpi=40).startswith(b"\x89PNG")
    assert "| 64 | no limit | 5,000 | 2.0e-04 | 90.00 % | 12 x | 13 x | 2 |" in network_table(networks)
