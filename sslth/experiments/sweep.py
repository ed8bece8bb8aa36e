"""Sweeps: the grid of a file, evaluated into a store; what that will take, and what it gave."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sslth.experiments.backends import Backend
from sslth.experiments.grid import Progress, run_grid
from sslth.experiments.grid_file import Grid
from sslth.experiments.kinds import rng_of
from sslth.experiments.store import Store

__all__ = ["Evaluation", "Forecast", "Summary", "forecast", "standing", "sweep"]

_MOST_FAILURES = 3


@dataclass(frozen=True)
class Evaluation:
    """What workers are sent: evaluates a cell of a kind, with the generator that belongs to the cell."""

    evaluate: Callable[[Mapping[str, Any], np.random.Generator], Mapping[str, Any]]

    def __call__(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        return self.evaluate(parameters, rng_of(parameters))


@dataclass(frozen=True)
class Summary:
    """How a grid stands in a store.

    Attributes
    ----------
    cells, done, failed : int
        All cells of the grid, those with a result, and those with an error; the others are not evaluated yet.
    evaluated : int
        Outcomes that this run waited for, of this process and of others.
    seconds : float
        Wall-clock time of this run.
    failures : tuple of str
        The first different errors.
    """

    cells: int
    done: int
    failed: int
    evaluated: int = 0
    seconds: float = 0.0
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Forecast:
    """What a sweep would do.

    Attributes
    ----------
    standing : Summary
    to_run : int
        Cells that would be evaluated.
    work_seconds : float
        Predicted for all of them, one after the other.
    wall_seconds : float
        With `workers` of them at the same time.
    workers : int
    measured : int
        Stored cells of this grid whose times corrected the prediction; 0 if it is the kind's guess.
    """

    standing: Summary
    to_run: int
    work_seconds: float
    wall_seconds: float
    workers: int
    measured: int


def sweep(
    grid: Grid,
    store: Store,
    backend: Backend,
    *,
    progress: Progress | None = None,
    retry_failed: bool = False,
) -> Summary:
    """Evaluate the cells of the grid that the store does not have; afterwards it has them all.

    Cells run in an order that mixes expensive and cheap ones, so that the time left can be told, and that is another
    one in each process, so that two processes on one store seldom do the same cell. What a cell gives depends on
    neither order nor worker nor backend: its generator comes from its parameters, of which `seed` is one.

    Raises
    ------
    KeyboardInterrupt, InvalidInputError
        As `run_grid`.
    """
    started = time.perf_counter()
    before = standing(grid, store)
    cells = grid.cells
    # No result depends on this order: it only decides which process does what, as the clock does.
    random.Random(f"{os.getpid()} {time.time_ns()}").shuffle(cells)
    run_grid(cells, Evaluation(grid.kind.evaluate), store, progress, retry_failed, backend=backend)
    after = standing(grid, store)
    waited = before.cells - before.done - (0 if retry_failed else before.failed)
    return replace(after, evaluated=waited, seconds=time.perf_counter() - started)


def standing(grid: Grid, store: Store) -> Summary:
    """Return how the grid stands in the store, with the first errors."""
    failed = sorted((store.keys() - store.keys(failed=False)) & grid.by_key.keys())
    done = len(store.keys(failed=False) & grid.by_key.keys())
    texts = [row.error or "" for row in store.rows_of(failed)]
    return Summary(len(grid.by_key), done, len(failed), failures=tuple(dict.fromkeys(texts))[:_MOST_FAILURES])


def forecast(grid: Grid, store: Store | None, workers: int, *, retry_failed: bool = False) -> Forecast:
    """Return what `sweep` would do, without doing it; None for a store that does not exist yet.

    The kind's own prediction is scaled by what stored cells of the grid took, if there are any.
    """
    rows = [] if store is None else store.rows_of(grid.by_key)
    timed = [row for row in rows if row.result is not None]
    skipped = {row.key for row in (timed if retry_failed else rows)}
    guesses = [grid.kind.seconds(cell) for key, cell in grid.by_key.items() if key not in skipped]
    guessed = sum(grid.kind.seconds(row.parameters) for row in timed)
    factor = sum(row.seconds for row in timed) / guessed if guessed > 0 else 1.0
    work = sum(guesses) * factor
    wall = max(work / workers, max(guesses, default=0.0) * factor)
    summary = Summary(len(grid.by_key), 0, 0) if store is None else standing(grid, store)
    return Forecast(summary, len(guesses), work, wall, workers, len(timed))
