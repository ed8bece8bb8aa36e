"""The power law error ≈ c·n^slope, fitted on log-log axes with an interval for the slope."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from sslth.errors import InvalidInputError

__all__ = ["PowerLaw", "fit_power_law"]

CONFIDENCE = 0.95
SATURATED = 0.1  # above this the errors of the layers do not just add up, and near 1 they level off


@dataclass(frozen=True)
class PowerLaw:
    """error ≈ exp(intercept) · width ** slope, for the widths from `smallest_width` to `largest_width`.

    Attributes
    ----------
    slope, intercept : float
        Of the natural logarithms.
    slope_interval : tuple of two floats
        95 % interval of the slope.
    smallest_width, largest_width : int
        The widths that were fitted.
    points : int
        How many errors were fitted.
    """

    slope: float
    intercept: float
    slope_interval: tuple[float, float]
    smallest_width: int
    largest_width: int
    points: int

    @property
    def half_interval(self) -> float:
        """Half the length of the interval of the slope."""
        return (self.slope_interval[1] - self.slope_interval[0]) / 2

    def error_at(self, widths: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The fitted error at the widths, float64 of their shape."""
        law: npt.NDArray[np.float64] = np.exp(
            self.intercept + self.slope * np.log(np.asarray(widths, dtype=np.float64))
        )
        return law


def fit_power_law(widths: npt.ArrayLike, errors: npt.ArrayLike, *, saturated: float = SATURATED) -> PowerLaw:
    """Return the least-squares line through all points (log width, log error), with a t-interval of its slope.

    All points are fitted, not the medians of each width: with equally many seeds a width that is the same line in
    the mean, and the spread over the seeds then counts in the interval. The smallest widths are left out as long as
    the median error there is above `saturated`, because a relative error levels off near 1; if fewer than three
    widths are left after that, all are fitted.

    Parameters
    ----------
    widths : int[m]
        One for each error; at least two different ones.
    errors : float64[m]
        Positive and finite; at least three.
    saturated : float
        `inf` fits all widths.

    Raises
    ------
    InvalidInputError
        If there are too few points, or an error is not positive and finite.

    Notes
    -----
    The interval holds if deviations from the line are independent and equally large on the log scale. A curve that
    is not straight makes it wider, but does not move it to the slope at infinity.

    Examples
    --------
    >>> law = fit_power_law([64, 128, 256, 512], [4e-2, 1e-2, 2.5e-3, 6.25e-4])
    >>> round(law.slope, 6), law.smallest_width
    (-2.0, 64)
    """
    n = np.asarray(widths, dtype=np.float64)
    e = np.asarray(errors, dtype=np.float64)
    if n.ndim != 1 or n.shape != e.shape:
        raise InvalidInputError(f"widths of shape {n.shape} and errors of shape {e.shape} are not two equal lists")
    if not (np.isfinite(n).all() and (n > 0).all() and np.isfinite(e).all() and (e > 0).all()):
        raise InvalidInputError("a power law needs widths and errors that are positive and finite")
    n, e = _unsaturated(n, e, saturated)
    if len(n) < 3 or len(np.unique(n)) < 2:
        raise InvalidInputError(
            f"a slope with its interval needs 3 points at 2 widths, not {len(n)} at {len(np.unique(n))}"
        )
    x, y = np.log(n), np.log(e)
    spread = x - x.mean()
    slope = float(spread @ y / (spread @ spread))
    intercept = float(y.mean() - slope * x.mean())
    residuals = y - (intercept + slope * x)
    freedom = len(x) - 2
    deviation = float(np.sqrt(residuals @ residuals / freedom / (spread @ spread)))
    half = float(stdtrit(freedom, 0.5 + CONFIDENCE / 2)) * deviation
    return PowerLaw(slope, intercept, (slope - half, slope + half), int(n.min()), int(n.max()), len(n))


def _unsaturated(
    n: npt.NDArray[np.float64], e: npt.NDArray[np.float64], saturated: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The points from the first width on whose median error is small enough for a power law."""
    every = np.unique(n)
    small = np.array([np.median(e[n == width]) <= saturated for width in every], dtype=bool)
    if not small.any() or (len(every) - int(small.argmax())) < 3:
        return n, e
    kept = n >= every[int(small.argmax())]
    return n[kept], e[kept]
