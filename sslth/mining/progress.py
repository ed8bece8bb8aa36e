"""A bar on a terminal for the stages of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(wanted: bool) -> Iterator[Callable[[int, int, str], object]]:
    """A callable(done, total, stage) that draws a bar on standard error, if that is a terminal and one is wanted."""
    if not wanted:
        yield lambda _done, _total, _stage: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, stage: bar.update(task, completed=done, total=total, description=stage)
