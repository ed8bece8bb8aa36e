"""Number partitioning: signs that make a sum small, the optimum of many lists at once and the differencing method."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.solve_many import solve_many

__all__ = ["as_integers", "draw_numbers", "karmarkar_karp", "log_of", "optima"]

FloatArray = npt.NDArray[np.float64]

_BITS = 53


def draw_numbers(n: int, bits: int, rng: np.random.Generator) -> list[int]:
    """Return n integers that are independent and uniform on [0, 2^bits), `bits` a multiple of 32. O(n bits)."""
    words = rng.integers(0, 1 << 32, size=(n, bits // 32), dtype=np.uint32)
    return [int.from_bytes(row.astype("<u4").tobytes(), "little") for row in words]


def optima(numbers: FloatArray) -> FloatArray:
    """Return the smallest |±x_1 ± … ± x_n| of each list, proved by exact search.

    Signs and subsets are one: the sum of a subset minus half the sum of all is half the signed sum, so this is a random
    subset sum with half the sum as target. That half is rounded to a float: errors of the result up to 2^-52 · Σ|x|.

    Parameters
    ----------
    numbers : float64[m, n]
        n up to 40.

    Returns
    -------
    float64[m]

    Examples
    --------
    >>> optima(np.array([[8.0, 7.0, 6.0, 5.0, 4.0], [1.0, 1.0, 1.0, 0.0, 0.0]])).tolist()
    [0.0, 1.0]
    """
    targets = numbers.sum(axis=1, keepdims=True) / 2
    result: FloatArray = 2.0 * solve_many(numbers[:, :, None], targets, time_limit=None).errors
    return result


def karmarkar_karp(numbers: Iterable[int]) -> int:
    """Return the signed sum that the differencing method [KarmarkarKarp1982]_ ends with.

    The two largest numbers are replaced by their difference until one is left. The solver `differencing` does the same
    to samples that are floats; theirs end at 53 bits, and from n near 1,000 on the result is smaller than that. Here
    integers are as long as they need to be. O(n log n) operations on them.

    References
    ----------
    .. [KarmarkarKarp1982] N. Karmarkar, R. M. Karp, "The differencing method of set partitioning", Report UCB/CSD
       82/113, University of California, Berkeley, 1982.

    Examples
    --------
    >>> karmarkar_karp([8, 7, 6, 5, 4])  # the optimum is 0: 8 + 7 = 6 + 5 + 4
    2
    """
    heap = [-number for number in numbers]  # a heap of Python has its smallest number in front
    heapq.heapify(heap)
    while len(heap) > 1:
        largest = heapq.heappop(heap)
        heapq.heapreplace(heap, largest - heap[0])
    return -heap[0] if heap else 0


def log_of(number: int, bits: int) -> float:
    """Return the natural logarithm of number / 2^bits; of 0 that of half a step, which no shorter number can tell.

    Examples
    --------
    >>> round(log_of(1 << 95, 96), 12)
    -0.69314718056
    """
    return (math.log(number) if number else -math.log(2.0)) - bits * math.log(2.0)


def as_integers(numbers: FloatArray) -> list[int]:
    """Return floats of [0, 1) that are multiples of 2^-53, as NumPy draws them, in steps of that."""
    return [int(number) for number in np.ldexp(numbers, _BITS)]
