"""Rank correlation over runs, with an interval over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sslth.errors import InvalidInputError
from sslth.mining.intervals import mean_interval

__all__ = ["RankCorrelation", "rank_correlation"]


@dataclass(frozen=True)
class RankCorrelation:
    """The mean over seeds of Spearman's correlation over arms, and Student's interval for that mean, cut to [-1, 1].

    It treats seeds as independent and says nothing about other arms, data or networks.
    """

    mean: float
    interval: tuple[float, float]
    each: tuple[float, ...]

    @property
    def verdict(self) -> str:
        """ "positive" or "negative" where the whole interval is, else "not shown"."""
        return "positive" if self.interval[0] > 0 else "negative" if self.interval[1] < 0 else "not shown"


def rank_correlation(
    first: Sequence[Sequence[float]], second: Sequence[Sequence[float]], *, confidence: float = 0.95
) -> RankCorrelation:
    """Correlate two measurements over the arms of each seed.

    Parameters
    ----------
    first, second : sequence of sequences
        One sequence a seed, at least 2; one number an arm, at least 3, in the same order.

    Raises
    ------
    InvalidInputError
        If shapes differ or are too small, or a measurement is the same in all arms of a seed: it then has no rank.

    Examples
    --------
    >>> found = rank_correlation([[1, 2, 3, 4], [1, 2, 4, 3]], [[2, 4, 6, 8], [1, 3, 5, 9]])
    >>> [round(rho, 3) for rho in found.each], round(found.mean, 3)
    ([1.0, 0.8], 0.9)
    """
    from scipy.stats import spearmanr

    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if x.ndim != 2 or x.shape != y.shape or x.shape[0] < 2 or x.shape[1] < 3:
        raise InvalidInputError(f"measurements have shapes {x.shape} and {y.shape}; (seeds >= 2, arms >= 3) is needed")
    if (np.ptp(x, axis=1) == 0).any() or (np.ptp(y, axis=1) == 0).any():
        raise InvalidInputError("a measurement is the same in all arms of a seed; it has no rank correlation")
    each = tuple(float(spearmanr(a, b).statistic) for a, b in zip(x, y, strict=True))
    mean, (low, high) = mean_interval(each, confidence)
    return RankCorrelation(mean, (max(low, -1.0), min(high, 1.0)), each)
