"""What a worker does with a batch of cells, in whatever process it lives."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import sslth
from sslth.errors import InvalidInputError
from sslth.experiments.backends.backend import Evaluate, Parameters
from sslth.experiments.cells import result_json
from sslth.experiments.store import Evaluated, Store

__all__ = ["begin_worker", "evaluate_batch", "evaluate_cell", "evaluate_in_worker"]

_LOOK_EVERY = 0.5  # seconds


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


def evaluate_batch(
    evaluate: Evaluate, cells: Sequence[Parameters], seconds: float, keep: Callable[[Evaluated], None] | None = None
) -> list[Evaluated]:
    """Evaluate cells until all are done or `seconds` have passed; at least one, each kept before the next begins."""
    started = time.perf_counter()
    outcomes: list[Evaluated] = []
    for parameters in cells:
        outcomes.append(evaluate_cell(evaluate, parameters))
        if keep is not None:
            keep(outcomes[-1])
        if time.perf_counter() - started >= seconds:
            break
    return outcomes


def evaluate_in_worker(
    version: str, evaluate: Evaluate, cells: Sequence[Parameters], seconds: float, store: Path | None = None
) -> list[Evaluated]:
    """`evaluate_batch` in another process: one thread, deaf to Ctrl-C, of the same release.

    With the path of a store each outcome is put there at once, so that it outlives this process and the one that
    asked; without, as where no disk is shared, the outcomes are only returned.
    """
    if version != sslth.__version__:  # a cell must not depend on where it ran
        raise InvalidInputError(f"a worker has sslth {sslth.__version__} and this is {version}; install the same one")
    _limit_threads()
    if threading.current_thread() is threading.main_thread():
        # The terminal sends Ctrl-C to workers too: a solver would end early, and half a search be stored as a result.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return evaluate_batch(evaluate, cells, seconds, None if store is None else _opened(store).put_one)


@cache
def _opened(path: Path) -> Store:
    """One connection for the life of this process."""
    return Store(path)


def begin_worker(parent: int) -> None:
    """Make this process one that ignores Ctrl-C and ends soon after its parent does, however that ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A worker waits for work on a pipe that it keeps open itself: without a look it would outlive kill -9 for ever.
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY)
    os._exit(1)


@cache
def _limit_threads() -> None:
    """Keep the BLAS and OpenMP pools of this process to one thread for good; the other cores have workers too."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    threadpool_limits(limits=1)
