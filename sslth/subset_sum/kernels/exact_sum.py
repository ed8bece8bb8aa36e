"""Column sums in double-double arithmetic that know whether they are exact."""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.jit import njit

__all__ = ["add_rows_exactly", "add_scaled_rows_exactly", "settle", "sum_rows_minus_target"]


@njit
def sum_rows_minus_target(samples, subset, target, high, low, lost):
    """`sum(samples[subset]) - target` as high + low per column, |low| at most half a unit in the last place.

    samples float64[n, d]; subset int64[k]; target, high, low, lost float64[d], the last three written.
    `lost[j] == 0` says that high[j] + low[j] is the exact sum. O(k d), two branch-free TwoSums [Knuth] an entry.
    """
    for j in range(target.size):
        high[j] = -target[j]
        low[j] = 0.0
        lost[j] = 0.0
    add_rows_exactly(samples, subset, high, low, lost)
    settle(high, low)


@njit
def add_rows_exactly(samples, subset, high, low, lost):
    """Add rows to sums that `settle` has yet to round; arrays as in `sum_rows_minus_target`, all in place. O(k d)."""
    for i in subset:
        for j in range(high.size):
            high[j], low[j], lost[j] = _with_added(samples[i, j], high[j], low[j], lost[j])


@njit
def add_scaled_rows_exactly(factors, rows, subset, high, low, lost):
    """The same with rows times their factors, float32 both, whose products are exact."""
    for i in subset:
        factor = np.float64(factors[i])
        for j in range(high.size):
            high[j], low[j], lost[j] = _with_added(factor * np.float64(rows[i, j]), high[j], low[j], lost[j])


@njit
def _with_added(x, high, low, lost):
    """A sum with x added: two branch-free TwoSums."""
    total = high + x
    part = total - high
    cut = (high - (total - part)) + (x - part)
    tail = low + cut
    part = tail - low
    return total, tail, lost + abs((low - (tail - part)) + (cut - part))


@njit
def settle(high, low):
    """Make high + low the same numbers with |low| at most half a unit in the last place of high, in place."""
    for j in range(high.size):
        total = high[j] + low[j]
        part = total - high[j]
        low[j] = (high[j] - (total - part)) + (low[j] - part)
        high[j] = total
