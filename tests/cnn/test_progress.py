"""What a bar on a terminal says while filters are searched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sslth.cnn import progress
from sslth.cnn.progress import Bar, report_progress


class Shown:
    """In place of a bar of rich's."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def add_task(self, description: str, total: object) -> int:
        return 0

    def update(self, task: int, *, completed: int, total: int, description: str) -> None:
        self.said.append(f"{completed}/{total} {description}")


def test_filters_a_second_are_said_while_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 12.0, 12.0, 14.0, 14.0, 20.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    shown: Any = Shown()
    bar = Bar(shown)
    bar(0, 2, "choosing gains")
    bar.searched(0)
    bar.searched(2_000_000)
    bar(1, 2, "searching blocks")
    bar.searched(2_000_000)
    bar(2, 2, "searching blocks")
    bar(0, 1, "certify")
    assert shown.said == [
        "0/2 choosing gains",
        "1/2 searching blocks, 1e+06 filters/s",
        "2/2 searching blocks, 1e+06 filters/s",
        "0/1 certify",
    ]


def test_what_the_user_asks_for_decides() -> None:
    def own(done: int, total: int, stage: str) -> None:
        """The user's."""

    wanted: list[tuple[Any, Callable[[object], bool]]] = [
        (True, lambda report: isinstance(report, Bar)),
        (False, lambda report: not isinstance(report, Bar)),
        (own, lambda report: report is own),
    ]
    for progress_argument, expected in wanted:
        with report_progress(progress_argument) as report:
            report(1, 2, "stage")
            assert expected(report)
