"""All sums of exactly k of n numbers, and how far a point may be from the nearest of them."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import numpy.typing as npt

from sslth.errors import InvalidInputError

__all__ = ["covering_radius", "sums_of_size"]

FloatArray = npt.NDArray[np.float64]

_MOST_SUMS = 20_000_000  # 160 MB


def sums_of_size(samples: npt.ArrayLike, k: int) -> FloatArray:
    """Return the sums of all k-subsets of the samples, sorted: float64[C(n, k)].

    Each is a sum of two partial sums, so within k roundings of the exact one. Cost O(C(n, k) log C(n, k)).

    Raises
    ------
    InvalidInputError
        If 0 <= k <= n does not hold, or there are more than 20 million k-subsets.

    Examples
    --------
    >>> sums_of_size([1.0, 2.0, 4.0], 2).tolist()
    [3.0, 5.0, 6.0]
    """
    x = np.asarray(samples, dtype=np.float64).ravel()
    if not 0 <= k <= x.size:
        raise InvalidInputError(f"there are no subsets of {k} of {x.size} samples")
    if math.comb(x.size, k) > _MOST_SUMS:
        raise InvalidInputError(f"{math.comb(x.size, k):.2g} sums of {k} of {x.size} samples are too many to list")
    first, second = (_by_size(half, k) for half in (x[: x.size // 2], x[x.size // 2 :]))
    parts = [
        np.add.outer(first[size], second[k - size]).ravel()
        for size in range(k + 1)
        if size in first and k - size in second
    ]
    return np.sort(np.concatenate(parts))


def covering_radius(sums: npt.ArrayLike, reach: float) -> float:
    """Return the largest distance of a point of [-reach, reach] to the nearest of the sorted sums, at least one.

    Cost O(m).

    Examples
    --------
    >>> covering_radius([-1.0, 0.0, 0.5], 1.0), covering_radius([5.0], 1.0)
    (0.5, 6.0)
    """
    x = np.asarray(sums, dtype=np.float64)
    left, right = np.searchsorted(x, [-reach, reach])
    near = x[max(0, left - 1) : right + 1]
    # the farthest points are the ends, and the middles between neighbours as far as they lie inside
    middles = (near[:-1] + near[1:]) / 2
    inside = np.abs(middles) <= reach
    gaps = (np.diff(near) / 2)[inside]
    ends = [np.abs(near - end).min() for end in (-reach, reach)]
    return float(max(*ends, gaps.max(initial=0.0)))


def _by_size(x: FloatArray, k: int) -> dict[int, FloatArray]:
    """The sums of every size up to k."""
    sums = {0: np.zeros(1)}
    for size in range(1, min(k, x.size) + 1):
        sums[size] = x[np.array(list(combinations(range(x.size), size)))].sum(axis=1)
    return sums
