from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.resnet20 import main, read_rows, table


def test_the_study_measures_draws_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a network that trains in a second; kernel errors and agreement are of the stored ticket."""
    command = ["--network", "cnn1d", "--widths", "1024", "--calibrated", "--out", str(tmp_path)]
    assert main(command) == 0
    rows = read_rows(tmp_path)
    assert [(row["width"], row["mode"]) for row in rows] == [(1024, "means"), (1024, "calibrated")]
    for row in rows:
        assert 0.9 < row["same_class"] <= 1.0
        assert 0.0 < row["logit_error"] < 0.2
        assert set(row["kernel_errors"]) == {"conv1", "conv2", "bn2", "conv3", "fc"}
        assert row["peak_mib"] >= row["peak_mib_before"] > 10
    assert table(rows) in capsys.readouterr().out
    assert (tmp_path / "agreement.png").is_file()
    assert (tmp_path / "layers.png").is_file()
    assert not list(tmp_path.glob("*.blocks*"))

    stored = tmp_path / "cnn1d-1024-means-0.json"
    marked = json.loads(stored.read_text()) | {"seconds": 12345.0}
    stored.write_text(json.dumps(marked))
    assert main(command) == 0  # what is stored is not measured again
    assert "12345" in capsys.readouterr().out


def test_a_bad_width_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--widths", "4096,many", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
