"""Probabilities that one normal sum, or two that share a part, lie in an interval; positive terms only.

One coordinate at a time: the shared part A ~ N(0, r₀²), the own parts B₁ ~ N(0, r₁²), B₂ ~ N(0, r₂²); both sums within
ε of z has probability E[H(A, r₁) H(A, r₂)], H(a, r) = P(|a + N(0, r²) - z| <= ε). All pairs (r₁, r₂) are one matrix
product.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr

__all__ = ["PairIntegral", "log_interval"]

FloatArray = npt.NDArray[np.float64]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)


def log_interval(centre: FloatArray, half: FloatArray | float) -> FloatArray:
    """Return log P(|N(0, 1) - centre| <= half), broadcast, to about twelve digits however far or narrow."""
    centre, half = np.broadcast_arrays(np.abs(centre), half)
    logs = np.empty(centre.shape)
    narrow = half * (1.0 + centre) < 1.0  # elsewhere the two ends differ by so much that nothing cancels
    c, h = centre[narrow], half[narrow]
    total = np.zeros(c.shape)
    for x, weight in zip(_NODES, _WEIGHTS, strict=True):
        total += weight * np.exp(-(c + h * x / 2) * (h * x))
    logs[narrow] = np.log(total * h) - c**2 / 2 - math.log(2 * math.pi) / 2
    c, h = centre[~narrow], half[~narrow]
    upper, lower = log_ndtr(h - c), log_ndtr(-h - c)
    with np.errstate(invalid="ignore"):
        logs[~narrow] = np.where(np.isinf(upper), -np.inf, upper + np.log(-np.expm1(lower - upper)))
    return logs


class PairIntegral:
    """The integral over the shared part of one coordinate, for fixed scales of the own parts.

    Gauss-Legendre with twelve nodes on panels that double in length from 0 and from both ends of the interval, where
    normal densities and distribution functions of small scale are steep; the first panels are as long as the smallest
    scale. Measured against interval arithmetic it is right to eleven digits.

    Parameters
    ----------
    target, epsilon : float
    scales : float64[m]
        Of the own parts; 0 is allowed.
    smallest, largest : float
        The least and the greatest positive scale of any part.
    reference : float
        Log of a number that each of the two probabilities is divided by.
    """

    def __init__(
        self, target: float, epsilon: float, scales: FloatArray, smallest: float, largest: float, reference: float
    ) -> None:
        ends = _panels(sorted({0.0, target - epsilon, target + epsilon}), smallest, largest, 14.0 * largest)
        half = np.diff(ends) / 2
        self._a: FloatArray = (ends[:-1, None] + half[:, None] * (1.0 + _NODES)).ravel()
        self._weights: FloatArray = (half[:, None] * _WEIGHTS).ravel()
        positive = np.where(scales > 0.0, scales, 1.0)[:, None]
        logs = log_interval((self._a - target) / positive, epsilon / positive)
        inside = np.where(np.abs(self._a - target) <= epsilon, 0.0, -np.inf)
        logs = np.where(scales[:, None] > 0.0, logs, inside)
        self._hits: FloatArray = np.exp(logs - reference)

    def matrix(self, shared: float, own: npt.NDArray[np.int64]) -> FloatArray:
        """Return E[H(A, r₁) H(A, r₂)] divided by the reference twice, for the chosen own scales, A ~ N(0, shared²)."""
        near = slice(*np.searchsorted(self._a, [-38.0 * shared, 38.0 * shared]))  # beyond, the density underflows
        density = self._weights[near] * np.exp(-((self._a[near] / shared) ** 2) / 2)
        density /= shared * math.sqrt(2 * math.pi)
        hits = self._hits[own, near]
        result: FloatArray = (hits * density) @ hits.T
        return result


def _panels(centres: list[float], smallest: float, longest: float, reach: float) -> FloatArray:
    """Ends of panels up to reach beyond the outer centres, none longer than its distance to one, or than `longest`."""
    octaves = max(1, math.ceil(math.log2(reach / smallest)))
    steps = np.concatenate([[0.0], smallest * 2.0 ** np.arange(octaves + 1)])
    ends = [centres[0] - steps[::-1]]
    for left, right in pairwise(centres):
        middle = (left + right) / 2
        inner = steps[steps < (right - left) / 2]
        ends += [left + inner, np.array([middle]), (right - inner)[::-1]]
    ends.append(centres[-1] + steps)
    coarse = np.unique(np.concatenate(ends))
    parts = np.ceil(np.diff(coarse) / longest).astype(int)
    pieces = [np.linspace(a, b, m, endpoint=False) for a, b, m in zip(coarse[:-1], coarse[1:], parts, strict=True)]
    return np.concatenate([*pieces, coarse[-1:]])
