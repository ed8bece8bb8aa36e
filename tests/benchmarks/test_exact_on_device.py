"""The benchmark of exact search through torch, on the CPU."""

from __future__ import annotations

import json

import pytest

from benchmarks import exact_on_device


def test_a_table_and_json_with_the_same_numbers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(exact_on_device, "_CELLS", [(20, 1), (22, 2), (50, 1)])
    monkeypatch.setattr(exact_on_device, "_REPEATS", 1)
    path = tmp_path / "speed.json"
    assert exact_on_device.main(["--device", "cpu", "--memory", "8MiB", "--largest-n", "22", "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    written = json.loads(path.read_text(encoding="utf-8"))
    assert [(row["n"], row["d"], row["status"]) for row in written["rows"]] == [(20, 1, "OPTIMAL"), (22, 2, "OPTIMAL")]
    assert written["devices"] == ["cpu"]
    assert written["chunk"] * 384 <= 8 << 20
    for row in written["rows"]:
        assert row["states"] >= 2 ** (row["n"] // 2)
        assert row["states_a_second"] == pytest.approx(row["states"] / row["seconds"])
        assert f"| {row['n']} | {row['d']} | {row['seconds']:.3g} |" in printed
    assert "n = 72 on a GPU: not yet measured" in printed


def test_what_cannot_be_run_is_one_line(capsys):
    for arguments in (["--device", "cuda:99"], ["--device", "cpu", "--memory", "5 bananas"]):
        assert exact_on_device.main(arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1
