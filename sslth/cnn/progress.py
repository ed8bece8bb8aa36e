"""Progress of long work: a bar, silence, or a callable of the user's that may raise to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

__all__ = ["Bar", "Progress", "report_progress"]

Progress = Callable[[int, int, str], object]


@contextmanager
def report_progress(progress: bool | Progress) -> Iterator[Progress]:
    """A callable(done, total, stage) for what the user asked for: True a bar on a terminal, False nothing."""
    if callable(progress):
        yield progress
        return
    if not progress:
        yield lambda _done, _total, _stage: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with RichProgress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield Bar(bar)


class Bar:
    """A bar on a terminal, called as any other `Progress`; while filters are searched it says how many a second."""

    def __init__(self, bar: RichProgress) -> None:
        self._bar, self._task = bar, bar.add_task("", total=None)
        self._filters, self._started = 0, 0.0

    def __call__(self, done: int, total: int, stage: str) -> None:
        if self._filters and time.perf_counter() > self._started:
            stage = f"{stage}, {self._filters / (time.perf_counter() - self._started):.2g} filters/s"
            self._filters = 0 if done >= total else self._filters
        self._bar.update(self._task, completed=done, total=total, description=stage)

    def searched(self, filters: int) -> None:
        """So many random filters have been gone through since the last call; 0 starts the clock."""
        if not filters:
            self._filters, self._started = 0, time.perf_counter()
        self._filters += filters
