"""The random scale of a sum of rows: given it, the sum is a normal vector with independent coordinates.

A sum of s standard normal rows has the scale √s; one of s normally-scaled normal rows has the scale χ_s, the square
root of a χ²_s variable. Both are given as nodes (scales) and weights; the rule for χ is a trapezoid rule in log χ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammainc, gammaincc, gammaln

__all__ = ["ScaleRule", "chi_rule", "chi_truncated", "fixed_scales", "trapezoid_error"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ScaleRule:
    """Nodes that all sizes share, and a weight for each size.

    Attributes
    ----------
    scales : float64[m]
        Ascending; the first is 0, the scale of an empty sum.
    weights : float64[sizes, m]
        Row s belongs to sums of s rows.
    step, smallest, largest : float
        Of the rule for χ in log scale; `step` is 0 where the scales are exact.
    """

    scales: FloatArray
    weights: FloatArray
    step: float
    smallest: float
    largest: float


def fixed_scales(most_rows: int) -> ScaleRule:
    """Return the scales √s of sums of s standard normal rows, exact."""
    scales = np.sqrt(np.arange(most_rows + 1.0))
    return ScaleRule(scales, np.eye(most_rows + 1), 0.0, 1.0, float(scales[-1]))


def chi_rule(most_rows: int, step: float, smallest: float, largest: float) -> ScaleRule:
    """Return the trapezoid rule in log r for the scales χ_s, s up to `most_rows`, between the two ends."""
    log_r = np.arange(math.log(smallest), math.log(largest) + step, step)
    size = np.arange(1, most_rows + 1)[:, None]
    log_density = math.log(2.0) - (size / 2) * math.log(2.0) - gammaln(size / 2) + size * log_r - np.exp(2 * log_r) / 2
    weights = np.zeros((most_rows + 1, log_r.size + 1))
    weights[0, 0] = 1.0
    weights[1:, 1:] = step * np.exp(log_density)
    return ScaleRule(np.concatenate([[0.0], np.exp(log_r)]), weights, step, smallest, largest)


def chi_truncated(sizes: npt.NDArray[np.int64], smallest: float, largest: float) -> FloatArray:
    """Return P(χ_s < smallest or χ_s > largest) for every size; 0 for size 0."""
    half = np.maximum(sizes, 1) / 2
    outside = gammainc(half, smallest**2 / 2) + gammaincc(half, largest**2 / 2)
    return np.where(sizes > 0, outside, 0.0)


_ANGLES = np.linspace(0.02, 0.77, 151)  # below π / 4, where Gaussians of complex scale stop falling


def trapezoid_error(sizes: npt.NDArray[np.int64], d: int, step: float) -> FloatArray:
    r"""Return a factor for each size: the rule in log χ_s errs by at most this times a hit probability.

    With :math:`r = e^{u + i\theta}` and :math:`c = \cos 2\theta`, a Gaussian density of scale r is in absolute value at
    most :math:`c^{-1/2}` times that of scale :math:`|r|/\sqrt c`, and the density of χ_s at most :math:`c^{-s/2}` times
    that of χ_s / √c after the same substitution. The trapezoid rule of a function that is analytic in the strip
    :math:`|Im\, u| \le \theta` errs by at most :math:`2 N / (e^{2\pi\theta/h} - 1)` with N the larger integral of |f|
    over the two edges [TrefethenWeideman2014]_; here N is at most :math:`c^{-(s + d)/2}` times the integral with χ_s
    replaced by χ_s / c, and the best θ is taken.

    .. [TrefethenWeideman2014] L. N. Trefethen, J. A. C. Weideman, "The exponentially convergent trapezoidal rule",
       SIAM Review 56, 2014. doi:10.1137/130932132
    """
    c = np.cos(2 * _ANGLES)
    logs = math.log(2.0) - 2 * math.pi * _ANGLES / step - np.log1p(-np.exp(-2 * math.pi * _ANGLES / step))
    best = (logs - (sizes[:, None] + d) / 2 * np.log(c)).min(axis=1)
    return np.where(sizes > 0, np.exp(np.minimum(best, 50.0)), 0.0)
