"""The comparison from end to end: cells in a store, one table, findings, and one page."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sslth
from sslth.data.load import load_splits
from sslth.errors import InvalidInputError
from sslth.experiments.backends import make_backend
from sslth.experiments.cells import cell_key
from sslth.experiments.compare.cells import evaluate_way, network_for
from sslth.experiments.compare.findings import Finding, find
from sslth.experiments.compare.table import Results, choices_json, table_json
from sslth.experiments.compare.ways import WAYS, TrainingEffort, cells_of, robust_keep
from sslth.experiments.grid import Progress, run_grid
from sslth.experiments.store import Store
from sslth.mining.metrics.library import classification
from sslth.mining.search import mine
from sslth.subset_sum.files import write_bytes

__all__ = ["TITLES", "Comparison", "run_comparison"]

TITLES = {name: way.title for name, way in WAYS.items()}
_FEWEST_SEEDS = 2


@dataclass(frozen=True)
class Comparison:
    """What came out: the table as JSON, the findings, and the first error of each way of which a cell failed."""

    table: dict[str, Any]
    findings: tuple[Finding, ...]
    errors: Mapping[str, str]


def run_comparison(
    ways: Sequence[str],
    *,
    keep: float,
    seeds: int,
    effort: TrainingEffort,
    data: str,
    arch: str | None,
    jobs: int,
    out: Path | None,
    restart: bool = False,
    command: str = "",
    progress: Progress | None = None,
) -> Comparison:
    """Make and measure the tickets of all ways for seeds 0, 1, …; with `out` go on where an earlier run stopped.

    Leaves in `out`: compare.db (the cells), compare.json (the table), findings.json, choices.json (what validation saw
    and picked), compare.html and its pictures. Each seed has its own split of the data, where a data set does not come
    with a test part.

    Raises
    ------
    InvalidInputError
        If an argument cannot be, before anything is trained; or `out` cannot be written.
    """
    if seeds < _FEWEST_SEEDS:
        raise InvalidInputError(f"--seeds is {seeds}; an interval needs at least {_FEWEST_SEEDS}, and 5 are better")
    if jobs < 1:
        raise InvalidInputError(f"--jobs is {jobs}; it must be at least 1")
    classification()  # a missing package is told now, not after the first training
    splits = load_splits(data)
    mine(lambda: network_for(arch, splits), splits, "random", keep=keep, epochs=0, on_empty="keep_one", device="cpu")
    cells = cells_of(ways, keep, seeds, effort, data, splits.fingerprint(), arch)
    if out is not None:
        _make_folder(out, restart)
    with Store(":memory:" if out is None else out / "compare.db") as store:
        backend = make_backend("serial", one_thread=True) if jobs == 1 else make_backend("loky", jobs)
        run_grid(cells, evaluate_way, store, _named(progress), retry_failed=True, backend=backend)
        results = Results(cells, store.rows_of(cell_key(cell) for cell in cells))
    table = table_json(results, keep)
    comparison = Comparison(table, tuple(find(results, keep)), results.errors)
    if out is not None:
        facts = {
            "data": data,
            "network": arch or "LeNet-300-100",
            "keep": keep,
            "seeds": f"0 to {seeds - 1}",
            **{name.replace("_", " "): value for name, value in vars(effort).items()},
            "sslth": sslth.__version__,
            "python": platform.python_version(),
        }
        _write(out, comparison, results, keep, facts, command)
    return comparison


def _make_folder(out: Path, restart: bool) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        if restart:
            for leftover in out.glob("compare.db*"):
                leftover.unlink()
    except OSError as error:
        raise InvalidInputError(f"cannot use the output folder {out}: {error.strerror or error}") from error


def _named(progress: Progress | None) -> Progress | None:
    return None if progress is None else lambda done, total, _stage: progress(done, total, "tickets")


def _write(
    out: Path, comparison: Comparison, results: Results, keep: float, facts: Mapping[str, Any], command: str
) -> None:
    from sslth.experiments.compare.figures import accuracy_figure, cost_figure, diagrams
    from sslth.experiments.compare.page import render_page
    from sslth.experiments.figure_style import figure_to_png
    from sslth.experiments.reliability_figure import reliability_figure

    judged = robust_keep(results.ways, keep)
    choices = choices_json(results, [keep] if judged is None else [keep, judged])
    findings = [dataclasses.asdict(one) for one in comparison.findings]
    for name, value in (("compare", comparison.table), ("findings", findings), ("choices", choices)):
        write_bytes(out / f"{name}.json", (json.dumps(value, indent=2, allow_nan=False) + "\n").encode("utf-8"))
    pictures: dict[str, bytes] = {}
    if any(entry["keep"] for entry in comparison.table["methods"].values()):
        pictures["accuracy"] = figure_to_png(accuracy_figure(comparison.table, TITLES))
        pictures["cost"] = figure_to_png(cost_figure(comparison.table, TITLES))
        pictures["reliability"] = figure_to_png(reliability_figure(diagrams(results, keep, TITLES), columns=4), dpi=100)
    for name, content in pictures.items():
        write_bytes(out / f"{name}.png", content)
    page = render_page(comparison.table, comparison.findings, TITLES, pictures, facts, command)
    write_bytes(out / "compare.html", page.encode("utf-8"))
