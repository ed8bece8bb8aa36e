"""The comparison from end to end: goes on where it was stopped, stores what was chosen, and survives a failure."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from sslth.data.load import load_splits
from sslth.errors import InvalidInputError
from sslth.experiments import figure_style
from sslth.experiments.compare import job
from sslth.experiments.compare.cells import network_for
from sslth.experiments.compare.ways import WAYS, TrainingEffort

Made = Callable[..., dict[str, Any]]


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made but not drawn, which takes longest."""
    monkeypatch.setattr(figure_style, "figure_to_png", lambda _figure, **_options: b"\x89PNG")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, result: Made) -> list[dict[str, Any]]:
    """The cells that were evaluated, each with figures that are made up; SNIP fails."""
    seen: list[dict[str, Any]] = []

    def evaluate(parameters: dict[str, Any]) -> dict[str, Any]:
        seen.append(parameters)
        if parameters["way"] == "snip":
            raise ValueError("too sparse")
        controls = dict.fromkeys(("ticket", "shuffled", "redrawn", "inverted", "matched_random"), 0.5)
        return result(0.5 + 0.01 * parameters["seed"], controls=controls, connected=0.5)

    monkeypatch.setattr(job, "evaluate_way", evaluate)
    return seen


@pytest.fixture
def run(smallest: TrainingEffort) -> Callable[..., job.Comparison]:
    def of(*ways: str, **changes: Any) -> job.Comparison:
        given: dict[str, Any] = {
            "keep": 0.02,
            "seeds": 2,
            "effort": smallest,
            "data": "digits",
            "arch": None,
            "jobs": 1,
        }
        return job.run_comparison(ways, **(given | {"out": None} | changes))

    return of


@pytest.mark.usefixtures("undrawn")
def test_a_second_run_evaluates_nothing(tmp_path: Path, calls: list[Any], run: Callable[..., job.Comparison]) -> None:
    first = run("dense", "random", out=tmp_path)
    assert len(calls) == 2 * (1 + 6)
    pages = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".db"}
    assert run("dense", "random", out=tmp_path).table == first.table
    assert len(calls) == 14
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".db"} == pages
    run("dense", "random", "synflow", out=tmp_path, seeds=3)  # only what is new
    assert len(calls) == 14 + 7 + 3 * 2
    run("dense", out=tmp_path, restart=True)
    assert len(calls) == 27 + 2


def test_what_is_left_behind(tmp_path: Path, calls: list[Any], run: Callable[..., job.Comparison]) -> None:
    found = run(*WAYS, out=tmp_path / "new" / "folder", command="sslth compare --seeds 2")
    out = tmp_path / "new" / "folder"
    assert json.loads((out / "compare.json").read_text()) == found.table
    findings = json.loads((out / "findings.json").read_text())
    assert [one["name"] for one in findings] == [one.name for one in found.findings]
    stored = json.loads((out / "choices.json").read_text())
    assert len(stored["choices"]) == 2 * (len(WAYS) - 1 + 3)
    assert {one["method"] for one in stored["failed"]} == {"snip"}
    for name in ("accuracy", "cost", "reliability"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    page = (out / "compare.html").read_text()
    assert "sslth compare --seeds 2" in page
    assert "seeds 0 to 1" in page
    assert calls


@pytest.mark.usefixtures("undrawn")
def test_a_way_that_fails_is_told_and_tried_again(
    tmp_path: Path, calls: list[Any], run: Callable[..., job.Comparison]
) -> None:
    for number in (1, 2):
        found = run("dense", "snip", out=tmp_path)
        assert found.errors == {"snip": "ValueError: too sparse"}
        assert found.table["methods"]["snip"]["error"] == "ValueError: too sparse"
        assert found.table["methods"]["dense"]["accuracy_after"]["seeds"] == 2
        assert len(calls) == 2 + number * 8
    assert "SNIP (failed)" in (tmp_path / "compare.html").read_text().replace(' <span class="error">', " ")
    run("snip", out=tmp_path / "alone")  # nothing to draw, but a page
    assert not (tmp_path / "alone" / "accuracy.png").exists()
    assert "too sparse" in (tmp_path / "alone" / "compare.html").read_text()


@pytest.mark.usefixtures("undrawn")
def test_other_settings_are_other_tickets(tmp_path: Path, calls: list[Any], run: Callable[..., job.Comparison]) -> None:
    run("dense", out=tmp_path)
    for changes in ({"keep": 0.5}, {"effort": TrainingEffort(2, 1, 1, 64)}, {"arch": "sslth.networks:small_cnn"}):
        before = len(calls)
        run("dense", out=tmp_path, **changes)
        assert len(calls) == before + 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"keep": 0.0}, "keep is 0"),
        ({"keep": 1.5}, "keep is 1.5"),
        ({"keep": float("nan")}, "keep is nan"),
        ({"seeds": 1}, "--seeds is 1"),
        ({"jobs": 0}, "--jobs is 0"),
        ({"data": "nowhere"}, "no folder nowhere"),
        ({"arch": "nonsense"}, "module:callable"),
        ({"arch": "sslth.networks:resnet20"}, "does not take inputs"),
    ],
    ids=["keep-0", "keep-above-1", "keep-nan", "one-seed", "no-jobs", "no-data", "no-arch", "arch-of-other-data"],
)
def test_bad_input_is_refused_before_anything_is_made(
    tmp_path: Path, calls: list[Any], run: Callable[..., job.Comparison], changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInputError, match=said):
        run("dense", out=tmp_path / "out", **changes)
    assert calls == []
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_a_file(tmp_path: Path, calls: list[Any], run: Callable[..., job.Comparison]) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InvalidInputError, match="cannot use the output folder"):
        run("dense", out=tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"
    assert calls == []


def test_a_foreign_store_is_left_alone(tmp_path: Path, calls: list[Any], run: Callable[..., job.Comparison]) -> None:
    (tmp_path / "compare.db").write_text("no database, but mine" * 100)
    with pytest.raises(InvalidInputError):
        run("dense", out=tmp_path)
    assert (tmp_path / "compare.db").read_text().startswith("no database")
    assert calls == []


def test_the_network_has_the_shape_of_the_data() -> None:
    data = load_splits("digits")
    outputs = network_for(None, data)(data.test.inputs[:2])
    assert list(outputs.shape) == [2, 10]
    assert any(isinstance(layer, nn.Conv2d) for layer in network_for("sslth.networks:small_cnn", data))


@pytest.mark.usefixtures("undrawn")
def test_a_small_comparison_of_real_tickets(tmp_path: Path, run: Callable[..., job.Comparison]) -> None:
    """Without fakes: arrays on disk, two ways, two seeds; gone on with, only the pages are made again."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 60)
    centres = rng.normal(size=(3, 6))
    np.savez(tmp_path / "blobs.npz", inputs=centres[labels] + 0.3 * rng.normal(size=(180, 6)), labels=labels)
    given = {
        "data": str(tmp_path / "blobs.npz"),
        "keep": 0.3,
        "out": tmp_path / "out",
        "effort": TrainingEffort(2, 4, 1, 64),
    }
    told: list[tuple[int, int]] = []
    found = run("dense", "synflow", **given, progress=lambda done, total, _stage: told.append((done, total)))
    assert found.errors == {}
    methods = found.table["methods"]
    assert methods["dense"]["accuracy_after"]["mean"] > 0.8
    assert methods["synflow"]["keep"]["mean"] == pytest.approx(0.3, abs=1e-4)
    assert methods["synflow"]["ood_auroc_reason"].startswith("the inputs are no images")
    assert told[0] == (0, 6)
    assert told[-1] == (6, 6)
    told.clear()
    assert (
        run("dense", "synflow", **given, progress=lambda done, total, _s: told.append((done, total))).table
        == found.table
    )
    assert told == [(6, 6)]


def test_a_missing_package_is_told_before_anything_is_made(
    tmp_path: Path, calls: list[Any], run: Callable[..., job.Comparison], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("torchmetrics", "torchmetrics.functional"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InvalidInputError, match="pip install 'sslth"):
        run("dense", out=tmp_path / "out")
    assert calls == []
    assert not (tmp_path / "out").exists()
