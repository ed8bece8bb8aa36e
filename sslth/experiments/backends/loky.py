"""The backend of processes on this machine: joblib's loky."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from joblib.externals.loky import BrokenProcessPool, ProcessPoolExecutor, wait
from joblib.externals.loky.process_executor import TerminatedWorkerError

import sslth
from sslth.errors import InvalidInputError
from sslth.experiments.backends.backend import Evaluate, Lost, Outcomes, Parameters, cannot_hand_over
from sslth.experiments.backends.worker import begin_worker, evaluate_in_worker
from sslth.experiments.store import Evaluated

__all__ = ["Loky"]

# Libraries read these when they are loaded, which may be in the middle of a cell.
_ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMBA_NUM_THREADS",
    ),
    "1",
)


class Loky:
    """Evaluates in `jobs` processes of its own; not joblib's shared pool, because Ctrl-C kills these."""

    batch_seconds = 0.05  # much beside a hand-over (about 1 ms), little beside how often progress is told

    def __init__(self, jobs: int) -> None:
        self.workers = jobs
        self._executor: Any = None
        self._running: dict[Any, int] = {}

    def __enter__(self) -> Loky:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=bool(self._running))
            self._executor = None

    def submit(self, number: int, evaluate: Evaluate, cells: Sequence[Parameters], store: Path | None) -> None:
        """Hand the batch to the pool, and start that if there is none; its process stores each cell at once."""
        batch = (evaluate_in_worker, sslth.__version__, evaluate, cells, self.batch_seconds, store)
        try:
            future = self._pool().submit(*batch)
        except BrokenProcessPool:  # a worker has died since the last look; its batches are told as lost
            self._executor = None
            future = self._pool().submit(*batch)
        self._running[future] = number

    def finished(self) -> list[tuple[int, Outcomes]]:
        """Wait for the first batch."""
        done, _ = wait(self._running, return_when="FIRST_COMPLETED")
        return [(self._running.pop(future), self._outcomes(future)) for future in done]

    def _pool(self) -> Any:
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                self.workers, initializer=begin_worker, initargs=(os.getpid(),), env=_ONE_THREAD
            )
        return self._executor

    def _outcomes(self, future: Any) -> Outcomes:
        try:
            outcomes: list[Evaluated] = future.result()
        except TerminatedWorkerError as problem:
            return Lost(" ".join(str(problem).split()))
        except InvalidInputError:
            raise
        except Exception as problem:
            raise cannot_hand_over(problem) from problem
        return outcomes
