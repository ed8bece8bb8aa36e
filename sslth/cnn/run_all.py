"""Independent pieces of work on threads, or wherever the caller's joblib configuration sends them."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any, TypeVar

__all__ = ["run_all"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_all(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    threads: int | None,
    finished: Callable[[int, Result], None] = lambda _number, _result: None,
    stop: threading.Event | None = None,
    taking: tuple[Sequence[int], int] | None = None,
) -> Generator[tuple[int, Result], None, None]:
    """Yield (number, work(item)) for every item as it is done, in any order.

    Parameters
    ----------
    work : callable
        Releases the GIL. For other processes it must be picklable, and so must items and results.
    items : sequence
    threads : int, optional
        In this process; None for Python's own choice. Under `joblib.parallel_config` with a backend of its own, such as
        "dask" or "loky" with `n_jobs`, that one's workers are used instead.
    finished : callable(number, result)
        Called once for each result in the caller's thread, just before it is yielded; also for those that running
        threads still bring home when the generator is closed, which starts no further item.
    stop : threading.Event, optional
        Set when the generator is closed or interrupted, so that long work on threads can give up. Not when an item
        fails: the others bring theirs home.
    taking : (sequence of int, int), optional
        Bytes that each item takes, and how many may be taken at a time in this process; an item that takes more runs
        alone.

    Notes
    -----
    BLAS is kept to one thread meanwhile, so that its sums are the same everywhere.

    Examples
    --------
    >>> sorted(run_all(abs, [-1, 2, -3], threads=2))
    [(0, 1), (1, 2), (2, 3)]
    """
    if not items:
        return
    if _joblib_is_configured():
        yield from _on_joblib(work, items, finished)
    else:
        allowance = _Allowance(taking[1]) if taking is not None else None
        held = taking[0] if taking is not None else [0] * len(items)
        yield from _on_threads(_within(work, allowance), list(zip(items, held, strict=True)), threads, finished, stop)


class _Allowance:
    """So much may be taken at a time; who would take more than is left waits, and takes all of it at most."""

    def __init__(self, whole: int) -> None:
        self._whole = self._left = whole
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, wanted: int) -> Iterator[None]:
        share = min(wanted, self._whole)
        with self._changed:
            self._changed.wait_for(lambda: share <= self._left)
            self._left -= share
        try:
            yield
        finally:
            with self._changed:
                self._left += share
                self._changed.notify_all()


def _within(work: Callable[[Item], Result], allowance: _Allowance | None) -> Callable[[tuple[Item, int]], Result]:
    def run(item: tuple[Item, int]) -> Result:
        with allowance.taken(item[1]) if allowance is not None else nullcontext():
            return work(item[0])

    return run


def _on_threads(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    threads: int | None,
    finished: Callable[[int, Result], None],
    stop: threading.Event | None,
) -> Generator[tuple[int, Result], None, None]:
    with _blas().limit(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        running: dict[Future[Result], int] = {pool.submit(work, item): number for number, item in enumerate(items)}
        try:
            for future in as_completed(list(running)):
                number, result = running.pop(future), future.result()
                finished(number, result)
                yield number, result
        except (GeneratorExit, KeyboardInterrupt):
            if stop is not None:
                stop.set()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
            for future, number in running.items():
                if future.done() and not future.cancelled() and future.exception() is None:
                    finished(number, future.result())


def _on_joblib(
    work: Callable[[Item], Result], items: Sequence[Item], finished: Callable[[int, Result], None]
) -> Generator[tuple[int, Result], None, None]:
    from joblib import Parallel, delayed

    calls = (delayed(_numbered)(work, number, item, os.getpid()) for number, item in enumerate(items))
    for number, result in Parallel(return_as="generator_unordered")(calls):
        finished(number, result)
        yield number, result


def _numbered(work: Callable[[Item], Result], number: int, item: Item, parent: int) -> tuple[int, Result]:
    if os.getpid() != parent:
        _keep_blas_to_one_thread()
    return number, work(item)


@cache
def _keep_blas_to_one_thread() -> None:
    _blas().limit(limits=1, user_api="blas")


@cache
def _blas() -> Any:
    """The thread pools of this process; looking for them takes some milliseconds."""
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()


def _joblib_is_configured() -> bool:
    """Whether a `joblib.parallel_config` is in force that names other workers than joblib's own default."""
    if "joblib" not in sys.modules:
        return False
    from joblib.parallel import get_active_backend

    backend, jobs = get_active_backend()
    default: Any = type(backend).__name__ == "LokyBackend" and jobs in (None, 1)
    return not default and type(backend).__name__ != "SequentialBackend"
