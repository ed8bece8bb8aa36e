"""The study of virtual widths: its cells, laws and tables, and that it goes on where it was stopped."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from benchmarks import virtual_width
from benchmarks.virtual_width_networks import width_for
from benchmarks.virtual_width_report import error_figure, floor, memory_figure, slope, tables, theorem_error
from sslth.cnn.widths.width_law import tiled_error
from sslth.experiments.figure_style import figure_to_png


def rows_of_law(power: float, d: int = 9) -> list[dict]:
    widths = [1000, 3000, 10_000, 30_000, 100_000]
    return [{"name": f"error-{d}-{n}-0", "width": n, "d": d, "error": 7.0 * n**power} for n in widths]


def test_the_slope_of_a_law_and_of_too_few_points() -> None:
    found = slope(rows_of_law(-2.0), 1000)
    assert found is not None
    assert found.value == pytest.approx(-2.0)
    assert found.low <= found.value <= found.high
    assert found.points == 5
    assert slope(rows_of_law(-2.0), 30_000) is None


def test_the_exact_error_against_fractions() -> None:
    block, target = virtual_width.random_block(300, 9, 5), virtual_width.aim(300, 9, 5)
    filters = virtual_width.TiledSearch().search(block, 1, target)
    left = [-Fraction(float(value)) for value in target]
    for row in block.rows(filters, block.scales(filters)):
        left = [total + Fraction(float(value)) for total, value in zip(left, row, strict=True)]
    expected = float(np.linalg.norm([float(value) for value in left]) / np.linalg.norm(target))
    assert virtual_width.exact_error(block, filters, target) == pytest.approx(expected, rel=1e-12)


def test_floor_and_theorem_fall_with_the_width_and_the_floor_lies_lower() -> None:
    floors = [floor(n, 9) for n in (50, 100, 200)]
    assert floors == sorted(floors, reverse=True)
    assert theorem_error(1e12, 9) < theorem_error(1e9, 9)
    assert floor(200, 9) < theorem_error(200, 9)
    assert theorem_error(200, 9) >= 1  # it says nothing at a width of 200


def test_the_width_for_an_error_is_the_narrowest_of_the_ladder() -> None:
    width = width_for(1e-3, 72)
    assert tiled_error(float(width), 72) <= 1e-3 < tiled_error(width / 2**0.125 - 1, 72)
    with pytest.raises(ValueError, match="no width"):
        width_for(0.0, 72)


def test_cells_are_measured_once_and_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(virtual_width, "_ERROR_DIMENSIONS", (9,))
    command = ["--parts", "error", "--most", "1e3", "--out", str(tmp_path)]
    assert virtual_width.main(command) == 0
    first = capsys.readouterr()
    assert "| 1,000 |" in first.out
    stored = json.loads((tmp_path / "error-9-316-2.json").read_text())
    assert 0 < stored["error"] < 0.1
    assert stored["seed"] == 2
    monkeypatch.setattr(virtual_width, "measure_error", None)  # nothing is measured again
    assert virtual_width.main(command) == 0
    assert capsys.readouterr().out == first.out
    assert (tmp_path / "error.png").read_bytes().startswith(b"\x89PNG")


def test_a_ticket_is_written_read_and_merged(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    row = virtual_width.measure_ticket(64, 3, 2)
    assert row["logit_error"] < 0.1
    assert 0 < row["kept"] < 3 * 2 * 64 + 4 * 64
    assert row["file_bytes"] > row["kept"]
    (tmp_path / "ticket-64.json").write_text(json.dumps({"name": "ticket-64", **row}))
    assert virtual_width.main(["--parts", "ticket", "--most", "64", "--out", str(tmp_path)]) == 0
    assert f"| 64 | {row['peak_bytes'] / 2**20:.0f} | {row['kept']} |" in capsys.readouterr().out


def test_the_table_of_memory_says_what_was_measured() -> None:
    rows = [
        {"name": f"memory-72-{n}", "width": n, "d": 72, "peak_bytes": (300 << 20) + 3 * n, "error": 1 / n,
         "peak_bytes_before": 299 << 20, "stated_bytes": 9 << 20, "processor_seconds": 0.005 + 144e-9 * n}
        for n in (10**4, 10**5, 10**6)
    ]  # fmt: skip
    plain = [{"name": "plain", "numpy": 9.5, "numpy_float64": 11.0, "torch": 2.5, "ours": 1.5, "copy": 0.25}]
    said = tables([*rows, *plain])
    assert "Largest peak over smallest: 1.009." in said
    assert "144 up to 100,000, 144 up to 1,000,000" in said
    assert "standard_normal 9.50 (float64 11.00)" in said
    assert figure_to_png(memory_figure(rows, plain)).startswith(b"\x89PNG")
    assert figure_to_png(error_figure(rows_of_law(-2.0))).startswith(b"\x89PNG")


@pytest.mark.parametrize("given", [["--parts", "memory,all"], ["--most", "many"]])
def test_bad_input_is_one_line(given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert virtual_width.main([*given, "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()
