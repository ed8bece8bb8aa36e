"""An experiment is cells to evaluate and a way to make rows of what came out; a store keeps the cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import sslth
from sslth.experiments.grid import Progress, run_grid
from sslth.experiments.reproduce.setup import Setup
from sslth.experiments.reproduce.table import Row
from sslth.experiments.store import Store

__all__ = ["KIND", "Cell", "Experiment", "Outcome", "Reproduced", "run_experiment"]

KIND = "reproduce"

Cell = Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """One cell and what came out of it."""

    cell: Cell
    result: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True)
class Experiment:
    """A published experiment.

    Attributes
    ----------
    name, title, source : str
    cells : callable(setup) -> list of parameters
        JSON values; what is drawn in a cell depends on them alone.
    evaluate : callable(setup, cell) -> mapping
    rows : callable(outcomes) -> list of Row
    differs : callable(setup) -> list of str
        What differs from the published set-up, one sentence each.
    """

    name: str
    title: str
    source: str
    cells: Callable[[Setup], list[dict[str, Any]]]
    evaluate: Callable[[Setup, Cell], Mapping[str, Any]]
    rows: Callable[[Sequence[Outcome]], list[Row]]
    differs: Callable[[Setup], list[str]]


@dataclass(frozen=True)
class Reproduced:
    """The rows of an experiment, and the cells that failed, with their errors; without rows if there are any."""

    experiment: Experiment
    rows: list[Row]
    differs: list[str]
    seconds: float
    failures: list[str]


def run_experiment(experiment: Experiment, setup: Setup, store: Store, progress: Progress | None = None) -> Reproduced:
    """Evaluate the cells that the store does not have, and return the rows; `seconds` are those of all cells.

    Cells that failed before are tried again.

    Raises
    ------
    InvalidInputError
        If the store cannot be written, or a folder of images cannot be read.
    """
    common = {"kind": KIND, "experiment": experiment.name, "sslth": sslth.__version__, "seed": setup.seed}
    cells = [common | cell for cell in experiment.cells(setup)]
    run_grid(cells, partial(experiment.evaluate, setup), store, progress, retry_failed=True)
    outcomes, failures = [], []
    for cell in cells:
        row = store.row(cell)
        if row is None or row.result is None:
            failures.append("not evaluated" if row is None else row.error or "unknown error")
        else:
            outcomes.append(Outcome(cell, row.result, row.seconds))
    rows = [] if failures else experiment.rows(outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes)
    return Reproduced(experiment, rows, experiment.differs(setup), seconds, failures)
