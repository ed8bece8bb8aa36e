"""Finished cells with figures that are made up, so that tests know what should come of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from sslth.experiments.cells import cell_key
from sslth.experiments.compare.table import FIGURES, Results
from sslth.experiments.compare.ways import WAYS, TrainingEffort, cells_of
from sslth.experiments.store import Row

SMALLEST = TrainingEffort(epochs=1, finetune=1, round_epochs=1, width=64)
SEEDS = 5
_WOBBLE = (-0.4, 0.1, 0.3, -0.2, 0.2)  # of seeds, around 0

Cell = Mapping[str, Any]
Made = Callable[..., dict[str, Any]]


def _result(accuracy: float = 0.9, validation: float = 0.9, nll: float | None = 0.3, **more: Any) -> dict[str, Any]:
    """What `evaluate_way` would return; `more` are figures, or parts such as `controls` and `connected`."""
    found = dict.fromkeys(FIGURES, 0.5) | {"keep": 0.02, "steps": 100.0, "seconds": 1.5, "bytes": 7000.0}
    parts = {name: value for name, value in more.items() if name not in FIGURES}
    found |= {"accuracy_after": accuracy} | {name: value for name, value in more.items() if name in FIGURES}
    return {
        "figures": found,
        "reasons": {name: f"no {name} here" for name, value in found.items() if value is None},
        "ood": {},
        "bins": {"counts": [1, 3], "right": [0, 3], "confidence": [0.25, 0.75]},
        "validation": {"accuracy": validation, "nll": nll},
        **parts,
    }


def _results_of(
    evaluate: Callable[[Cell], dict[str, Any] | str],
    ways: Sequence[str] = tuple(WAYS),
    keep: float = 0.02,
    seeds: int = SEEDS,
) -> Results:
    """Results of cells that a function gives figures to; a text is the error of a cell that failed."""
    cells = cells_of(ways, keep, seeds, SMALLEST, "digits", "abc", None)
    rows = []
    for cell in cells:
        made = evaluate(cell)
        result, error = (None, made) if isinstance(made, str) else (made, None)
        rows.append(Row(cell_key(cell), dict(cell), result, error, 0.1))
    return Results(cells, sorted(rows, key=lambda row: row.key))


@pytest.fixture
def result() -> Made:
    """Makes the result of one cell."""
    return _result


@pytest.fixture
def results_of() -> Callable[..., Results]:
    """Makes results from a function of a cell's parameters."""
    return _results_of


@pytest.fixture
def wobble() -> Callable[..., float]:
    """Noise of a cell of that size: of the seed alone, and some of its own by `number`, the same each time."""

    def noise(cell: Cell, size: float, number: int = 0) -> float:
        own = np.random.default_rng((int(cell_key(cell)[:8], 16), number)).normal()
        return size * (_WOBBLE[cell["seed"] % len(_WOBBLE)] + 0.1 * float(own))

    return noise


@pytest.fixture
def smallest() -> TrainingEffort:
    """One epoch of everything."""
    return SMALLEST
