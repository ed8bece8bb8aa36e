"""Overlaps of all rows with a residual from one byte an entry, and how far off they can be.

A row y is stored as whole numbers c of at most 127 and a step s, so that y = s c but for at most s/2 an entry, or
e = s sqrt(d) / 2 in length. A residual r is rounded to whole numbers q and a step t for each pass. Then y . r =
s t (c . q) within e |r| + (|y| + e) |r - t q|. Sums of whole numbers are exact in any order, and a pass reads an eighth
of the bytes of the rows.
"""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.jit import njit
from sslth.subset_sum.kernels.pursuit import dot

__all__ = ["best_row", "likely_changes", "rounded_rows", "rounded_vector"]

_LARGEST = 127.0
_SUMS = 2.0**31 - 1.0  # of 32 bits
_SMALLEST = 1e-300  # below, steps would have no inverse
_SLACK = 1.0 + 1e-6  # lengths are rounded
_BLOCK = 256  # rows whose sums stay in the first-level cache
_ROUNDING = 1e-9  # relative, far above what float64 sums over a row lose


@njit
def rounded_rows(rows, codes, steps):
    """Rows float64[n, d] as codes int8[n, d] and steps float64[n]."""
    for i in range(rows.shape[0]):
        y, code = rows[i], codes[i]
        largest = 0.0
        for j in range(y.size):
            size = abs(y[j])
            if size > largest:
                largest = size
        inverse = _LARGEST / largest if largest > _SMALLEST else 0.0
        for j in range(y.size):
            code[j] = np.int8(np.rint(y[j] * inverse))
        steps[i] = largest / _LARGEST if largest > _SMALLEST else 2.0 * largest


@njit
def rounded_vector(vector, code):
    """float64[d] as code int16[d], so small that its sum with codes of rows fits 32 bits; (step, loss)."""
    d = vector.size
    most = min(32767.0, np.floor(_SUMS / (_LARGEST * d)))
    largest = 0.0
    for j in range(d):
        largest = max(largest, abs(vector[j]))
    inverse = most / largest if largest > _SMALLEST else 0.0
    step = largest / most if largest > _SMALLEST else 0.0
    lost = 0.0
    for j in range(d):
        code[j] = np.int16(np.rint(vector[j] * inverse))
        gap = vector[j] - step * np.float64(code[j])
        lost += gap * gap
    return step, np.sqrt(lost)


@njit
def code_dots(codes, vector, sums):
    """Inner products of int8[m, d] with int16[d], in int32[m]."""
    for i in range(codes.shape[0]):
        code = codes[i]
        total = np.int32(0)
        for j in range(vector.size):
            total += np.int32(code[j]) * np.int32(vector[j])
        sums[i] = total


@njit
def best_row(rows, order, lengths, codes, steps, residual, keep, may_add, may_remove, within):
    """The row whose flip changes |residual|^2 least (most negatively), that change, and how many rows were scored.

    Rows float64[n, d]; in the order of their lengths float64[n] (order int64[n]): codes and steps as `rounded_rows`
    writes them. A row is measured in float64 where its codes cannot exclude it, so that the answer is that of measuring
    all. Rows that cannot bring |residual| below `within` are passed over: by the triangle inequality
    | |residual| - |row| | is less than it. (-1, inf, ...) if no row may; of equal rows the first. O(n d).
    """
    size = np.sqrt(dot(residual, residual))
    first = np.searchsorted(lengths, (size - within) / _SLACK)
    last = max(first, np.searchsorted(lengths, (size + within) * _SLACK, side="right"))
    vector, sums = np.empty(residual.size, dtype=np.int16), np.empty(_BLOCK, dtype=np.int32)
    unit, lost = rounded_vector(residual, vector)
    half = 0.5 * np.sqrt(np.float64(residual.size))
    best, best_change = -1, np.inf
    for start in range(first, last, _BLOCK):
        stop = min(last, start + _BLOCK)
        code_dots(codes[start:stop], vector, sums)
        for place in range(start, stop):
            i = order[place]
            sign = 1.0 if keep[i] else -1.0
            length, loss = lengths[place], half * steps[place]
            overlap = unit * steps[place] * np.float64(sums[place - start])
            off = loss * size + (length + loss) * lost
            least = length * length + 2.0 * (sign * overlap - off) - _ROUNDING * length * (length + size)
            if least <= best_change and (may_remove if keep[i] else may_add):
                y = rows[i]
                change = dot(y, y) + 2.0 * sign * dot(residual, y)
                if change < best_change or (change == best_change and i < best):
                    best, best_change = i, change
    return best, best_change, last - first


@njit
def likely_changes(codes, steps, lengths, residuals, shrink, spread, changes):
    """What |residual|^2 may change by, some steps from now, if a row is added to the subset that it suits best.

    By then a residual will have shrunk to `shrink` of itself and turned: an overlap may be `spread` |row| |residual|
    larger than that. Rows in the order of their lengths, as in `best_row`; residuals float64[s, d]; changes
    float32[n], written: above 0 for rows longer than twice every residual, which can never help. Returns the largest
    cosine of a row and a residual, but for what the codes have lost. O(s n d).
    """
    vector, sums = np.empty(residuals.shape[1], dtype=np.int16), np.empty(_BLOCK, dtype=np.int32)
    largest = np.float32(0.0)
    for start in range(0, changes.size, _BLOCK):
        stop = min(changes.size, start + _BLOCK)
        changes[start:stop] = np.inf
        for t in range(residuals.shape[0]):
            step, _ = rounded_vector(residuals[t], vector)
            length = np.sqrt(dot(residuals[t], residuals[t]))
            code_dots(codes[start:stop], vector, sums)
            towards, anywhere = np.float32(2.0 * shrink * step), np.float32(2.0 * spread * length)
            unit, size = np.float32(step), np.float32(length)
            for place in range(start, stop):
                row = np.float32(lengths[place])
                overlap = np.float32(steps[place]) * np.float32(sums[place - start])
                change = row * row - towards * overlap - anywhere * row
                if change < changes[place]:
                    changes[place] = change
                if unit * overlap > largest * size * row:
                    largest = unit * overlap / (size * row)
    return largest
