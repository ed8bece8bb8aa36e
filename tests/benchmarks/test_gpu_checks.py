"""The checks of a GPU, on the CPU through the same code; that a fault is found, and that a missing GPU is one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import gpu_checks
from benchmarks.gpu_speed import search_speed
from sslth.cnn import triton_draw

CPU = torch.device("cpu", 0)
TINY = replace(gpu_checks.SMALL, weights=300, width=60, starts=4, steps=3, inputs=40, blocks=2, rows=400)


def test_everything_passes_and_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_checks, "SMALL", TINY)
    before = torch.backends.cudnn.allow_tf32
    assert gpu_checks.main(["--device", "cpu", "--out", str(tmp_path)]) == 0
    assert torch.backends.cudnn.allow_tf32 == before
    stored = json.loads((tmp_path / "gpu_checks.json").read_text())
    passed = {row["name"]: row["passed"] for row in stored["checks"]}
    assert [name for name, result in passed.items() if result] == [
        "golden weights, bit for bit",
        "same ticket",
        "attained error by ascent",
        "data error in float64",
        "search side by side",
    ]
    assert [name for name, result in passed.items() if result is None] == [
        "device copy",
        "float32 product",
        "generation",
    ]
    assert "CPU, small sizes" in stored["machine"]["device"]
    written = (tmp_path / "gpu_checks.md").read_text()
    assert capsys.readouterr().out == written
    assert written.count("| passed |") == 5


def test_one_wrong_bit_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = gpu_checks.draw_many_rows

    def spoilt(*given: object) -> torch.Tensor:
        rows = usual(*given)  # type: ignore[arg-type]
        rows[0, 7, 3] = torch.nextafter(rows[0, 7, 3], torch.tensor(9.0))
        return rows

    assert gpu_checks.check_golden_weights(CPU, TINY)["passed"] is True
    monkeypatch.setattr(gpu_checks, "draw_many_rows", spoilt)
    row = gpu_checks.check_golden_weights(CPU, TINY)
    assert row["passed"] is False
    assert row["says"].startswith("1 of 21,600")


@pytest.mark.parametrize(("spoilt", "passed"), [(0, True), (3, False)])
def test_rows_by_triton_are_compared_and_timed(spoilt: int, passed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel itself is tested elsewhere; here it is what the torch path makes, or that with wrong entries."""

    def rows_of(*given: object) -> torch.Tensor:
        rows = gpu_checks.draw_many_rows(*given)  # type: ignore[arg-type]
        rows[0, 7, :spoilt] += 1
        return rows

    monkeypatch.setattr(triton_draw, "triton", object())
    monkeypatch.setattr(triton_draw, "draw_many_rows", rows_of)
    row, searched = gpu_checks.check_triton(CPU, TINY)
    assert row["passed"] is passed
    assert row["says"].startswith(f"{spoilt} of 21,600")
    assert row["value"] > 0
    assert searched["name"] == "search by Triton"
    assert searched["passed"] is True
    monkeypatch.setattr(triton_draw, "triton", None)
    (row,) = gpu_checks.check_triton(CPU, TINY)
    assert row["passed"] is None
    assert "not installed" in row["says"]


def test_other_bytes_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_checks, "ticket_bytes", lambda ticket: ticket.settings["made"])
    made = iter([b"a", b"b"])

    class Ticket:
        kept_filters = 1

        def __init__(self) -> None:
            self.settings = {"made": next(made)}

    monkeypatch.setattr("sslth.extract", lambda *_given, **_keywords: Ticket())
    assert gpu_checks.check_ticket(torch.nn.Identity(), CPU, TINY)[0]["passed"] is False


def test_other_filters_are_told_from_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    assert search_speed(CPU, 2, 300, 9).same
    monkeypatch.setattr("sslth.cnn.side_by_side.decide_together", lambda *_given: None)
    assert not search_speed(CPU, 2, 300, 9).same


def test_a_gpu_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_checks.main(["--device", "cuda:99", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("benchmarks.gpu_checks: the device 'cuda:99' cannot be used")
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
