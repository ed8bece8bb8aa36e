"""The probability that a Gaussian vector lies in a cube around 0, by expectation propagation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["GaussianBox", "log_box"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GaussianBox:
    """log P(|G| <= ε in every coordinate) for G ~ N(mean, covariance), by expectation propagation.

    `rank` counts the directions with variance, `smallest` is a lower bound on any ε with a positive probability,
    `flat` the ε below which the density is constant over the box.
    """

    mean: FloatArray
    covariance: FloatArray
    rank: int
    smallest: float
    flat: float

    @classmethod
    def of(cls, mean: FloatArray, covariance: FloatArray) -> GaussianBox:
        values, vectors = np.linalg.eigh(covariance)
        rounding = values[-1] * values.size * 4.0 * np.finfo(float).eps
        alive = values > rounding
        off_span = vectors[:, ~alive].T @ mean
        distance = float(np.sqrt(off_span @ off_span))
        scale = math.sqrt(float(mean @ mean)) + math.sqrt(max(float(values[-1]), 0.0))
        consistent = distance <= 1e-12 * scale * values.size
        varying = np.diag(covariance) > rounding
        stuck = float(np.abs(mean[~varying]).max(initial=0.0))
        smallest = 0.0 if consistent else distance / math.sqrt(values.size)
        if stuck > 1e-13 * scale:
            smallest = max(smallest, stuck)
        flat = 1e-4 * math.sqrt(float(values[alive][0])) if consistent and alive.any() else 0.0
        return cls(mean[varying], covariance[np.ix_(varying, varying)], int(alive.sum()), smallest, flat)

    def log_probability(self, epsilon: float) -> float:
        if epsilon < self.smallest:
            return -math.inf
        if self.rank == 0:
            return 0.0
        if epsilon < self.flat:
            return log_box(self.mean, self.covariance, self.flat) + self.rank * math.log(epsilon / self.flat)
        return log_box(self.mean, self.covariance, epsilon)


def log_box(mean: FloatArray, covariance: FloatArray, epsilon: float) -> float:
    """log P(|G| <= ε in every coordinate), G ~ N(mean, covariance), positive variances; O(d³) a round.

    Every interval is replaced by a Gaussian factor ("site") of precision τ and mean m that leaves the first two
    moments right, each against all others. Precisions are used as in Rasmussen and Williams (2006), section 3.6,
    through B = 1 + √τ Σ √τ and, where τ is large, in the form that does not cancel.
    """
    d, variance = mean.size, np.diag(covariance)
    least = 1e-12 / variance
    tau = np.maximum(3.0 / epsilon**2, least) if epsilon < 1e150 else least.copy()
    shift = np.zeros(d)  # τ m
    log_z, damping = -math.inf, 1.0
    change = math.inf
    # sites of vanishing or infinite width: the box misses the span of a singular covariance
    for _ in range(60):
        root = np.sqrt(tau)
        try:
            triangle = np.linalg.cholesky(np.eye(d) + root[:, None] * covariance * root)
        except np.linalg.LinAlgError:
            return -math.inf
        inverse = np.linalg.inv(triangle)
        keep = np.einsum("ij,ij->j", inverse, inverse)  # the diagonal of B⁻¹
        w = shift / root - root * mean
        u = inverse.T @ (inverse @ w)
        wide = tau * variance < 1e-3
        reduced = inverse @ (root[:, None] * covariance)
        inner = variance - np.einsum("ij,ij->j", reduced, reduced)
        middle = mean + covariance @ (root * u)
        with np.errstate(divide="ignore", invalid="ignore"):
            cavity_variance = np.where(wide, inner / (1 - tau * inner), (1 - keep) / (tau * keep))
            cavity_mean = np.where(wide, (middle - inner * shift) / (1 - tau * inner), shift / tau - u / (root * keep))
        if not (cavity_variance > 0.0).all():
            return -math.inf
        log_mass, new_mean, new_variance = _interval_moments(cavity_mean, cavity_variance, epsilon)
        if not (new_variance > 0.0).all():
            return -math.inf
        gap = cavity_mean - shift / tau
        growth = 1 + tau * cavity_variance
        before, log_z = (
            log_z,
            float(
                (log_mass + 0.5 * np.log(growth) + 0.5 * tau * gap**2 / growth).sum()
                - np.log(np.diag(triangle)).sum()
                - 0.5 * (w @ u)
            ),
        )
        last, change = change, abs(log_z - before)
        if change <= 1e-8 * (1.0 + abs(log_z)):
            break
        if change > 0.9 * last:
            damping = max(0.2, 0.7 * damping)
        new_tau = np.maximum(1 / new_variance - 1 / cavity_variance, least)
        new_shift = new_mean / new_variance - cavity_mean / cavity_variance
        tau += damping * (new_tau - tau)
        shift += damping * (new_shift - shift)
    return min(log_z, 0.0)


_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(48)


def _interval_moments(
    mean: FloatArray, variance: FloatArray, epsilon: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Log mass, mean and variance of N(mean, variance) on [-ε, ε], by Gauss–Legendre where the density is not nil."""
    deviation = np.sqrt(variance)
    centre, half = -mean / deviation, epsilon / deviation
    mode = np.clip(0.0, centre - half, centre + half)
    reach = np.where(mode == 0.0, math.sqrt(80.0), 80.0 / (np.abs(mode) + np.sqrt(mode**2 + 80.0)))
    low = np.where(mode > 0.0, 0.0, np.maximum(np.where(mode < 0.0, -2 * half, centre - half), -reach))
    high = np.where(mode < 0.0, 0.0, np.minimum(np.where(mode > 0.0, 2 * half, centre + half), reach))
    length = (high - low) / 2
    s = (high + low)[:, None] / 2 + length[:, None] * _NODES  # measured from the mode
    density = np.exp(-s * (2 * mode[:, None] + s) / 2) * _NODE_WEIGHTS
    total = density.sum(axis=1)
    offset = (density * s).sum(axis=1) / total
    spread = (density * (s - offset[:, None]) ** 2).sum(axis=1) / total
    log_mass = np.log(total * length) - mode**2 / 2 - math.log(2 * math.pi) / 2
    side = np.where(mode > 0.0, -half, np.where(mode < 0.0, half, -centre))  # from the box's centre to the mode
    return log_mass, deviation * (side + offset), variance * spread
