"""Which pairs of subsets there are: how many rows they share, how many each has alone, and how often that happens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

__all__ = ["PairTerms", "log_sum"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PairTerms:
    """The sizes of one random subset and the overlaps of two independent ones.

    Attributes
    ----------
    sizes, log_size_share : int64[s], float64[s]
        Of one subset, and log of the share of the subsets that have it.
    shared, first, second : int64[t]
        Rows in both subsets, in the first alone and in the second alone; first >= second.
    log_share : float64[t]
        Log of the share of all ordered pairs; where first > second it counts both orders.
    log_subsets : float
        Log of the number of subsets.
    """

    sizes: IntArray
    log_size_share: FloatArray
    shared: IntArray
    first: IntArray
    second: IntArray
    log_share: FloatArray
    log_subsets: float

    @classmethod
    def of(cls, n: int, k: int | None) -> PairTerms:
        """Return the terms for all k-subsets of n rows, or for all 2^n subsets; O(k), or O(n³)."""
        if k is not None:
            shared = np.arange(max(0, 2 * k - n), k + 1)
            own = k - shared
            log_all = _log_binomial(n, np.array([k]))
            log_share = _log_binomial(k, shared) + _log_binomial(n - k, own) - log_all[0]
            return cls(np.array([k]), np.zeros(1), shared, own, own, log_share, float(log_all[0]))
        sizes = np.arange(n + 1)
        shared, first, second = (x.ravel() for x in np.meshgrid(sizes, sizes, sizes, indexing="ij"))
        kept = (shared + first + second <= n) & (first >= second)
        shared, first, second = shared[kept], first[kept], second[kept]
        log_share = gammaln(n + 1.0) - gammaln(n + 1.0 - shared - first - second)
        for part in (shared, first, second):
            log_share -= gammaln(part + 1.0)
        log_share += np.where(first > second, np.log(2.0), 0.0) - 2 * n * np.log(2.0)
        log_size_share = _log_binomial(n, sizes) - n * np.log(2.0)
        return cls(sizes, log_size_share, shared, first, second, log_share, n * float(np.log(2.0)))


def log_sum(logs: FloatArray) -> float:
    """Return log of the sum of exp(logs); -inf for none."""
    largest = float(logs.max(initial=-np.inf))
    return largest if not np.isfinite(largest) else largest + float(np.log(np.exp(logs - largest).sum()))


def _log_binomial(n: int, k: IntArray) -> FloatArray:
    result: FloatArray = gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)
    return result
