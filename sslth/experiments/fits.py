"""Exponents fitted to measurements, with bootstrap intervals: of one size, and of several that act together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslth.errors import InvalidInputError

__all__ = ["Estimate", "WidthLaw", "fit_width_law", "half_width", "median_exponent"]

FloatArray = npt.NDArray[np.float64]
CONFIDENCE = 0.95
_LARGEST_ERROR = 0.1  # above it a relative error levels off and is no power of the width


@dataclass(frozen=True)
class Estimate:
    """A fitted number with the percentile interval of its bootstrap."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def half_width(smallest: npt.ArrayLike) -> float:
    """Return where the share of instances that need at most n rows crosses 1/2, interpolated between whole n; or 0.

    Parameters
    ----------
    smallest : float64[m]
        The fewest rows of each instance; inf where none was found.

    Raises
    ------
    InvalidInputError
        If there are no instances, or half of them need more rows than were tried.

    Examples
    --------
    >>> half_width([4, 5, 5, 6]), half_width([3, 4, 5, float("inf")])
    (4.5, 4.0)
    """
    values = np.sort(np.asarray(smallest, dtype=np.float64))
    if values.size == 0 or not math.isfinite(values[values.size // 2]):
        raise InvalidInputError("half of the instances need more rows than were tried; raise n_max")
    grid, counts = np.unique(values[np.isfinite(values)], return_counts=True)
    shares = np.cumsum(counts) / values.size
    at = int(np.searchsorted(shares, 0.5))
    if grid[at] <= 0.0:
        return 0.0
    before = (grid[at] - 1, shares[at - 1] if at else 0.0)  # the share stays between two whole n that occur
    return float(before[0] + (0.5 - before[1]) / (shares[at] - before[1]))


def median_exponent(
    smallest: Mapping[int, npt.ArrayLike],
    rng: np.random.Generator,
    resamples: int = 1000,
    reference: Mapping[int, float] | None = None,
) -> Estimate:
    """Return the slope of log(n with success 1/2) over log(d), bootstrapped over the instances of each d.

    Parameters
    ----------
    smallest : {d: float64[m]}
        As for `half_width`; at least two dimensions.
    reference : {d: float}, optional
        The medians are divided by these first: the slope is then how much faster they grow.

    Notes
    -----
    The interval is for the straight line through these d; it knows nothing of curvature, or of other d.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = median_exponent({d: 5.0 * d + rng.integers(-2, 3, 100) for d in (2, 4, 8)}, rng)
    >>> found.low < 1.0 < found.high
    True
    """
    dimensions = sorted(smallest)
    if len(dimensions) < 2:
        raise InvalidInputError(f"an exponent needs at least two dimensions, not {len(dimensions)}")
    x = np.log(np.array(dimensions, dtype=np.float64))
    shift = np.zeros(x.size) if reference is None else np.log([reference[d] for d in dimensions])
    samples = [np.asarray(smallest[d], dtype=np.float64) for d in dimensions]

    def slope(drawn: Sequence[FloatArray]) -> float:
        halves = [half_width(sample) for sample in drawn]
        if min(halves) <= 0.0:
            raise InvalidInputError("half of the instances need no rows at all; take a smaller epsilon or a larger d")
        y = np.log(halves) - shift
        return float((x - x.mean()) @ y / ((x - x.mean()) @ (x - x.mean())))

    value = slope(samples)
    return _estimate(value, [slope([rng.choice(sample, sample.size) for sample in samples]) for _ in range(resamples)])


@dataclass(frozen=True)
class WidthLaw:
    """error = exp(a) · Π factor^q · n^(-p), and so n = (exp(a) · Π factor^q / error)^(1/p).

    Attributes
    ----------
    names : tuple of str
        The factors that vary, in the order of the coefficients.
    coefficients : float64[2 + len(names)]
        a, -p, and the exponents q.
    resampled : float64[resamples, 2 + len(names)]
    points, curves : int
    fixed : dict of float
        Factors that had one value only.
    """

    names: tuple[str, ...]
    coefficients: FloatArray
    resampled: FloatArray
    points: int
    curves: int
    fixed: Mapping[str, float]

    def exponents(self) -> dict[str, Estimate]:
        """The powers of the needed width in each factor and in 1/error; "width" is that of the error in n."""
        found = {
            name: _estimate(-self.coefficients[2 + i] / self.coefficients[1], -self._column(2 + i) / self._column(1))
            for i, name in enumerate(self.names)
        }
        found["1/error"] = _estimate(-1.0 / self.coefficients[1], -1.0 / self._column(1))
        found["width"] = _estimate(self.coefficients[1], self._column(1))
        return found

    def width_for(self, error: float, factors: Mapping[str, float]) -> Estimate:
        """The width that the law asks for an error at these factors; beyond what was measured, an extrapolation."""
        x = np.log(np.array([factors[name] for name in self.names]))

        def width(c: FloatArray) -> FloatArray:
            result: FloatArray = np.exp((math.log(error) - c[..., 0] - c[..., 2:] @ x) / c[..., 1])
            return result

        return _estimate(float(width(self.coefficients)), width(self.resampled))

    def _column(self, index: int) -> FloatArray:
        return self.resampled[:, index]


def fit_width_law(
    points: Sequence[Mapping[str, float]],
    names: Sequence[str],
    curve: Sequence[str],
    rng: np.random.Generator,
    resamples: int = 1000,
) -> WidthLaw:
    """Return the law of errors as powers of the width and other sizes, least squares of logarithms.

    Parameters
    ----------
    points : sequence of mappings
        Each with "n", "error" and the keys below; errors above .1 or 0 are left out.
    names : sequence of str
        The factors; those that do not vary are left out of the fit.
    curve : sequence of str
        What tells curves apart. Points of one curve, whose widths nest, are resampled together.

    Raises
    ------
    InvalidInputError
        If there are fewer curves or points than coefficients ask for, or the factors cannot be told apart.
    """
    kept = [point for point in points if 0.0 < point["error"] <= _LARGEST_ERROR]
    varying = tuple(name for name in names if len({point[name] for point in kept}) > 1)
    fixed = {name: kept[0][name] for name in names if kept and name not in varying}
    keys = sorted({tuple(point[key] for key in curve) for point in kept})
    columns = [np.ones(len(kept)), *(np.log([p[name] for p in kept]) for name in ("n", *varying))]
    design, y = np.stack(columns, axis=1), np.log([point["error"] for point in kept])
    if len(keys) < design.shape[1] + 1 or np.linalg.matrix_rank(design) < design.shape[1]:
        raise InvalidInputError(
            f"{len(keys)} curves with errors up to {_LARGEST_ERROR} cannot tell {design.shape[1]} coefficients apart"
        )
    place = {key: index for index, key in enumerate(keys)}
    of_curve = np.array([place[tuple(point[key] for key in curve)] for point in kept])
    found = []
    for _ in range(10 * resamples):  # a resample may miss all values of a factor but one: those are drawn again
        weights = np.bincount(rng.integers(0, len(keys), len(keys)), minlength=len(keys))[of_curve]
        root = np.sqrt(weights)
        if np.linalg.matrix_rank(root[:, None] * design) == design.shape[1]:
            found.append(np.linalg.lstsq(root[:, None] * design, root * y, rcond=None)[0])
        if len(found) == resamples:
            break
    if len(found) < resamples:
        raise InvalidInputError(f"{len(keys)} curves are too few to resample; add repetitions")
    coefficients = np.linalg.lstsq(design, y, rcond=None)[0]
    return WidthLaw(varying, coefficients, np.array(found), len(kept), len(keys), fixed)


def _estimate(value: float, resampled: npt.ArrayLike) -> Estimate:
    low, high = np.quantile(np.asarray(resampled, dtype=np.float64), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(float(value), float(low), float(high))
