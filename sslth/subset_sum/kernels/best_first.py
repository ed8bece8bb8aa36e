"""Best-first pursuit: of all rows, flip the one that lowers the residual most; and swaps that keep the count.

By the triangle inequality |r - y| < b needs | |r| - |y| | < b, so that with rows in the order of their lengths only a
window of them has to be scored.
"""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.jit import njit
from sslth.subset_sum.kernels.pursuit import dot

__all__ = ["best_flips", "improving_swaps"]

_SLACK = 1.0 + 1e-6  # lengths are rounded


@njit
def best_row(rows, norms, order, lengths, residual, keep, may_add, may_remove, within):
    """The row whose flip changes |residual|^2 least (most negatively), that change, and how many rows were scored.

    Rows that cannot bring |residual| below `within` are passed over; (-1, inf, ...) if no row may. order int64[n] sorts
    the rows by their lengths float64[n]; of equal rows the first is taken.
    """
    size = np.sqrt(np.float64(dot(residual, residual)))
    start = np.searchsorted(lengths, (size - within) / _SLACK)
    stop = np.searchsorted(lengths, (size + within) * _SLACK, side="right")
    best, best_change = -1, np.inf
    for place in range(start, stop):
        i = order[place]
        if keep[i]:
            if not may_remove:
                continue
            change = norms[i] + 2.0 * np.float64(dot(residual, rows[i]))
        else:
            if not may_add:
                continue
            change = norms[i] - 2.0 * np.float64(dot(residual, rows[i]))
        if change < best_change or (change == best_change and i < best):
            best, best_change = i, change
    return best, best_change, max(0, stop - start)


@njit
def flip(exact_rows, residual, rounded, keep, row):
    """Flip one row; residual float64[d] and its float32 copy `rounded` are changed in place."""
    sign = 1.0 if keep[row] else -1.0
    keep[row] = not keep[row]
    for j in range(residual.size):
        residual[j] += sign * exact_rows[row, j]
        rounded[j] = residual[j]


@njit
def best_flips(
    exact_rows, rows, norms, order, lengths, residual, rounded, keep, count, smallest, largest, steps, most_work
):
    """Up to `steps` best-first steps; returns (count, steps taken, whether no step is left, rows scored).

    exact_rows float64[n, d] update the residual float64[d]; rows float32[n, d] score it; order and lengths as in
    `best_row`. While fewer than `smallest` rows are kept every step adds one, while more than `largest` every step
    removes one; otherwise a step must lower |residual|. keep bool[n] and residual change in place. O(steps n d); stops
    after a step once `most_work` rows are scored.
    """
    work = 0
    for step in range(steps):
        if work >= most_work:
            return count, step, False, work
        before = dot(residual, residual)
        forced = count < smallest or count > largest
        row, change, scored = best_row(
            rows,
            norms,
            order,
            lengths,
            rounded,
            keep,
            count < largest,
            count > largest or (count > smallest and not forced),
            np.inf if forced else np.sqrt(before),
        )
        work += scored
        if row < 0 or (not forced and change >= -1e-7 * before):
            return count, step, True, work
        flip(exact_rows, residual, rounded, keep, row)
        if not forced and dot(residual, residual) >= before:  # float32 scores saw a gain that is not there
            flip(exact_rows, residual, rounded, keep, row)
            return count, step + 1, True, work
        count += 1 if keep[row] else -1
    return count, steps, False, work


@njit
def improving_swaps(exact_rows, rows, norms, order, lengths, residual, rounded, keep, candidates, most_work, cosine):
    """For each kept row of `candidates`: take it out, put the best row in, unless that raises |residual|.

    Arrays as in `best_flips`; candidates int64[c]. No row is taken to have a larger `cosine` with a residual (1 is
    always true), so that a row whose loss no other could make good is passed over. Returns (swaps, candidates tried,
    rows scored): the last candidates are left out once `most_work` rows are scored. O(c n d).
    """
    swaps = work = tried = 0
    for row in candidates:
        if work >= most_work:
            break
        tried += 1
        if not keep[row]:
            continue
        before = dot(residual, residual)
        flip(exact_rows, residual, rounded, keep, row)
        if before < dot(residual, residual) * (1.0 - cosine * cosine):
            flip(exact_rows, residual, rounded, keep, row)
            continue
        keep[row] = True  # not a candidate for coming back
        other, _, scored = best_row(rows, norms, order, lengths, rounded, keep, True, False, np.sqrt(before))
        work += scored
        keep[row] = False
        if other >= 0:
            flip(exact_rows, residual, rounded, keep, other)
            if dot(residual, residual) < before:
                swaps += 1
                continue
            flip(exact_rows, residual, rounded, keep, other)
        flip(exact_rows, residual, rounded, keep, row)
    return swaps, tried, work
