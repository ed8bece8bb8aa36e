"""Making, keeping and measuring the ticket of a case, on a small network with random weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sslth.experiments.real import __main__, tickets
from sslth.experiments.real.cases import contact_sheet
from sslth.experiments.real.tickets import Case, make_ticket, measure


def small_case() -> Case:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)).eval()
    return Case("small", network, torch.rand(6, 2, 4, 4) - 0.5, 0.5, 200, 0.01)


def test_a_ticket_is_kept_and_used_again_only_if_it_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = small_case()
    first = make_ticket(case, tmp_path, seed=0, restart=False, progress=False)
    assert first.seconds > 0
    calls = []
    real = tickets.extract
    monkeypatch.setattr(tickets, "extract", lambda *a, **k: calls.append(1) or real(*a, **k))
    again = make_ticket(case, tmp_path, seed=0, restart=False, progress=False)
    assert not calls
    assert again.seconds == first.seconds
    assert again.ticket.kept_filters == first.ticket.kept_filters
    other_weights = small_case()
    with torch.no_grad():
        other_weights.network[0].bias += 1.0
    for changed, seed in (
        (case, 1),
        (dataclasses.replace(case, width=201), 1),
        (dataclasses.replace(case, limit=0.75), 1),
        (other_weights, 1),
    ):
        calls.clear()
        make_ticket(changed, tmp_path, seed=seed, restart=False, progress=False)
        assert len(calls) == 1


def test_what_is_measured_is_what_the_networks_do(tmp_path: Path) -> None:
    case = small_case()
    made = make_ticket(case, tmp_path, seed=0, restart=False, progress=False)
    stages: list[str] = []
    row = measure(made, stages.append)
    with torch.no_grad():
        target, found = case.network(case.inputs).double(), made.merged(case.inputs).double()
    expected = float((found - target).norm() / (target - target.mean(dim=0)).norm())
    assert row["relative_errors"] == [pytest.approx(expected, rel=1e-9)]
    assert row["largest_error"] == pytest.approx(float((found - target).abs().max()), rel=1e-9)
    assert row["layers_run_as_kept_filters"] == ["0", "3"]
    assert row["kept_filters_minus_merged"] < 1e-3 * float(target.abs().max())
    whole, near = row["certificate"], row["certificate_near_an_input"]
    assert 0 < near["attained"] <= near["upper"] <= whole["upper"]
    assert whole["attained"] <= whole["upper"]
    assert row["largest_error"] <= whole["upper"] + 1e-6
    assert len(stages) == 4


def test_portraits_stand_in_rows_on_grey() -> None:
    sheet = contact_sheet(np.full((3, 25, 25), 255.0, dtype=np.float32), columns=2, size=50, gap=10)
    assert sheet.shape == (120, 120, 3)
    assert sheet[5:55, 65:115].min() == 255.0
    assert (sheet[60:, 60:] == 127.5).all()


def test_a_wheel_that_cannot_be_had_is_one_line_and_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Result:
        returncode, stdout, stderr = 1, "", "ERROR: no network"

    monkeypatch.setattr(tickets, "extract", lambda *_a, **_k: pytest.fail("nothing to extract"))
    monkeypatch.setattr("sslth.experiments.real.wheels.subprocess.run", lambda *_a, **_k: Result())
    assert __main__.main(["--out", str(tmp_path / "new"), "--quiet"]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("sslth: pip cannot download facenet-pytorch")
    assert len(printed.err.splitlines()) == 1
    assert printed.out == ""
