"""Confidence intervals: of a probability, of a mean, and of any statistic by resampling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv
from scipy.stats import bootstrap

from sslth.errors import InvalidInputError

__all__ = ["bootstrap_interval", "clopper_pearson", "hoeffding"]

FloatArray = npt.NDArray[np.float64]


def clopper_pearson(hits: int, repetitions: int, confidence: float) -> tuple[float, float]:
    """Return the exact two-sided interval of a probability that was hit `hits` times in `repetitions` draws.

    Its coverage is at least `confidence` for every probability [ClopperPearson1934]_. Cost O(1).

    Raises
    ------
    InvalidInputError
        Unless 0 <= hits <= repetitions, repetitions >= 1 and 0 < confidence < 1.

    References
    ----------
    .. [ClopperPearson1934] C. J. Clopper, E. S. Pearson, "The use of confidence or fiducial limits illustrated in the
       case of the binomial", Biometrika 26 (1934), doi:10.1093/biomet/26.4.404.

    Examples
    --------
    >>> low, high = clopper_pearson(0, 100, 0.99)
    >>> low, round(high, 4)
    (0.0, 0.0516)
    """
    _check(repetitions, confidence)
    if not 0 <= hits <= repetitions:
        raise InvalidInputError(f"{hits} hits in {repetitions} repetitions is no frequency")
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if hits == 0 else float(betaincinv(hits, repetitions - hits + 1, tail))
    high = 1.0 if hits == repetitions else float(betaincinv(hits + 1, repetitions - hits, 1.0 - tail))
    return low, high


def hoeffding(values: npt.ArrayLike, smallest: float, largest: float, confidence: float) -> tuple[float, float]:
    """Return an interval of the mean of independent values that lie in [smallest, largest].

    It holds for every distribution on that range [Hoeffding1963]_, and is wider than a bootstrap interval. Cost O(m).

    Raises
    ------
    InvalidInputError
        If there are no values, or one lies outside the range.

    References
    ----------
    .. [Hoeffding1963] W. Hoeffding, "Probability inequalities for sums of bounded random variables", Journal of the
       American Statistical Association 58 (1963), doi:10.1080/01621459.1963.10500830.

    Examples
    --------
    >>> low, high = hoeffding([0.0, 1.0] * 500, 0.0, 1.0, 0.99)
    >>> round(low, 3), round(high, 3)
    (0.449, 0.551)
    """
    x = np.asarray(values, dtype=np.float64)
    _check(x.size, confidence)
    if not ((x >= smallest) & (x <= largest)).all():
        raise InvalidInputError(f"values from {x.min():.6g} to {x.max():.6g} leave [{smallest:.6g}, {largest:.6g}]")
    half = (largest - smallest) * float(np.sqrt(np.log(2.0 / (1.0 - confidence)) / (2.0 * x.size)))
    mean = float(x.mean())
    return max(smallest, mean - half), min(largest, mean + half)


def bootstrap_interval(
    sample: npt.ArrayLike,
    statistic: Callable[[FloatArray], float],
    confidence: float,
    rng: np.random.Generator,
    resamples: int = 2000,
) -> tuple[float, float]:
    """Return the bias-corrected and accelerated bootstrap interval of a statistic of independent values [Efron1987]_.

    Its coverage is only approximately `confidence`, and worse the fewer values there are. A statistic that does not
    vary over the resamples gives an interval of length 0. Cost O(resamples) calls of `statistic`.

    Parameters
    ----------
    sample : float64[m]
        At least two values.
    statistic : callable
        Takes float64[m], returns a number.

    References
    ----------
    .. [Efron1987] B. Efron, "Better bootstrap confidence intervals", Journal of the American Statistical Association 82
       (1987), doi:10.1080/01621459.1987.10478410.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> low, high = bootstrap_interval(rng.normal(size=400), np.mean, 0.99, rng)
    >>> -0.25 < low < high < 0.25
    True
    """
    x = np.asarray(sample, dtype=np.float64)
    _check(x.size, confidence)
    if x.ndim != 1 or x.size < 2:
        raise InvalidInputError(f"a bootstrap needs a list of at least 2 values, not one of shape {x.shape}")
    at = float(statistic(x))
    if (x == x[0]).all():
        return at, at
    found = bootstrap(
        (x,), statistic, n_resamples=resamples, confidence_level=confidence, vectorized=False, method="BCa", rng=rng
    ).confidence_interval
    low, high = float(found.low), float(found.high)
    return (at, at) if np.isnan(low) or np.isnan(high) else (min(low, at), max(high, at))


def _check(repetitions: int, confidence: float) -> None:
    if repetitions < 1:
        raise InvalidInputError(f"an interval needs at least one repetition, not {repetitions}")
    if not 0.0 < confidence < 1.0:
        raise InvalidInputError(f"confidence must lie strictly between 0 and 1, not {confidence}")
