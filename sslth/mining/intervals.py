"""Student's interval for a mean over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sslth.errors import InvalidInputError

__all__ = ["mean_interval"]


def mean_interval(
    values: Sequence[float] | npt.NDArray[np.float64], confidence: float = 0.95
) -> tuple[float, tuple[float, float]]:
    """The mean, and Student's interval for it; it assumes independent, roughly normal values.

    Raises
    ------
    InvalidInputError
        If there are fewer than two values, or the confidence is outside (0, 1).

    Examples
    --------
    >>> mean, (low, high) = mean_interval([1.0, 2.0, 3.0])
    >>> mean, round(low, 3), round(high, 3)
    (2.0, -0.484, 4.484)
    """
    from scipy.stats import t

    if len(values) < 2 or not 0.0 < confidence < 1.0:
        raise InvalidInputError(f"{len(values)} values at confidence {confidence} give no interval; 2 are needed")
    mean = float(np.mean(values))
    spread = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = float(t.ppf((1.0 + confidence) / 2.0, len(values) - 1)) * spread
    return mean, (mean - half, mean + half)
