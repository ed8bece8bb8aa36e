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

    A guess that sets windows; no answer depends on it. A normal law for all rows makes the first
    window up to 1.8 times as wide where the scales of rows vary much (NSN, d = 9 and 16).

    Attributes
    ----------
    weights : float64[c]
        The share of subsets in each choice of large rows.
    subsets : float
        How many subsets have an allowed size.
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
        self.weights: FloatArray = share**taken * (1.0 - share) ** (large.size - taken)
        rest, weights = rows[small], copies[small, None]
        self.offsets: FloatArray = problem.target - share * (rest * weights).sum(axis=0) - choices @ rows[large]
        self.spreads: FloatArray = np.sqrt(share * (1.0 - share) * (rest**2 * weights).sum(axis=0))
        self.spreads = math.sqrt(2.0) * np.maximum(self.spreads, 1e-3)
        if problem.is_restricted:
            allowed = sum(math.comb(int(copies.sum()), k) for k in range(problem.smallest, problem.largest + 1))
            self.subsets *= min(1.0, allowed / self.subsets)

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
