"""Peers that part numbers into two halves: in one dimension a subset sum is such a partition.

They are pure Python and know no time limit, or not a strict one: an alarm ends them, so they run in the main thread,
and not on Windows.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from types import FrameType
from typing import Any

import numpy as np

from benchmarks.peer_answer import IntArray, PeerAnswer, seconds_left
from sslth.subset_sum.instance import Instance

__all__ = ["numberpartitioning_ckk", "numberpartitioning_kk", "prtpy_cbldm", "prtpy_complete_greedy", "prtpy_kk"]


def numberpartitioning_kk(instance: Instance, time_limit: float, threads: int = 1) -> PeerAnswer:  # noqa: ARG001 - one thread
    """Karmarkar–Karp of numberpartitioning, on the equivalent partition into two parts."""
    from numberpartitioning import karmarkar_karp

    return _partitioned(
        instance, time_limit, lambda numbers: iter([karmarkar_karp(numbers, 2, return_indices=True).partition]), False
    )


def numberpartitioning_ckk(instance: Instance, time_limit: float, threads: int = 1) -> PeerAnswer:  # noqa: ARG001 - one thread
    """Complete Karmarkar–Karp of numberpartitioning."""
    from numberpartitioning import complete_karmarkar_karp

    def parts(numbers: list[int]) -> Iterator[Any]:
        for result in complete_karmarkar_karp(numbers, 2, return_indices=True):
            yield result.partition

    return _partitioned(instance, time_limit, parts, True)


def prtpy_kk(instance: Instance, time_limit: float, threads: int = 1) -> PeerAnswer:  # noqa: ARG001 - one thread
    """Karmarkar–Karp of prtpy."""
    return _prtpy(instance, time_limit, "kk", False)


def prtpy_cbldm(instance: Instance, time_limit: float, threads: int = 1) -> PeerAnswer:  # noqa: ARG001 - one thread
    """Complete balanced differencing of prtpy, without the balance."""
    return _prtpy(instance, time_limit, "cbldm", True)


def prtpy_complete_greedy(instance: Instance, time_limit: float, threads: int = 1) -> PeerAnswer:  # noqa: ARG001 - one thread
    """Complete greedy partitioning of prtpy."""
    return _prtpy(instance, time_limit, "complete_greedy", True)


def _prtpy(instance: Instance, time_limit: float, algorithm: str, complete: bool) -> PeerAnswer:
    import prtpy

    def parts(numbers: list[int]) -> Iterator[Any]:
        # a little less than what is left: the algorithm is to end by its own clock, not by ours
        options = {"time_limit": 0.95 * time_limit} if complete else {}
        yield prtpy.partition(
            algorithm=getattr(prtpy.partitioning, algorithm),
            numbins=2,
            items=dict(enumerate(numbers)),
            outputtype=prtpy.out.Partition,
            **options,
        )

    return _partitioned(instance, time_limit, parts, complete, 0.95 * time_limit)


def _partitioned(
    instance: Instance,
    time_limit: float,
    parts_of: Callable[[list[int]], Iterator[Any]],
    complete: bool,
    done_before: float = math.inf,
) -> PeerAnswer:
    """Subset sum as number partitioning: the rows without their signs, and |2 z - sum X|, in exact integers.

    Twice a subset's error is the difference of the two parts: chosen rows are those on the side of their sign.
    `done_before`: a complete algorithm that ended within these seconds claims an optimum.
    """
    started = time.perf_counter()
    exact = [Fraction(value) for value in [*instance.samples[:, 0].tolist(), float(instance.target[0])]]
    extra = 2 * exact[-1] - sum(exact[:-1])
    denominator = math.lcm(*(value.denominator for value in [*exact, extra]))
    signed = [int(value * denominator) for value in [*exact[:-1], -extra]]
    numbers = [abs(value) for value in signed]
    best: IntArray | None = None
    finished = False
    try:
        with _alarm(seconds_left(started, time_limit)):
            for parts in parts_of(numbers):
                side = np.zeros(len(numbers), dtype=np.bool_)
                side[list(parts[0])] = True
                taken = side ^ (np.array([value < 0 for value in signed]))
                taken = taken if taken[-1] else ~taken  # -extra + sum of s X is near 0 with s = +1 for the last
                best = np.flatnonzero(taken[:-1])
            finished = True
    except _OutOfTime:
        pass
    seconds = time.perf_counter() - started
    optimal = complete and finished and seconds < done_before
    return PeerAnswer(best, None, optimal, seconds, "finished" if finished else "out of time")


class _OutOfTime(BaseException):
    """Raised by the alarm; a BaseException, so that no peer takes it for its own."""


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """End Python code that knows no time limit; in the main thread, where signals are."""

    def ring(_: int, __: FrameType | None) -> None:
        raise _OutOfTime

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(1e-3, seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, previous)
