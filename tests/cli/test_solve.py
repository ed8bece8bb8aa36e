"""`sslth solve`: output, JSON keys and exit statuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sslth
from sslth.cli.main import main

KEYS = {"subset", "mask", "error", "lower_bound", "status", "solver", "seconds", "stats"}
DRAWN = ["solve", "--law", "nsn", "-n", "14", "-d", "2", "--seed", "3"]


def test_json_has_the_keys_of_a_solution(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*DRAWN, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == KEYS
    expected = sslth.solve(sslth.draw_instance("nsn", 14, 2, seed=3))
    assert printed["subset"] == expected.subset.tolist()
    assert printed["mask"] == expected.mask.tolist()
    assert printed["error"] == expected.error
    assert printed["status"] == "OPTIMAL"


def test_text_and_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(DRAWN) == 0
    assert "OPTIMAL" in capsys.readouterr().out
    assert main([*DRAWN, "--quiet"]) == 0
    assert float(capsys.readouterr().out) > 0
    assert main(["solve", "--explain"]) == 0
    assert "sorted_pursuit" in capsys.readouterr().out
    assert main([*DRAWN, "--explain"]) == 0
    assert "meet_in_the_middle" in capsys.readouterr().out


def test_devices_prove_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    expected = sslth.solve(sslth.draw_instance("nsn", 14, 2, seed=3))
    assert main([*DRAWN, "--device", "cpu,cpu", "--memory", "64MiB", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["subset"], printed["status"]) == (expected.subset.tolist(), "OPTIMAL")
    assert (printed["solver"], printed["stats"]["devices"]) == ("meet_in_the_middle_torch", ["cpu", "cpu"])


def test_file_with_cardinality(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sslth.Instance([[1.0], [2.0], [4.0]], [6.0], cardinality=2).save(tmp_path / "i.npz")
    assert main(["solve", str(tmp_path / "i.npz"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["subset"] == [1, 2]
    assert main(["solve", str(tmp_path / "i.npz"), "-k", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["subset"] == [2]


def test_tolerance_decides_the_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*DRAWN, "--tolerance", "10"]) == 0
    assert main([*DRAWN, "--tolerance", "1e-9"]) == 1
    capsys.readouterr()


def test_infeasible_is_status_2_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*DRAWN, "-k", "15"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "infeasible" in captured.err
    assert main([*DRAWN, "-k", "15", "--json"]) == 2
    printed = json.loads(capsys.readouterr().out)
    assert printed["status"] == "INFEASIBLE"
    assert printed["error"] is None
    assert printed["error_reason"] == "infinite"


@pytest.mark.parametrize(
    "arguments",
    [
        ["solve"],
        ["solve", "missing.npz"],
        ["solve", "x.npz", "--law", "nsn"],
        ["solve", "--law", "nsn"],
        ["solve", "--law", "cauchy", "-n", "3", "-d", "1"],
        ["solve", "--law", "nsn", "-n", "0", "-d", "1"],
        ["solve", "--law", "nsn", "-n", "three", "-d", "1"],
        [*DRAWN, "--solver", "magic"],
        [*DRAWN, "--tolerance", "-1"],
        [*DRAWN, "--tolerance", "nan"],
        [*DRAWN, "--time-limit", "-1"],
        [*DRAWN, "-k", "-1"],
        [*DRAWN, "--device", "toaster"],
        [*DRAWN, "--device", ""],
        [*DRAWN, "--device", "cpu", "--memory", "5 bananas"],
        [*DRAWN, "--device", "cpu", "--solver", "k_tree"],
        [*DRAWN, "--nonsense"],
        ["nonsense"],
        [],
    ],
)
def test_bad_input_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    if arguments:
        assert captured.err.count("\n") == 1, captured.err


def test_broken_files_are_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "i.npz"
    np.savez(path, samples=np.array([[np.nan]]), target=np.zeros(1))
    assert main(["solve", str(path)]) == 2
    assert "samples[(0, 0)] is nan" in capsys.readouterr().err
    path.write_bytes(path.read_bytes()[:50])
    assert main(["solve", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("command", [[], ["solve"], ["extract"], ["plot"]])
def test_help_has_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    printed = capsys.readouterr().out
    assert "Usage" in printed
    assert not command or f"Example: sslth {command[0]}" in " ".join(printed.split())


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"sslth {sslth.__version__}\n"


def test_ctrl_c_prints_the_best_so_far_and_is_status_130() -> None:
    """SIGINT arrives in the middle of the search: at the third time that the solver looks at its limits."""
    script = (
        "import os, signal, sys\n"
        "from sslth.cli.main import main\n"
        "from sslth.subset_sum.limits import Limits\n"
        "exceeded, calls = Limits.exceeded, []\n"
        "def watched(self, work=0):\n"
        "    calls.append(work)\n"
        "    if len(calls) == 3:\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    return exceeded(self, work)\n"
        "Limits.exceeded = watched\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = ["solve", "--law", "nsn", "-n", "40", "-d", "9", "--solver", "meet_in_the_middle", "--json"]
    result = subprocess.run(
        [sys.executable, "-c", script, *command], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 130, result.stderr
    printed = json.loads(result.stdout)
    assert printed["stats"]["stopped_by"] == "interrupt"
    assert printed["status"] == "BEST_FOUND"
    assert printed["error"] < 100


def test_count_and_list(capsys: pytest.CaptureFixture[str]) -> None:
    instance = sslth.draw_instance("nsn", 14, 2, seed=3)
    assert main([*DRAWN, "--count", "--tolerance", "0.5"]) == 0
    assert int(capsys.readouterr().out) == sslth.count(instance, 0.5) > 0
    assert main([*DRAWN, "--count", "--tolerance", "0.5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["count"] == sslth.count(instance, 0.5)
    assert main([*DRAWN, "--list", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [float(line.split()[0]) for line in lines] == pytest.approx(
        [s.error for s in sslth.solutions(instance, limit=3)], rel=1e-8
    )
    assert main([*DRAWN, "--list", "3", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["solutions"]) == 3
    assert main([*DRAWN, "--list", "3", "--tolerance", "1e-12"]) == 1
    assert main([*DRAWN, "--count"]) == 2
    assert "--tolerance" in capsys.readouterr().err
    assert main([*DRAWN, "--list", "0"]) == 2
    capsys.readouterr()


def test_a_tolerance_for_each_coordinate(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*DRAWN, "--tolerance", "10,0.5", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["status"] == "WITHIN_TOLERANCE"
    assert printed["stats"]["tolerance_ratio"] <= 1
    assert main([*DRAWN, "--tolerance", "1e-9,1e-9"]) == 1
    assert main([*DRAWN, "--tolerance", "1,2,3"]) == 2
    assert main([*DRAWN, "--tolerance", "small"]) == 2
    assert "small" in capsys.readouterr().err


def test_the_norm_and_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    wide = ["solve", "--law", "nsn", "-n", "300", "-d", "20", "--time-limit", "1"]
    assert main([*wide, "--norm", "l2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    instance = sslth.draw_instance("nsn", 300, 20)
    residual = instance.samples[found["subset"]].sum(axis=0) - instance.target
    assert found["error"] == pytest.approx(float(np.linalg.norm(residual)))
    assert main([*wide, "--explain"]) == 0
    printed = capsys.readouterr().out
    assert "plan " in printed
    assert "tried " in printed
    assert main([*wide, "--norm", "l1"]) == 2
    capsys.readouterr()
