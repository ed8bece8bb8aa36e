"""Sign pursuit over one tile of rows that is then forgotten: float32 rows, an exact float64 residual."""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.jit import njit

__all__ = ["add_rows", "sign_tile"]


@njit
def add_rows(rows, weights, total):
    """total += weights @ rows in float64, a fixed order; rows float32[k, d], weights float64[k], total float64[d].

    Eight rows at a time, so that the total is read and written once for eight.
    """
    whole = rows.shape[0] - rows.shape[0] % 8
    for k in range(0, whole, 8):
        r0, r1, r2, r3 = rows[k], rows[k + 1], rows[k + 2], rows[k + 3]
        r4, r5, r6, r7 = rows[k + 4], rows[k + 5], rows[k + 6], rows[k + 7]
        w0, w1, w2, w3 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        w4, w5, w6, w7 = weights[k + 4], weights[k + 5], weights[k + 6], weights[k + 7]
        for j in range(total.size):
            low = (r0[j] * w0 + r1[j] * w1) + (r2[j] * w2 + r3[j] * w3)
            high = (r4[j] * w4 + r5[j] * w5) + (r6[j] * w6 + r7[j] * w7)
            total[j] += low + high
    for k in range(whole, rows.shape[0]):
        row, weight = rows[k], weights[k]
        for j in range(total.size):
            total[j] += weight * row[j]


@njit
def _overlap(x, y):
    """Inner product of two float32 vectors over sixteen fixed lanes."""
    a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = np.float32(0)
    b0 = b1 = b2 = b3 = b4 = b5 = b6 = b7 = rest = np.float32(0)
    whole = x.size - x.size % 16
    for j in range(0, whole, 16):
        a0 += x[j] * y[j]
        a1 += x[j + 1] * y[j + 1]
        a2 += x[j + 2] * y[j + 2]
        a3 += x[j + 3] * y[j + 3]
        a4 += x[j + 4] * y[j + 4]
        a5 += x[j + 5] * y[j + 5]
        a6 += x[j + 6] * y[j + 6]
        a7 += x[j + 7] * y[j + 7]
        b0 += x[j + 8] * y[j + 8]
        b1 += x[j + 9] * y[j + 9]
        b2 += x[j + 10] * y[j + 10]
        b3 += x[j + 11] * y[j + 11]
        b4 += x[j + 12] * y[j + 12]
        b5 += x[j + 13] * y[j + 13]
        b6 += x[j + 14] * y[j + 14]
        b7 += x[j + 15] * y[j + 15]
    for j in range(whole, x.size):
        rest += x[j] * y[j]
    low = ((a0 + a4) + (a1 + a5)) + ((a2 + a6) + (a3 + a7))
    high = ((b0 + b4) + (b1 + b5)) + ((b2 + b6) + (b3 + b7))
    return (low + high) + rest


@njit
def sign_tile(rows, scales, residual, keep, weights, total):
    """Decide the rows scales[i] * rows[i] of a tile, from large to small; take the kept ones off the residual.

    rows float32[k, d]; scales float64[k], positive; residual float64[d], in place, the target less what is kept and
    less half of undecided rows elsewhere; keep bool[k], written. Each row adds or takes half of itself, by the sign of
    its overlap with what is left: that is followed in float32, while the residual is summed anew in float64, where
    products of two float32 numbers are exact. Workspace weights float64[k], total float64[d]. O(k d).
    """
    k, d = rows.shape
    for i in range(k):
        weights[i] = 0.5 * scales[i]
    total[:] = 0.0
    add_rows(rows, weights, total)
    left = np.empty(d, dtype=np.float32)
    for j in range(d):
        left[j] = residual[j] - total[j]
    for i in range(k):
        row = rows[i]
        keep[i] = _overlap(left, row) > np.float32(0)
        step = np.float32(-weights[i] if keep[i] else weights[i])
        weights[i] = -scales[i] if keep[i] else 0.0
        for j in range(d):
            left[j] += step * row[j]
    total[:] = 0.0
    add_rows(rows, weights, total)
    for j in range(d):
        residual[j] += total[j]
