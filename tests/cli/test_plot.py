"""`sslth plot`: pictures, tables, and interruptions that leave no half of either."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from sslth.cli.main import main
from sslth.experiments.plot_kinds import PLOT_KINDS, PlotKind, plot_kind_named

GRID = """
kind = "solver"
law = "nsn"
d = 2
max_work = 100_000
[grid]
solver = ["meet_in_the_middle", "sorted_pursuit", "differencing"]
n = [6, 10]
instance = [0, 1]
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("solvers")
    (folder / "g.toml").write_text(GRID)
    assert main(["sweep", str(folder / "g.toml"), "--jobs", "1", "--quiet"]) == 1  # differencing refuses d = 2
    return folder / "g.db"


def plot(store: Path, *more: object) -> int:
    return main(["plot", "solvers", str(store), *map(str, more)])


def test_every_kind_of_plot_is_what_its_name_says() -> None:
    for name in PLOT_KINDS:
        kind = plot_kind_named(name)
        assert isinstance(kind, PlotKind)
        assert kind.name == name
        assert kind.table([]) == []


def test_pictures_and_points(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for suffix, start in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
        assert plot(store, "--out", tmp_path / f"p.{suffix}", "--csv", tmp_path / "t.csv", "--quiet") == 0
        assert (tmp_path / f"p.{suffix}").read_bytes().startswith(start)
    assert plot(store, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert (store.parent / "solvers.png").exists()
    assert {point["solver"] for point in printed["points"]} == {"meet_in_the_middle", "sorted_pursuit"}
    with (tmp_path / "t.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["error"]) for row in rows] == [point["error"] for point in printed["points"]]
    assert len(rows) == 8
    by_solver = {(m["solver"], m["n"]): m for m in printed["medians"]}
    exact, greedy = by_solver["meet_in_the_middle", 10], by_solver["sorted_pursuit", 10]
    assert (exact["instances"], exact["optimal"], greedy["instances"]) == (2, 2, 2)
    assert exact["error"] <= greedy["error"]


def test_solvers_meet_the_same_instances(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plot(store, "--json") == 0
    errors: dict[tuple[int, int], dict[str, float]] = {}
    for point in json.loads(capsys.readouterr().out)["points"]:
        errors.setdefault((point["n"], point["instance"]), {})[point["solver"]] = point["error"]
    assert len(errors) == 4
    assert all(some["meet_in_the_middle"] <= some["sorted_pursuit"] for some in errors.values())


@pytest.mark.parametrize(
    "more", [["--out", "p.gif"], ["--out", "nowhere/p.png"], ["--csv", "t.xlsx"], ["--csv", "nowhere/t.csv"]]
)
def test_bad_paths_are_one_line_and_leave_nothing(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    out = [] if "--out" in more else ["--out", "p.png"]
    assert plot(store, *out, *more) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_store_without_such_cells_says_what_it_needs(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plot", "error-vs-width", str(store)]) == 2
    assert "it needs cells of the kind error_vs_width, and has 0" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["sslth.subset_sum.files.os.fsync", "matplotlib.figure.Figure.savefig"])
def test_an_interrupted_plot_leaves_the_old_picture(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    (tmp_path / "p.png").write_bytes(b"old picture")

    def stop(*_arguments: object, **_keywords: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(where, stop)
    assert plot(store, "--out", tmp_path / "p.png") == 130
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"p.png": b"old picture"}
    assert capsys.readouterr().err == "sslth: interrupted\n"
