"""What a backend of the grid runner is: it takes batches of cells and hands back what came out of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from sslth.errors import InvalidInputError
from sslth.experiments.store import Evaluated

__all__ = ["Backend", "Evaluate", "Lost", "Outcomes", "Parameters", "cannot_hand_over"]

Parameters = Mapping[str, Any]
Evaluate = Callable[[Parameters], Mapping[str, Any]]


class Lost(Exception):
    """The process that evaluated a batch died; what was running there has no result."""


Outcomes = Sequence[Evaluated] | Lost


class Backend(Protocol):
    """Evaluates batches of cells; a context manager that leaves no worker of its own behind."""

    @property
    def workers(self) -> int:
        """Cells that run at the same time; may change between two calls."""

    @property
    def batch_seconds(self) -> float:
        """After so long a worker hands in what it has finished of a batch, as soon as the running cell ends."""

    def submit(self, number: int, evaluate: Evaluate, cells: Sequence[Parameters], store: Path | None) -> None:
        """Start a batch, known from now on by its number; workers on this machine put each outcome into the store."""

    def finished(self) -> list[tuple[int, Outcomes]]:
        """Wait for batches to finish; for each its number and the outcomes of its first cells, at least one."""

    def __enter__(self) -> Backend: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


def cannot_hand_over(problem: BaseException) -> InvalidInputError:
    """Workers could not take a batch or give its results: no fault of a cell, the grid ends with this error."""
    causes = [problem] if problem.__cause__ is None else [problem, problem.__cause__]
    text = ": ".join(f"{type(cause).__name__}: {' '.join(str(cause).split())[-300:]}" for cause in causes)
    return InvalidInputError(
        f"the workers cannot evaluate the cells ({text}); what was stored before is kept: "
        "is the same code importable there?"
    )
