"""The rows of a tail gathered, laid out and summed: each in one pass, without copies in between."""

from __future__ import annotations

from sslth.subset_sum.kernels.jit import njit

__all__ = ["gather_scaled", "lay_out", "take_signs_off", "take_weighted_off"]

_TURNED_AT_ONCE = 64  # rows: what they take stays in the cache


@njit
def gather_scaled(rows, order, factor, out):
    """out[i, :d] = factor * rows[order[i]]; float64[n, d] to float64[m, >= d]."""
    d = rows.shape[1]
    for i in range(order.size):
        source, place = rows[order[i]], out[i, :d]
        for j in range(d):
            place[j] = source[j] * factor


@njit
def take_signs_off(rows, order, signs, share, residual):
    """residual -= sum of (signs[i] - share) * rows[order[i]]; float64[n, d], bool[m], float64[d] in place."""
    for i in range(order.size):
        row = rows[order[i]]
        weight = share - 1.0 if signs[i] else share
        for j in range(residual.size):
            residual[j] += weight * row[j]


@njit
def take_weighted_off(rows, weights, residual):
    """residual -= weights @ rows; float64[m], float64[m, d], float64[d] in place. In the order of the rows."""
    for i in range(weights.size):
        row, weight = rows[i], weights[i]
        for j in range(residual.size):
            residual[j] -= weight * row[j]


@njit
def lay_out(source, rows, columns):
    """float64[m, d] as float32[m8, d8] and its transpose float32[d8, m8]; what is padded is left as it is."""
    m, d = source.shape
    for i in range(m):
        line, place = source[i], rows[i]
        for j in range(d):
            place[j] = line[j]
    for top in range(0, m, _TURNED_AT_ONCE):
        height = min(_TURNED_AT_ONCE, m - top)
        for j in range(d):
            place = columns[j, top : top + height]
            for i in range(height):
                place[i] = rows[top + i, j]
