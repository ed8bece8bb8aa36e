"""The grid runner: evaluates the cells that a store does not have yet, and stores each result at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from sslth.experiments.cells import cell_key, result_json
from sslth.experiments.store import Store

__all__ = ["Evaluated", "Progress", "evaluate_cell", "missing_cells", "run_grid"]

Parameters = Mapping[str, Any]
Evaluate = Callable[[Parameters], Mapping[str, Any]]


class Progress(Protocol):
    """Told how far a grid is: cells done, cells in all, and what was done last; may raise to stop."""

    def __call__(self, done: int, total: int, stage: str, /) -> object: ...


@dataclass(frozen=True)
class Evaluated:
    """What came out of one cell: `result`, or the `error` in one line."""

    parameters: Parameters
    result: Mapping[str, Any] | None
    error: str | None
    seconds: float


def evaluate_cell(evaluate: Evaluate, parameters: Parameters) -> Evaluated:
    """Evaluate one cell and return what came out; an `Exception` becomes an error text. Touches no store."""
    started = time.perf_counter()
    try:
        result = evaluate(parameters)
        result_json(result)  # a result that cannot be stored is this cell's failure, not the grid's
    except Exception as problem:
        text = " ".join(f"{type(problem).__name__}: {problem}".split())
        return Evaluated(parameters, None, text, time.perf_counter() - started)
    return Evaluated(parameters, result, None, time.perf_counter() - started)


def missing_cells(cells: Iterable[Parameters], store: Store, *, retry_failed: bool = False) -> list[Parameters]:
    """Return the cells, in their order and each once, that the store does not have."""
    seen = store.keys(failed=not retry_failed)
    missing = []
    for parameters in cells:
        key = cell_key(parameters)
        if key not in seen:
            seen.add(key)
            missing.append(parameters)
    return missing


def run_grid(
    cells: Sequence[Parameters],
    evaluate: Evaluate,
    store: Store,
    progress: Progress | None = None,
    retry_failed: bool = False,
) -> None:
    """Evaluate the cells that the store does not have yet; afterwards it has them all.

    Each result is stored as soon as it is there, so a killed run loses only the running cell, and
    the same call resumes. A cell that raises an `Exception` is stored with its error and does not stop the rest.

    Parameters
    ----------
    cells : sequence of mappings
        The parameters of each cell; equal ones count once.
    evaluate : callable
        Takes the parameters of a cell, returns a mapping that JSON can hold.
    store : Store
    progress : callable(done, total, stage), optional
        Called before the first cell and after each; cells that were stored before count as done.
    retry_failed : bool
        Evaluate again the cells that are stored with an error.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, with everything that was finished kept; likewise for whatever `progress` raises.
    InvalidInputError
        If the parameters of a cell cannot be JSON, or the store cannot be written (disk full).

    Examples
    --------
    >>> with Store(":memory:") as store:
    ...     run_grid([{"n": n} for n in (1, 2)], lambda cell: {"square": cell["n"] ** 2}, store)
    ...     sorted(row.result["square"] for row in store.rows())
    [1, 4]
    """
    missing = missing_cells(cells, store, retry_failed=retry_failed)
    total = len({cell_key(parameters) for parameters in cells})
    done = total - len(missing)
    if progress is not None:
        progress(done, total, "")
    for finished in _one_after_the_other(partial(evaluate_cell, evaluate), missing):
        if finished.result is not None:
            store.put(finished.parameters, finished.result, finished.seconds)
        else:
            store.put_error(finished.parameters, finished.error or "unknown error", finished.seconds)
        done += 1
        if progress is not None:
            progress(done, total, _stage(finished))


def _one_after_the_other(work: Callable[[Parameters], Evaluated], cells: Iterable[Parameters]) -> Iterator[Evaluated]:
    """The backend: yields what came out of each cell as it finishes, in any order.

    A parallel one replaces this function only; the store stays with the process that runs the grid.
    """
    return map(work, cells)


def _stage(finished: Evaluated) -> str:
    """A cell in a few words: its short parameters, without hashes."""
    words = (f"{key}={value}" for key, value in finished.parameters.items() if isinstance(value, int | float))
    return ", ".join(words) + (f" failed: {finished.error}" if finished.error else "")
