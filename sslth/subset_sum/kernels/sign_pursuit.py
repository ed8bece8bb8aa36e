"""Sign pursuit: each row is kept or dropped by the sign of its overlap with the residual, in one stream."""

from __future__ import annotations

from sslth.subset_sum.kernels.jit import njit

__all__ = ["sign_pass"]

_LINE = 8  # float64 entries in a cache line
_AHEAD = 3  # rows fetched before they are needed: the order jumps about, so the hardware cannot guess them


@njit
def sign_pass(rows, order, residual, keep, share, count, count_weight):
    """Decide the rows of `order` one after the other; undecided rows count `share` of themselves.

    residual float64[d] is the target minus what is kept minus share times what is undecided (in place); a row is kept
    iff that leaves the smaller |residual|^2 + count_weight * |row|^2 * count^2, where count is (rows kept) - share *
    (rows decided). With share 1/2 and no weight: keep iff <residual, row> > 0. Writes keep bool[n], returns the new
    count. O(len(order) d).
    """
    d = residual.size
    whole = d - d % 8
    last = order.size - 1
    with_norm = share != 0.5 or count_weight != 0.0
    for k in range(order.size):
        y = rows[order[k]]
        ahead = rows[order[min(k + _AHEAD, last)]]
        a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = rest = touched = 0.0
        b0 = b1 = b2 = b3 = b4 = b5 = b6 = b7 = 0.0
        for j in range(0, whole, _LINE):
            touched += ahead[j]
            a0 += residual[j] * y[j]
            a1 += residual[j + 1] * y[j + 1]
            a2 += residual[j + 2] * y[j + 2]
            a3 += residual[j + 3] * y[j + 3]
            a4 += residual[j + 4] * y[j + 4]
            a5 += residual[j + 5] * y[j + 5]
            a6 += residual[j + 6] * y[j + 6]
            a7 += residual[j + 7] * y[j + 7]
            if with_norm:
                b0 += y[j] * y[j]
                b1 += y[j + 1] * y[j + 1]
                b2 += y[j + 2] * y[j + 2]
                b3 += y[j + 3] * y[j + 3]
                b4 += y[j + 4] * y[j + 4]
                b5 += y[j + 5] * y[j + 5]
                b6 += y[j + 6] * y[j + 6]
                b7 += y[j + 7] * y[j + 7]
        norm = ((b0 + b4) + (b2 + b6)) + ((b1 + b5) + (b3 + b7))
        for j in range(whole, d):
            rest += residual[j] * y[j]
            norm += y[j] * y[j]
        overlap = ((a0 + a4) + (a2 + a6)) + ((a1 + a5) + (a3 + a7)) + rest
        gain = 2.0 * overlap - (1.0 - 2.0 * share) * norm - count_weight * norm * (2.0 * (count - share) + 1.0)
        kept = gain > 0.0
        keep[order[k]] = kept
        step = share - 1.0 if kept else share
        count -= step
        for j in range(d):
            residual[j] += step * y[j]
        residual[0] += 0.0 * touched  # changes nothing, but keeps the fetches from being optimised away
    return count
