"""When a solver must stop: tolerance, clock, work, Ctrl-C; and how it asks."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from types import FrameType
from typing import Any

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.solution import StoppedBy

__all__ = ["Limits", "Norm", "interruptible"]


class Norm(StrEnum):
    """How the length of a residual is measured: its largest absolute entry, or its Euclidean length."""

    SUP = "sup"
    L2 = "l2"

    def of(self, residuals: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """The norm along the last axis, in float64 arithmetic; float64[...] of float[..., d]."""
        if self is Norm.SUP:
            return np.asarray(np.abs(residuals).max(axis=-1), dtype=np.float64)
        return np.asarray(np.linalg.norm(residuals, axis=-1), dtype=np.float64)


@dataclass
class Limits:
    """What one call of a solver may spend.

    Attributes
    ----------
    tolerance : float or None
        A subset whose error is at most this ends the search; None asks for the smallest error.
    time_limit : float or None
        Seconds from the creation of this object.
    max_work : int or None
        Partial sums that may be visited. The only limit that gives the same answer on every machine.
    seed : int
        For solvers that make random choices.
    norm : Norm
        What the error of a subset is. Solvers that know the sup norm alone are never called with another.
    clock : callable
        Seconds, monotonic; tests pass their own.
    """

    tolerance: float | None = None
    time_limit: float | None = None
    max_work: int | None = None
    seed: int = 0
    norm: Norm = Norm.SUP
    clock: Callable[[], float] = time.monotonic
    interrupted: threading.Event = field(default_factory=threading.Event)
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return self.clock() - self.started

    def seconds_left(self) -> float | None:
        """Seconds until the time limit, at least 0; None without one."""
        return None if self.time_limit is None else max(0.0, self.time_limit - self.seconds)

    def work_left(self, work: int) -> int | None:
        """Partial sums that may still be visited after `work` of them; None without a limit."""
        return None if self.max_work is None else max(0, self.max_work - work)

    def exceeded(self, work: int = 0) -> StoppedBy | None:
        """The limit that has been reached after `work` partial sums, or None. Solvers ask between chunks."""
        if self.interrupted.is_set():
            return StoppedBy.INTERRUPT
        if self.max_work is not None and work >= self.max_work:
            return StoppedBy.WORK
        if self.time_limit is not None and self.seconds >= self.time_limit:
            return StoppedBy.TIME
        return None

    def is_met_by(self, error: float) -> bool:
        """Whether an error is within the tolerance; False if none was asked for."""
        return self.tolerance is not None and error <= self.tolerance


@contextmanager
def interruptible(limits: Limits) -> Iterator[None]:
    """Let the first Ctrl-C end the search with the best subset so far, and the second raise KeyboardInterrupt.

    Only the main thread can catch a signal; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.getsignal(signal.SIGINT)
    if previous is not signal.default_int_handler:  # somebody else handles Ctrl-C: leave it to them
        yield
        return

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        if limits.interrupted.is_set():
            signal.default_int_handler(number, frame)
        limits.interrupted.set()

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
