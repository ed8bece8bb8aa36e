"""The progress of a sweep on a terminal: a bar, cells, and the time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from sslth.experiments.grid import Progress

__all__ = ["in_words", "sweep_bar"]


@contextmanager
def sweep_bar(
    shown: bool, stream: IO[str] | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Progress]:
    """A progress callable that draws a bar on standard error, if that is a terminal and it is wanted.

    The time left is that of the cells of this run, so that cells stored before do not make it look fast. Cells may
    take minutes each: unlike an average over the last seconds, it is there from the first one on.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(file=stream, stderr=stream is None)
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}", markup=False),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal)) as bar:
        task = bar.add_task("", total=None, left="")
        begun: list[float] = []

        def report(done: int, total: int, stage: str) -> None:
            if not begun:
                begun.extend((clock(), done))
            fresh = done - begun[1]
            left = f"{in_words((clock() - begun[0]) / fresh * (total - done))} left" if fresh > 0 else ""
            bar.update(task, completed=done, total=total, description=stage, left=left)

        yield report


def in_words(seconds: float) -> str:
    """A time that a person reads at a glance.

    Examples
    --------
    >>> [in_words(seconds) for seconds in (0.2, 59, 600, 9000, 1e6)]
    ['under 1 s', '59 s', '10 min', '2.5 h', '11.6 days']
    """
    if seconds < 1:
        return "under 1 s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
