"""What one piece of a pass has found, kept apart from the buffer until its turn, whichever thread it ran on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.exact.search import Buffer
from sslth.subset_sum.solution import StoppedBy

__all__ = ["Found", "LocalMatches"]

IntArray = npt.NDArray[np.int64]

_CAPACITY = 1 << 14


@dataclass
class Found:
    """What one piece gave."""

    errors: list[IntArray] = field(default_factory=list)
    codes: list[IntArray] = field(default_factory=list)
    work: int = 0
    stopped: StoppedBy | None = None
    met_tolerance: bool = False
    dropped: bool = False


class LocalMatches:
    """Where the kernel of one thread writes its matches.

    Parameters
    ----------
    buffer : Buffer
        Asked whether a match meets the tolerance, not written to.
    decode : callable
        As `Join.decode`.
    """

    def __init__(self, buffer: Buffer, decode: Callable[[int, int], IntArray]) -> None:
        self.buffer, self.decode = buffer, decode
        self.errors = np.empty(_CAPACITY, dtype=np.int64)
        self.codes = np.empty((_CAPACITY, 2), dtype=np.int64)

    def keep(self, control: IntArray, found: Found) -> None:
        """Move what a kernel wrote out of the way; look whether a match meets the tolerance."""
        count = int(control[0])
        if count == 0:
            return
        near = np.flatnonzero(self.errors[:count] <= min(int(control[3]), int(control[1]) + max(0, int(control[2]))))
        found.errors.append(self.errors[near])
        found.codes.append(self.codes[near])
        control[0] = 0
        for index in near.tolist():
            if int(self.errors[index]) <= int(control[4]) and not found.met_tolerance:
                subset = self.decode(int(self.codes[index, 0]), int(self.codes[index, 1]))
                found.met_tolerance = self.buffer.meets_tolerance(subset)
