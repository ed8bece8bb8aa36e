"""Quantiles with an interval that holds for every distribution."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, bdtrc

from sslth.errors import InvalidInputError

__all__ = ["median_interval", "quantile_interval"]


def quantile_interval(
    values: npt.ArrayLike, probability: float, confidence: float
) -> tuple[float, tuple[float, float]]:
    """Return the empirical quantile of independent values, and an interval of the true one between two of the values.

    Its coverage is at least `confidence` for every distribution, discrete ones too: how many values lie below the
    quantile is binomial. An end is infinite where there are too few values for it. Values may be infinite.
    Cost O(m log m).

    Raises
    ------
    InvalidInputError
        Without values, with NaN, or unless probability and confidence lie strictly between 0 and 1.

    Examples
    --------
    >>> quantile_interval(range(1, 101), 0.5, 0.95)
    (50.0, (40.0, 61.0))
    >>> quantile_interval([1.0, 2.0, 3.0], 0.9, 0.99)
    (3.0, (1.0, inf))
    """
    x = np.sort(np.asarray(values, dtype=np.float64).ravel())
    if x.size == 0 or np.isnan(x).any():
        raise InvalidInputError("a quantile needs at least one value, and none that is NaN")
    for name, number in (("probability", probability), ("confidence", confidence)):
        if not 0.0 < number < 1.0:
            raise InvalidInputError(f"{name} must lie strictly between 0 and 1, not {number}")
    tail = (1.0 - confidence) / 2.0
    counts = np.arange(x.size)
    below = int(np.count_nonzero(bdtr(counts, x.size, probability) <= tail))
    above = np.flatnonzero(bdtrc(counts, x.size, probability) <= tail)
    low = float(x[below - 1]) if below else -math.inf
    high = float(x[above[0]]) if above.size else math.inf
    return float(x[max(0, math.ceil(probability * x.size) - 1)]), (low, high)


def median_interval(values: npt.ArrayLike, confidence: float) -> tuple[float, tuple[float, float]]:
    """Return the empirical median (the lower one of two) with its interval, see `quantile_interval`.

    Examples
    --------
    >>> median_interval([3.0, 1.0, 2.0], 0.5)
    (2.0, (1.0, 3.0))
    """
    return quantile_interval(values, 0.5, confidence)
