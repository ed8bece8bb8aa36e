"""The benchmark of ResNet-18 on a network of two layers: it measures, and a second call searches nothing again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from torch import nn

from benchmarks import virtual_width_resnet18

KINDS = [{"d": 36, "width": 600}, {"d": 3, "width": 300}]


def small() -> nn.Module:
    first = nn.Conv2d(3, 4, 3, padding=1, bias=False)
    return nn.Sequential(first, nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3))


@pytest.mark.needs_jit
@pytest.mark.parametrize("calibrated", [False, True])
def test_it_measures_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calibrated: bool) -> None:
    monkeypatch.setattr(virtual_width_resnet18, "resnet18", small)
    prediction = tmp_path / "prediction.json"
    prediction.write_text(json.dumps({"kinds": KINDS, "processor_seconds": 1.0}))
    found = virtual_width_resnet18.measured(1e-2, 48, tmp_path, prediction, calibrated=calibrated)
    assert 0 < found["logit_error"] < 0.05
    assert found["same_class"] > 0.9
    assert 0 < found["kept"] < found["filters"]
    assert found["ticket_bytes"] == (tmp_path / "ticket.safetensors").stat().st_size
    monkeypatch.setattr("sslth.cnn.plan.search", lambda *_: pytest.fail("a finished block was searched again"))
    again = virtual_width_resnet18.measured(1e-2, 48, tmp_path, prediction, calibrated=calibrated)
    assert again["logit_error"] == found["logit_error"]


@pytest.mark.needs_jit
def test_calibration_and_widths_make_a_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_width_resnet18, "resnet18", small)
    prediction = tmp_path / "prediction.json"
    prediction.write_text(json.dumps({"kinds": KINDS, "processor_seconds": 1.0}))
    plain, twice, fitted = (
        virtual_width_resnet18.measured(1e-2, 48, tmp_path, prediction, times, calibrated)
        for times, calibrated in ((1.0, False), (2.0, False), (1.0, True))
    )
    assert twice["filters"] > 1.9 * plain["filters"]
    assert max(twice["logit_error"], fitted["logit_error"]) < 0.7 * plain["logit_error"]
