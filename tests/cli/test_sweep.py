"""`sslth sweep`: output, exit statuses, and bad input that is one line and loses nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sslth.cli.main import main
from sslth.experiments.store import Store

GRID = """
kind = "success"
epsilon = 0.1
repetitions = 2
[grid]
n = [4, 5, 6]
d = [1, 2]
"""
# a solver for d = 1 alone: the cell with d = 2 fails
MIXED = 'kind = "solver"\nsolver = "differencing"\nlaw = "uniform"\nn = 8\n[grid]\nd = [1, 2]\n'


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "g.toml"
    path.write_text(GRID)
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def test_a_sweep_resumes_and_restarts(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*more: str) -> dict[str, object]:
        assert main(["sweep", "g.toml", "--store", "r.db", "--jobs", "1", "--json", *more]) == 0
        printed: dict[str, object] = json.loads(capsys.readouterr().out)
        return printed

    first = run()
    assert [first[key] for key in ("cells", "done", "failed", "evaluated")] == [6, 6, 0, 6]
    assert run()["evaluated"] == 0
    with Store("r.db") as store:
        store.put({"kind": "other"}, {"x": 1}, 0.0)
    assert run("--restart")["evaluated"] == 6
    with Store("r.db") as store:
        assert store.get({"kind": "other"}) == {"x": 1}
    assert main(["sweep", "g.toml", "--store", "r.db", "--jobs", "1"]) == 0
    assert capsys.readouterr().out.startswith("r.db: 6 of 6 cells done, 0 of them now")
    assert main(["sweep", "g.toml", "--jobs", "1", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert Path("g.db").exists()


def test_a_dry_run_tells_and_writes_nothing(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(grid.parent)
    assert main(["sweep", "g.toml", "--dry-run", "--jobs", "3", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [printed[key] for key in ("cells", "done", "failed", "to_run", "workers", "measured")] == [6, 0, 0, 6, 3, 0]
    assert 0 < printed["wall_seconds"] <= printed["work_seconds"]
    assert main(["sweep", "g.toml", "--dry-run"]) == 0
    assert "6 in the grid, 0 done" in capsys.readouterr().out
    assert files(grid.parent) == before
    assert main(["sweep", "g.toml", "--jobs", "1", "--quiet"]) == 0
    assert main(["sweep", "g.toml", "--dry-run", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [printed[key] for key in ("done", "to_run", "wall_seconds", "measured")] == [6, 0, 0.0, 6]


def test_failed_cells_are_status_1_and_said(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid.write_text(MIXED)
    assert main(["sweep", "g.toml", "--jobs", "1", "--quiet"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("sslth: 1 cells failed (InvalidInputError: differencing takes at most 1 coordinates")
    assert "--retry-failed" in said.err
    assert main(["sweep", "g.toml", "--jobs", "1", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["evaluated"] == 0
    assert main(["sweep", "g.toml", "--jobs", "1", "--json", "--retry-failed"]) == 1
    assert json.loads(capsys.readouterr().out)["evaluated"] == 1


def test_the_cells_of_the_grid_are_exported(grid: Path) -> None:
    with Store("g.db") as store:
        store.put({"kind": "other"}, {"x": 1}, 0.0)
    assert main(["sweep", "g.toml", "--jobs", "1", "--quiet", "--export", "t.csv"]) == 0
    assert len(Path("t.csv").read_text().splitlines()) == 7


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        (GRID.replace("= 2", "= 0"), [], "repetitions is 0"),
        (GRID + "widht = [3]", [], "no parameter 'widht'"),
        (GRID.replace("[4, 5, 6]", "[4, -5]"), [], "n is -5"),
        (GRID + "seed = {from = 1, to = 1_000_000_000_000}", [], "6,000,000,000,000 cells"),
        (GRID + "=", [], "is no TOML"),
        (GRID, ["--jobs", "0"], "jobs is 0"),
        (GRID, ["--backend", "threads"], "no backend 'threads'"),
        (GRID, ["--backend", "dask"], "needs the address"),
        (GRID, ["--export", "t.xlsx"], "t.xlsx"),
        (GRID, ["--export", "nowhere/t.csv"], "no folder nowhere"),
        (GRID, ["--dry-run", "--restart"], "--dry-run writes nothing"),
        (GRID, ["--store", "nowhere/r.db"], "no folder nowhere"),
        (GRID, ["--unknown"], "--unknown"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(
    grid: Path, capsys: pytest.CaptureFixture[str], text: str, more: list[str], said: str
) -> None:
    grid.write_text(text)
    before = files(grid.parent)
    assert main(["sweep", "g.toml", *more]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert files(grid.parent) == before


@pytest.mark.parametrize("more", [[], ["--restart"], ["--dry-run"]])
def test_a_corrupt_or_foreign_store_is_left_as_it_is(
    grid: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    assert main(["sweep", "g.toml", "--jobs", "1", "--quiet"]) == 0
    whole = Path("g.db").read_bytes()
    newer = whole[:60] + (999).to_bytes(4, "big") + whole[64:]  # bytes 60 to 63: user_version
    for content in (b"nonsense" * 200, whole[: len(whole) // 2], newer):
        Path("g.db").write_bytes(content)
        assert main(["sweep", "g.toml", "--jobs", "1", *more]) == 2
        assert capsys.readouterr().err.count("\n") == 1
        assert Path("g.db").read_bytes() == content


READ_ONLY = """
import os, sys
from sslth.cli.main import main
main(["sweep", "g.toml", "--jobs", "1", "--dry-run", "--quiet"])  # loads what another user may not read
if os.getuid() == 0:
    os.setuid(65534)  # root may write everywhere
sys.exit(main(["sweep", "g.toml", "--jobs", "1"]))
"""


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="needs POSIX permissions")
def test_a_read_only_folder_is_one_line() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        folder = Path(name)
        (folder / "g.toml").write_text(GRID)
        folder.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY], cwd=folder, capture_output=True, text=True, timeout=120, check=False
        )
        folder.chmod(0o755)
        assert [path.name for path in folder.iterdir()] == ["g.toml"]
    assert done.returncode == 2
    assert done.stderr.startswith("sslth: cannot write the result store g.db")
    assert done.stderr.count("\n") == 1


FULL = """
import resource, sys
from sslth.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))
sys.exit(main(["sweep", "g.toml", "--jobs", "1"]))
"""


def test_a_full_disk_is_one_line_and_the_sweep_resumes(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("resource")
    grid.write_text(GRID.replace("d = [1, 2]", "d = [1]\nseed = {from = 1, to = 40}"))
    done = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("sslth: cannot ")
    assert done.stderr.endswith("what was stored before is kept\n")
    assert done.stderr.count("\n") == 1
    with Store("g.db") as store:
        stored = len(store.rows())
    assert 0 < stored < 120
    assert main(["sweep", "g.toml", "--jobs", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["evaluated"] == 120 - stored
