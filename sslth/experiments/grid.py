"""The grid runner: evaluates the cells that a store does not have yet, and stores what comes out at once."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from sslth.experiments.backends import Backend, Evaluate, Lost, Outcomes, Parameters, make_backend
from sslth.experiments.backends.worker import evaluate_cell
from sslth.experiments.cells import cell_key
from sslth.experiments.store import Evaluated, Store

__all__ = ["Evaluated", "Progress", "evaluate_cell", "missing_cells", "run_grid"]

_LOOK_EVERY = 1.0  # seconds between two looks at what other processes have stored
_LARGEST_BATCH = 1000  # cells


class Progress(Protocol):
    """Told how far a grid is: cells done, cells in all, and what was done last; may raise to stop."""

    def __call__(self, done: int, total: int, stage: str, /) -> object: ...


def missing_cells(cells: Iterable[Parameters], store: Store, *, retry_failed: bool = False) -> list[Parameters]:
    """Return the cells, in their order and each once, that the store does not have."""
    return list(_missing(_by_key(cells), store, retry_failed).values())


def run_grid(
    cells: Sequence[Parameters],
    evaluate: Evaluate,
    store: Store,
    progress: Progress | None = None,
    retry_failed: bool = False,
    jobs: int = 1,
    backend: Backend | None = None,
) -> None:
    """Evaluate the cells that the store does not have yet; afterwards it has them all.

    Results are stored as they come, and the same call resumes. A run that is killed, by whatever means, loses the
    running cells only: every process stores a cell before it begins the next. A cell that raises an `Exception`, or
    whose process dies, is stored with its error and does not stop the rest.

    Parameters
    ----------
    cells : sequence of mappings
        The parameters of each cell; equal ones count once.
    evaluate : callable
        Takes the parameters of a cell, returns a mapping that JSON can hold. With processes it has to be a
        function or an object that pickle can send; what it returns must depend on the parameters alone.
    store : Store
        Other processes may run the same grid into it; what they store meanwhile is not evaluated again here.
    progress : callable(done, total, stage), optional
        Called before the first cell and after each; cells that were stored before count as done.
    retry_failed : bool
        Evaluate again the cells that are stored with an error.
    jobs : int
        Processes; with 1 the cells run in this one, in their order.
    backend : Backend, optional
        In place of `jobs`; see `make_backend`.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, with everything that was stored kept; likewise for whatever `progress` raises.
    InvalidInputError
        If the parameters of a cell cannot be JSON, the store cannot be written (disk full), or the workers cannot
        be reached or cannot take the cells.

    Examples
    --------
    >>> with Store(":memory:") as store:
    ...     run_grid([{"n": n} for n in (1, 2)], lambda cell: {"square": cell["n"] ** 2}, store)
    ...     sorted(row.result["square"] for row in store.rows())
    [1, 4]
    """
    if backend is None:
        backend = make_backend("serial" if jobs == 1 else "loky", jobs, one_thread=False)
    keyed = _by_key(cells)
    queue = _Queue(_missing(keyed, store, retry_failed), store, retry_failed)
    total = len(keyed)
    if progress is not None:
        progress(total - queue.left, total, "")
    if queue.left == 0:
        return
    with backend:
        while queue.left:
            while batch := queue.take(backend):
                number, parameters = batch
                backend.submit(number, evaluate, parameters, store.shared)
            for number, outcomes in backend.finished() if queue.flying else ():
                before = queue.left
                done = queue.land(number, outcomes)
                if done:
                    store.put_all(done)
                if progress is not None:
                    for place, finished in enumerate(done, 1):
                        progress(total - before + place, total, _stage(finished))
            if queue.look() and progress is not None:
                progress(total - queue.left, total, "stored by another process")


class _Queue:
    """The cells that still have to be evaluated, and those that are being evaluated."""

    def __init__(self, missing: dict[str, Parameters], store: Store, retry_failed: bool) -> None:
        self._waiting = deque(missing.items())
        self._store = store
        self._retry_failed = retry_failed
        self._suspects: deque[tuple[str, Parameters]] = deque()  # were being evaluated when a process died
        self._alone: int | None = None  # the batch that is one suspect
        self._number = 0
        self.flying: dict[int, list[tuple[str, Parameters]]] = {}
        self._seconds = float("inf")  # of one cell, lately
        self._version, self._looked = store.version(), time.monotonic()

    @property
    def left(self) -> int:
        """Cells without an outcome."""
        return len(self._waiting) + len(self._suspects) + sum(len(batch) for batch in self.flying.values())

    def take(self, backend: Backend) -> tuple[int, list[Parameters]] | None:
        """The next batch and its number; None if the backend has enough to do, or nothing waits."""
        if self._suspects or self._alone is not None:
            if self.flying:
                return None
            batch = [self._suspects.popleft()]
            self._alone = self._number
        elif self._waiting and len(self.flying) < (1 if backend.workers == 1 else 2 * backend.workers):
            batch = [self._waiting.popleft() for _ in range(self._size(backend))]
        else:
            return None
        self.flying[self._number] = batch
        self._number += 1
        return self._number - 1, [parameters for _, parameters in batch]

    def _size(self, backend: Backend) -> int:
        """About `batch_seconds` of work, but towards the end few enough that all workers end together."""
        fair = len(self._waiting) // (2 * backend.workers)
        wanted = backend.batch_seconds / max(self._seconds, 1e-9)
        return max(1, int(min(fair, wanted, _LARGEST_BATCH)))

    def land(self, number: int, outcomes: Outcomes) -> list[Evaluated]:
        """What a batch gave; cells that its worker did not come to wait again."""
        batch = self.flying.pop(number)
        alone, self._alone = number == self._alone, None if number == self._alone else self._alone
        if isinstance(outcomes, Lost):
            if alone:
                return [Evaluated(batch[0][1], None, f"the process that evaluated it died: {outcomes}", 0.0)]
            self._suspects.extend(batch)
            self._looked = -math.inf  # what its worker has stored is not evaluated again
            return []
        self._seconds = sum(outcome.seconds for outcome in outcomes) / len(outcomes)
        self._waiting.extendleft(reversed(batch[len(outcomes) :]))
        return list(outcomes)

    def look(self) -> bool:
        """Drop the waiting cells that other processes have stored by now; True if there were some."""
        now, left = time.monotonic(), self.left
        if now - self._looked < _LOOK_EVERY:
            return False
        self._looked = now
        version = self._store.version()
        if version != self._version or self._suspects:
            self._version = version
            theirs = self._store.keys(failed=not self._retry_failed)
            self._waiting = deque(item for item in self._waiting if item[0] not in theirs)
            self._suspects = deque(item for item in self._suspects if item[0] not in theirs)
        return self.left < left


def _by_key(cells: Iterable[Parameters]) -> dict[str, Parameters]:
    """The cells by their keys; the first of equal ones."""
    keyed: dict[str, Parameters] = {}
    for parameters in cells:
        keyed.setdefault(cell_key(parameters), parameters)
    return keyed


def _missing(keyed: Mapping[str, Parameters], store: Store, retry_failed: bool) -> dict[str, Parameters]:
    stored = store.keys(failed=not retry_failed)
    return {key: parameters for key, parameters in keyed.items() if key not in stored}


def _stage(finished: Evaluated) -> str:
    """A cell in a few words: its short parameters, without hashes."""
    words = (f"{key}={value}" for key, value in finished.parameters.items() if isinstance(value, int | float))
    return ", ".join(words) + (f" failed: {finished.error}" if finished.error else "")
