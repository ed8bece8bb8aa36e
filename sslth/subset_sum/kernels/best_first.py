"""Best-first pursuit: of all rows, flip the one that lowers the residual most; and swaps that keep the count."""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.coarse import best_row
from sslth.subset_sum.kernels.jit import njit
from sslth.subset_sum.kernels.pursuit import dot

__all__ = ["best_flips", "improving_swaps"]


@njit
def flip(rows, residual, keep, row):
    """Flip one row; residual float64[d] and keep bool[n] change in place."""
    sign = 1.0 if keep[row] else -1.0
    keep[row] = not keep[row]
    for j in range(residual.size):
        residual[j] += sign * rows[row, j]


@njit
def best_flips(rows, order, lengths, codes, steps, residual, keep, count, smallest, largest, most_steps, most_work):
    """Up to `most_steps` best-first steps; returns (count, steps taken, whether no step is left, rows scored).

    Rows and their codes as in `best_row`. While fewer than `smallest` rows are kept every step adds one, while more
    than `largest` every step removes one; otherwise a step must lower |residual|. keep bool[n] and residual float64[d]
    change in place. O(most_steps n d); stops after a step once `most_work` rows are scored.
    """
    work = 0
    for step in range(most_steps):
        if work >= most_work:
            return count, step, False, work
        before = dot(residual, residual)
        forced = count < smallest or count > largest
        row, change, scored = best_row(
            rows,
            order,
            lengths,
            codes,
            steps,
            residual,
            keep,
            count < largest,
            count > largest or (count > smallest and not forced),
            np.inf if forced else np.sqrt(before),
        )
        work += scored
        if row < 0 or (not forced and change >= -1e-7 * before):
            return count, step, True, work
        flip(rows, residual, keep, row)
        if not forced and dot(residual, residual) >= before:  # a gain that rounding only has seen
            flip(rows, residual, keep, row)
            return count, step + 1, True, work
        count += 1 if keep[row] else -1
    return count, most_steps, False, work


@njit
def improving_swaps(rows, order, lengths, codes, steps, residual, keep, candidates, most_work, cosine):
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
        flip(rows, residual, keep, row)
        if before < dot(residual, residual) * (1.0 - cosine * cosine):
            flip(rows, residual, keep, row)
            continue
        keep[row] = True  # not a candidate for coming back
        other, _, scored = best_row(rows, order, lengths, codes, steps, residual, keep, True, False, np.sqrt(before))
        work += scored
        keep[row] = False
        if other >= 0:
            flip(rows, residual, keep, other)
            if dot(residual, residual) < before:
                swaps += 1
                continue
            flip(rows, residual, keep, other)
        flip(rows, residual, keep, row)
    return swaps, tried, work
