"""Probabilities of intervals for sums of uniform numbers: exact for few, by a tilted normal law for many."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sslth.theory.interval_probability import log_interval, log_sinhc

__all__ = ["log_irwin_hall", "log_tilted_normal"]

FloatArray = npt.NDArray[np.float64]


def log_irwin_hall(target: FloatArray, epsilon: float, largest: int) -> FloatArray:
    """log P(|S_k - z| <= ε) for a sum of k = 1 … largest U[-1, 1]: float64[largest, d], z >= 0.

    The density of a sum of k U[-1/2, 1/2] is the B-spline of order k, by its recursion, which only adds
    positive numbers; its integral up to x is the sum of the next one at x - 1/2, x - 3/2, … O(largest² d).
    """
    half, centre = epsilon / 2, -target / 2  # mirrored, so that tails stay small numbers
    narrow = half < 1e-3
    offsets = half / math.sqrt(3.0) * np.array([-1.0, 1.0])  # two-point Gauss
    ends = np.stack([centre - half, -np.abs(centre + half)], axis=1)
    span = largest + 2
    x = (centre[:, None] + offsets if narrow else ends)[..., None] - np.arange(-span, span + 1) / 2
    inner = x[..., 1:-1]
    spline = ((x >= -0.5) & (x < 0.5)).astype(np.float64)
    mass = np.empty((largest, target.size))
    mass[0] = np.clip(np.minimum(2 * half, 0.5 - ends[:, 0]), None, np.clip(centre + half + 0.5, 0.0, 1.0))
    for k in range(2, largest + 2):
        wider = np.zeros_like(spline)  # the value at x + 1/2 is one place before, at x - 1/2 one place after
        wider[..., 1:-1] = np.clip(k / 2 + inner, 0.0, None) * spline[..., :-2]
        wider[..., 1:-1] += np.clip(k / 2 - inner, 0.0, None) * spline[..., 2:]
        wider /= k - 1
        spline = wider
        if not narrow:  # order k integrates order k - 1
            lower, upper = spline[..., span + 1 :: 2].sum(axis=-1).T
            mass[k - 2] = np.where(centre + half > 0, 1.0 - upper - lower, upper - lower)
        elif 2 < k <= largest:
            mass[k - 1] = half * spline[..., span].sum(axis=1)
        elif k == 2 and largest >= 2:  # 1 - |x| has a kink
            inside = np.abs(centre) < half
            average = np.where(inside, (centre**2 + half**2) / (2 * half), np.abs(centre))
            mass[1] = 2 * half * np.clip(1.0 - average, 0.0, None)
    with np.errstate(divide="ignore"):
        return np.log(np.clip(mass, 0.0, 1.0))


def log_tilted_normal(target: FloatArray, epsilon: float, k: FloatArray) -> FloatArray:
    """log P(|S_k - z| <= ε) for a sum of k U[-1, 1], k large, z >= 0: the normal law after the tilt that centres it.

    Tilted by θ the sum has mean k (coth θ - 1/θ); θ centres it at the point of the box that is nearest to 0.
    """
    nearest = np.clip(target - epsilon, 0.0, None) + 0.0 * k
    m = nearest / k
    possible = m < 1.0
    m = np.where(possible, m, 0.0)
    theta = m * (3.0 - m**2) / (1.0 - m**2)  # within 5 % [Cohen1991]
    for _ in range(4):
        theta = np.clip(theta - (_langevin(theta) - m) / _langevin_slope(theta), 0.0, None)
    variance = k * _langevin_slope(theta)
    deviation = np.sqrt(variance)
    log_moment = k * log_sinhc(theta) - theta * nearest + theta**2 * variance / 2
    logs = log_moment + log_interval((target - nearest) / deviation + theta * deviation, epsilon / deviation)
    return np.where(possible, np.minimum(logs, 0.0), -np.inf)


def _langevin(t: FloatArray) -> FloatArray:
    """coth t - 1/t, t >= 0."""
    safe = np.where(t < 0.05, 1.0, t)
    return np.where(t < 0.05, t / 3 - t**3 / 45 + 2 * t**5 / 945, 1 / np.tanh(safe) - 1 / safe)


def _langevin_slope(t: FloatArray) -> FloatArray:
    """1/t² - 1/sinh² t, t >= 0."""
    safe = np.clip(np.where(t < 0.05, 1.0, t), None, 300.0)
    exact = np.where(t < 300.0, 1 / safe**2 - 1 / np.sinh(safe) ** 2, 1 / np.maximum(t, 1.0) ** 2)
    return np.where(t < 0.05, 1 / 3 - t**2 / 15 + 2 * t**4 / 189, exact)
