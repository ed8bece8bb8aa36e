"""The backend that is this process: one cell after the other."""

from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from sslth.experiments.backends.backend import Evaluate, Outcomes, Parameters
from sslth.experiments.backends.worker import evaluate_batch
from sslth.experiments.store import Evaluated

__all__ = ["Serial"]


class Serial:
    """Evaluates in this process; takes closures.

    Parameters
    ----------
    one_thread : bool
        Whether BLAS and OpenMP are kept to one thread, as they are in workers.
    """

    workers = 1
    batch_seconds = 0.0  # every cell is stored before the next one starts

    def __init__(self, one_thread: bool = False) -> None:
        self._one_thread = one_thread
        self._restore: list[Callable[[], object]] = []
        self._waiting: deque[tuple[int, Callable[[], list[Evaluated]]]] = deque()

    def __enter__(self) -> Serial:
        if self._one_thread:
            from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

            self._restore.append(threadpool_limits(limits=1).restore_original_limits)
        here = threading.current_thread() is threading.main_thread()
        if here and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            # With the default handler a solver takes Ctrl-C for its own, and half a search would be a cell's result.
            signal.signal(signal.SIGINT, _interrupt)
            self._restore.append(partial(signal.signal, signal.SIGINT, signal.default_int_handler))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        while self._restore:
            self._restore.pop()()

    def submit(
        self,
        number: int,
        evaluate: Evaluate,
        cells: Sequence[Parameters],
        store: Path | None,  # noqa: ARG002 - the process of the store itself
    ) -> None:
        """Keep the batch until it is asked for."""
        self._waiting.append((number, partial(evaluate_batch, evaluate, cells, self.batch_seconds)))

    def finished(self) -> list[tuple[int, Outcomes]]:
        """Evaluate the first cell of the oldest batch."""
        number, work = self._waiting.popleft()
        return [(number, work())]


def _interrupt(_number: int, _frame: FrameType | None) -> Any:
    raise KeyboardInterrupt
