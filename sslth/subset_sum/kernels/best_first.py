"""Best-first pursuit: of all rows, flip the one that lowers the residual most; and swaps that keep the count."""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.jit import njit
from sslth.subset_sum.kernels.pursuit import dot

__all__ = ["best_flips", "improving_swaps"]


@njit
def best_row(rows, norms, residual, keep, may_add, may_remove):
    """The row whose flip changes |residual|^2 least (most negatively), and that change; (-1, inf) if none may."""
    best, best_change = -1, np.inf
    for i in range(rows.shape[0]):
        if keep[i]:
            if not may_remove:
                continue
            change = norms[i] + 2.0 * np.float64(dot(residual, rows[i]))
        else:
            if not may_add:
                continue
            change = norms[i] - 2.0 * np.float64(dot(residual, rows[i]))
        if change < best_change:
            best, best_change = i, change
    return best, best_change


@njit
def flip(exact_rows, residual, rounded, keep, row):
    """Flip one row; residual float64[d] and its float32 copy `rounded` are changed in place."""
    sign = 1.0 if keep[row] else -1.0
    keep[row] = not keep[row]
    for j in range(residual.size):
        residual[j] += sign * exact_rows[row, j]
        rounded[j] = residual[j]


@njit
def best_flips(exact_rows, rows, norms, residual, rounded, keep, count, smallest, largest, steps):
    """Up to `steps` best-first steps; returns (count, steps taken, whether no step is left).

    exact_rows float64[n, d] update the residual float64[d]; rows float32[n, d] score it. While fewer than
    `smallest` rows are kept every step adds one, while more than `largest` every step removes one; otherwise a
    step must lower |residual|. keep bool[n] and residual change in place. O(steps n d).
    """
    for step in range(steps):
        before = dot(residual, residual)
        forced = count < smallest or count > largest
        row, change = best_row(
            rows, norms, rounded, keep, count < largest, count > largest or (count > smallest and not forced)
        )
        if row < 0 or (not forced and change >= -1e-7 * before):
            return count, step, True
        flip(exact_rows, residual, rounded, keep, row)
        if not forced and dot(residual, residual) >= before:  # float32 scores saw a gain that is not there
            flip(exact_rows, residual, rounded, keep, row)
            return count, step + 1, True
        count += 1 if keep[row] else -1
    return count, steps, False


@njit
def improving_swaps(exact_rows, rows, norms, residual, rounded, keep, candidates):
    """For each kept row of `candidates`: take it out, put the best row in, unless that raises |residual|.

    Arrays as in `best_flips`; candidates int64[c]. Returns the number of swaps. O(c n d).
    """
    swaps = 0
    for row in candidates:
        if not keep[row]:
            continue
        before = dot(residual, residual)
        flip(exact_rows, residual, rounded, keep, row)
        keep[row] = True  # not a candidate for coming back
        other, _ = best_row(rows, norms, rounded, keep, True, False)
        keep[row] = False
        if other >= 0:
            flip(exact_rows, residual, rounded, keep, other)
            if dot(residual, residual) < before:
                swaps += 1
                continue
            flip(exact_rows, residual, rounded, keep, other)
        flip(exact_rows, residual, rounded, keep, row)
    return swaps
