"""What the subset sums of given numbers cover: all sums in order, how near they come to every target, and when."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sslth.errors import InvalidInputError
from sslth.theory.interval_unions import IntervalUnion

__all__ = ["coverage_time", "covered_length", "covering_radius", "subset_sums"]

FloatArray = npt.NDArray[np.float64]

_MOST = 26  # 2^26 sums are half a gigabyte


def subset_sums(samples: npt.ArrayLike) -> FloatArray:
    """Return the sums of all subsets of the samples in ascending order, the empty one included.

    Each number doubles the list: sorted sums and the same moved by it are merged. O(2^n) time and memory.

    Parameters
    ----------
    samples : float64[n]
        At most 26 numbers.

    Returns
    -------
    float64[2^n]

    Raises
    ------
    InvalidInputError
        If there are more samples, or one is not finite.

    Examples
    --------
    >>> subset_sums([1.0, -0.5]).tolist()
    [-0.5, 0.0, 0.5, 1.0]
    """
    x = _samples(samples)
    if x.size > _MOST:
        raise InvalidInputError(f"{x.size} samples have 2^{x.size} subset sums; take at most {_MOST} samples")
    sums = np.zeros(1)
    for value in x:
        sums = np.sort(np.concatenate([sums, sums + value]), kind="stable")  # two sorted runs: a merge
    return sums


def covering_radius(sums: npt.ArrayLike, low: float = -1.0, high: float = 1.0) -> float:
    """Return the smallest ε with which every z in [low, high] is within ε of one of the sums.

    The distance to the nearest sum is largest at an end of the range or half-way between two sums. O(number of sums).

    Parameters
    ----------
    sums : float64[m]
        In ascending order.

    Examples
    --------
    >>> covering_radius([-1.0, 0.0, 0.5, 3.0])
    0.5
    """
    s = np.asarray(sums, dtype=np.float64)
    middle = (s[1:] + s[:-1]) / 2
    inside = (middle >= low) & (middle <= high)
    largest = float(np.diff(s)[inside].max(initial=0.0)) / 2
    return max(largest, _distance(s, low), _distance(s, high))


def covered_length(sums: npt.ArrayLike, epsilon: float, low: float = -1.0, high: float = 1.0) -> float:
    """Return the length of the part of [low, high] that is within ε of one of the sums. O(m log m).

    Examples
    --------
    >>> covered_length([0.0, 1.0], 0.25)
    0.75
    """
    return IntervalUnion.around(sums, epsilon).clipped(low, high).length


def coverage_time(samples: npt.ArrayLike, epsilon: float, low: float = -1.0, high: float = 1.0) -> int | None:
    """Return the smallest t with which the first t samples have a subset sum within ε of every z in [low, high].

    None if all samples do not suffice. More samples never cover less, so that one call answers for every prefix. The
    2^t sums are never listed: what is within ε of them is a union of at most (range of the sums) / 2ε + 1 intervals,
    which one sample unites with itself moved. O(n m log m) for at most m intervals.

    Sums are rounded like any float64: a radius within 1e-13 of ε may count on either side.

    Examples
    --------
    >>> coverage_time([0.5, -0.5, 0.25, -0.75], 0.25)
    4
    >>> coverage_time([0.5, 0.25], 0.25) is None
    True
    """
    covered = IntervalUnion.around([0.0], epsilon)
    if covered.covers(low, high):
        return 0
    for time, value in enumerate(_samples(samples), start=1):
        covered = covered.grown(float(value))
        if covered.covers(low, high):
            return time
    return None


def _distance(sums: FloatArray, z: float) -> float:
    at = int(np.searchsorted(sums, z))
    return float(np.abs(sums[max(0, at - 1) : at + 1] - z).min())


def _samples(samples: npt.ArrayLike) -> FloatArray:
    x = np.asarray(samples, dtype=np.float64)
    if x.ndim != 1 or not np.isfinite(x).all():
        raise InvalidInputError(f"samples must be a list of finite numbers, not of shape {x.shape}")
    return x
