"""How many subsets should come within a window of the target, if a few large rows decide where the others must meet."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import erf

from sslth.subset_sum.exact.problem import HalvedProblem

__all__ = ["PairModel"]

FloatArray = npt.NDArray[np.float64]

_MOST_LARGE = 7
_HALVINGS = 12


class PairModel:
    """Sums of random subsets: the largest rows taken or not, one by one; the sum of the others normal.

    A guess that sets windows and sizes of cells; no answer depends on it. A normal law for all rows makes the first
    window up to 1.8 times as wide where the scales of rows vary much (NSN, d = 9 and 16).

    Attributes
    ----------
    axes : int
        Coordinates, and one more for the number of rows where that matters.
    weights : float64[c]
        The share of subsets in each choice of large rows.
    sized : (int, float) or None
        How many sizes are allowed, and the share of pairs of half sums that have one of them.
    """

    def __init__(self, problem: HalvedProblem) -> None:
        rows, share = problem.rows.astype(np.float64), problem.share
        copies = np.array([group.size for group in problem.groups], dtype=np.float64)
        order = np.argsort(-(rows**2).sum(axis=1), kind="stable")
        large = order[copies[order] == 1][: min(_MOST_LARGE, max(0, order.size - 2))]
        small = np.setdiff1d(order, large)
        choices = (np.arange(1 << large.size)[:, None] >> np.arange(large.size)) & 1
        taken = choices.sum(axis=1)
        self.subsets = math.exp(min(700.0, sum(math.log(size) for size in problem.half_sizes)))
        self.sized: tuple[int, float] | None = None
        self.weights: FloatArray = share**taken * (1.0 - share) ** (large.size - taken)
        rest, weights = rows[small], copies[small, None]
        self.offsets: FloatArray = problem.target - share * (rest * weights).sum(axis=0) - choices @ rows[large]
        self.spreads: FloatArray = np.sqrt(share * (1.0 - share) * (rest**2 * weights).sum(axis=0))
        self.spreads = math.sqrt(2.0) * np.maximum(self.spreads, 1e-3)
        self.axes = self.spreads.size
        if problem.is_restricted:
            allowed = sum(math.comb(int(copies.sum()), k) for k in range(problem.smallest, problem.largest + 1))
            self.sized = problem.largest - problem.smallest + 1, min(1.0, allowed / self.subsets)
            self.subsets *= self.sized[1]
            self.axes += 1
        self._known: dict[tuple[int, float], FloatArray] = {}

    def chances(self, axis: int, width: float) -> FloatArray:
        """float64[c], how likely a sum is within an interval of this width around the target along an axis."""
        if self.sized is not None and axis == self.axes - 1:
            return np.full(self.weights.size, min(1.0, self.sized[1] * width / self.sized[0]))
        if (axis, width) not in self._known:
            self._known[axis, width] = _within(self.offsets[:, axis], width / 2.0, self.spreads[axis])
        return self._known[axis, width]

    def chance(self, axis: int, width: float) -> float:
        """The mean of `chances`."""
        return float(self.weights @ self.chances(axis, width))

    def expected(self, window: float) -> float:
        """How many subsets have an integer error up to the window."""
        within = _within(self.offsets, window + 0.5, self.spreads)
        return self.subsets * float(self.weights @ within.prod(axis=1))

    def window(self, hits: float, guess: int) -> int:
        """A window, within a factor 64 of the guess, where so many subsets are expected."""
        low, high = math.log(max(1.0, guess / 64.0)), math.log(64.0 * max(1.0, guess))
        for _ in range(_HALVINGS):
            middle = (low + high) / 2.0
            if self.expected(math.exp(middle)) < hits:
                low = middle
            else:
                high = middle
        return int(math.exp(high))


def _within(offsets: FloatArray, half: float | FloatArray, spreads: FloatArray) -> FloatArray:
    far = np.abs(offsets)
    within: FloatArray = np.maximum(1e-15, (erf((far + half) / spreads) - erf((far - half) / spreads)) / 2.0)
    return within
