"""The backend of a dask cluster: batches go to its workers, wherever they are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import sslth
from sslth.errors import InvalidInputError
from sslth.experiments.backends.backend import Evaluate, Lost, Outcomes, Parameters, cannot_hand_over
from sslth.experiments.backends.worker import evaluate_in_worker
from sslth.experiments.store import Evaluated

try:
    from distributed import Client, KilledWorker, as_completed
except ImportError as problem:
    raise InvalidInputError("the backend dask needs an extra: pip install sslth[cluster]") from problem

__all__ = ["DaskCluster"]

_PATIENCE = 30.0  # seconds, for the scheduler and for the first worker
_COUNT_EVERY = 5.0  # seconds; workers may join and leave a running sweep


class DaskCluster:
    """Evaluates on the workers that a scheduler has; they need the same release of sslth.

    dask itself evaluates a batch again elsewhere when its worker dies; after three dead workers it is lost.
    """

    # One cell at a time, though a hand-over takes some milliseconds: workers cannot store what they have done (SQLite
    # is not safe on a network's disk), and a killed sweep would lose it.
    batch_seconds = 0.0

    def __init__(self, address: str) -> None:
        self._address = address
        self._client: Any = None
        self._completed: Any = None
        self._running: dict[Any, int] = {}
        self._workers = 1
        self._counted = -_COUNT_EVERY

    def __enter__(self) -> DaskCluster:
        try:
            self._client = Client(self._address, set_as_default=False, timeout=_PATIENCE)  # type: ignore[no-untyped-call]
            self._client.wait_for_workers(1, timeout=_PATIENCE)
        except (OSError, ValueError, TypeError) as problem:  # also TimeoutError
            self._close()
            said = " ".join(str(problem).split())
            raise InvalidInputError(f"no dask cluster with workers at {self._address!r}: {said}") from problem
        self._completed = as_completed(with_results=True, loop=self._client.loop, raise_errors=False)  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    @property
    def workers(self) -> int:
        """Threads of all workers together, counted every few seconds."""
        if time.monotonic() - self._counted >= _COUNT_EVERY:
            self._counted = time.monotonic()
            self._workers = max(1, sum(self._client.nthreads().values()))
        return self._workers

    def submit(
        self,
        number: int,
        evaluate: Evaluate,
        cells: Sequence[Parameters],
        store: Path | None,  # noqa: ARG002 - a cluster shares no disk with it
    ) -> None:
        """Hand the batch to the scheduler; its workers need not see the store."""
        # pure=False: dask would take a batch with equal arguments for the same task.
        future = self._client.submit(
            evaluate_in_worker, sslth.__version__, evaluate, cells, self.batch_seconds, pure=False
        )
        self._running[future] = number
        self._completed.add(future)

    def finished(self) -> list[tuple[int, Outcomes]]:
        """Wait for the first batch."""
        done = self._completed.next_batch(block=True)
        return [(self._running.pop(future), _outcomes(future, result)) for future, result in done]

    def _close(self) -> None:
        if self._client is None:
            return
        with suppress(Exception):  # the scheduler may be gone; what was finished is stored
            self._client.cancel(list(self._running))
        self._running.clear()
        self._client.close()
        self._client = None


def _outcomes(future: Any, result: Any) -> Outcomes:
    if future.status == "finished":
        outcomes: list[Evaluated] = result
        return outcomes
    problem = result[1] if isinstance(result, tuple) else RuntimeError(f"the batch was {future.status}")
    if isinstance(problem, KilledWorker):
        return Lost(" ".join(str(problem).split()))
    if isinstance(problem, InvalidInputError):
        raise problem
    raise cannot_hand_over(problem) from problem
