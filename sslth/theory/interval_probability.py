"""Probabilities of intervals under the normal law, by their logarithms, however far or narrow."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr

__all__ = ["log_interval", "log_sinhc"]

FloatArray = npt.NDArray[np.float64]


def log_sinhc(x: FloatArray) -> FloatArray:
    """log(sinh x / x), x >= 0."""
    safe = np.where(x < 1e-2, 1.0, x)
    return np.where(x < 1e-2, x**2 / 6, safe + np.log(-np.expm1(-2 * safe) / (2 * safe)))


def log_interval(centre: FloatArray, half: FloatArray) -> FloatArray:
    """log P(|N(0, 1) - centre| <= half), centre >= 0, to about ten digits however far or narrow."""
    centre, half = np.broadcast_arrays(centre, half)
    narrow = half < 1e-4
    wide = np.where(narrow, 1.0, half)
    upper = log_ndtr(wide - centre)  # mirrored into the lower tail
    lower = log_ndtr(-wide - centre)
    with np.errstate(divide="ignore"):
        exact = upper + np.log(-np.expm1(np.minimum(lower - upper, 0.0)))
        flat = np.log(2 * half) - centre**2 / 2 - math.log(2 * math.pi) / 2 + log_sinhc(centre * half)
    return np.where(narrow, flat, exact)
