"""Progress of long work: a bar, silence, or a callable of the user's that may raise to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Progress", "report_progress"]

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
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, stage: bar.update(task, completed=done, total=total, description=stage)
