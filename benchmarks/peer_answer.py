"""What a peer says of an instance."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.instance import Instance

__all__ = ["IntArray", "Peer", "PeerAnswer", "seconds_left"]

IntArray = npt.NDArray[np.int64]


class PeerAnswer(NamedTuple):
    """What a peer claims: a subset or None, a lower bound or None, whether it is optimal; seconds; a remark."""

    subset: IntArray | None
    claimed_bound: float | None
    claimed_optimal: bool
    seconds: float
    note: str


Peer = Callable[[Instance, float, int], PeerAnswer]


def seconds_left(started: float, time_limit: float) -> float:
    """Of a time limit, by the clock of `time.perf_counter`; at least 0."""
    return max(0.0, time_limit - (time.perf_counter() - started))
