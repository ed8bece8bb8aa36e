"""What the searches of many small instances share: the integer grid, sorted halves, exact errors."""

from __future__ import annotations

import math

import numpy as np

from sslth.subset_sum.kernels.exact_sum import sum_rows_minus_target
from sslth.subset_sum.kernels.jit import njit

__all__ = [
    "BY_TOLERANCE",
    "FAR",
    "LEFT",
    "PROVEN",
    "conclude",
    "merge_halves",
    "put_rows_on_grid",
    "put_target_on_grid",
    "recompute_errors",
    "tolerance_points",
]

PROVEN = 0  # the exact minimiser: no other subset lies within the rounding
BY_TOLERANCE = 1  # within the tolerance, if the exact error says so as well
LEFT = 2  # undecided, or the lower bound matters for the status: for the solver that looks at one instance

FAR = 1 << 62  # above every integer error


@njit
def put_rows_on_grid(samples, rows):
    """Round float64[n, d] to integers, int64[n, d], whose absolute sums stay below 2**60 in every column.

    Returns the exponent of the grid's step and the most that the roundings of one subset add up to, in steps: 0.0 if
    no entry was rounded. The grid does not depend on the target, so that it can be shared.
    """
    n, d = samples.shape
    reach = 0.0
    for c in range(d):
        total = 0.0
        for i in range(n):
            total += abs(samples[i, c])
        reach = max(reach, total)
    fraction, top = math.frexp(reach)
    if fraction > 1.0 - 2.0**-39:  # the sum of floats may have been rounded down
        top += 1
    exponent = top - 60
    worst = 0.0
    exact = True
    for c in range(d):
        above = 0.0
        below = 0.0
        for i in range(n):
            scaled = math.ldexp(samples[i, c], -exponent)
            nearest = np.rint(scaled)
            rows[i, c] = np.int64(nearest)
            exact = exact and math.ldexp(nearest, exponent) == samples[i, c]
            above += max(scaled - nearest, 0.0)
            below += max(nearest - scaled, 0.0)
        worst = max(worst, above, below)
    return exponent, 0.0 if exact else max(worst, 2.0**-60)


@njit
def put_target_on_grid(target, rows, exponent, worst, goal):
    """Round float64[d] to int64[d]; returns the slack and the distance from the box that the sums span, or -1.

    The slack bounds the difference of integer and true errors of every subset, in steps. The distance is that of the
    column that lies farthest outside. A target too far away to be counted in steps gets the distance -1, but with one
    column another one as far on the same side: it has the same minimisers. Goals stay within 2**61.
    """
    n, d = rows.shape
    top = exponent + 60
    exact = worst == 0.0
    for c in range(d):
        if target[c] != 0.0 and math.frexp(target[c])[1] > top + 1:
            if d > 1:
                return 0, -1
            goal[c] = FAR // 2 if target[c] > 0.0 else -FAR // 2
            continue
        nearest = np.rint(math.ldexp(target[c], -exponent))
        goal[c] = np.int64(nearest)
        exact = exact and math.ldexp(nearest, exponent) == target[c]
    outside = 0
    for c in range(d):
        low = 0
        high = 0
        for i in range(n):
            low += min(rows[i, c], 0)
            high += max(rows[i, c], 0)
        outside = max(outside, low - goal[c], goal[c] - high)
    slack = 0 if exact else math.ceil((worst + 0.5) * (1.0 + 1e-9) + 1e-9)
    return slack, outside


@njit
def tolerance_points(tolerance, exponent):
    """How many whole steps of `2**exponent` fit into a tolerance, below FAR; -1 for a negative one."""
    if tolerance < 0.0:
        return -1
    if tolerance == np.inf or (exponent + 62 < 1024 and tolerance >= math.ldexp(1.0, exponent + 62)):
        return FAR - 1
    return math.floor(math.ldexp(tolerance, -exponent))


@njit
def conclude(best, second, slack, points):
    """What the two smallest integer errors of an exhaustive search, or one that stopped early, amount to.

    Errors above `points + slack` are surely not within the tolerance.
    """
    if points >= 0 and best <= points + slack:
        return BY_TOLERANCE
    return LEFT if slack > 0 and second <= best + 2 * slack else PROVEN


@njit
def merge_halves(keys, codes, level, x, y):
    """Write level + 1 of both halves: the sums of level, and the same with one more row.

    keys int64[2, .], codes int32[2, .]: level j holds 2**j sums at 2**j .. 2**(j+1) - 1, sorted, and which of the j
    rows are in them. The row x is added in half 0, y in half 1. The loop has four chains of dependent steps, both
    halves from both ends, none with a branch: a processor runs them side by side.
    """
    size = 1 << level
    a, b = keys[0, size : 2 * size], keys[1, size : 2 * size]
    code_a, code_b = codes[0, size : 2 * size], codes[1, size : 2 * size]
    out_a, out_b = keys[0, 2 * size : 4 * size], keys[1, 2 * size : 4 * size]
    to_a, to_b = codes[0, 2 * size : 4 * size], codes[1, 2 * size : 4 * size]
    bit = np.int32(size)
    end = 2 * size - 1
    i = j = k = m = 0
    p = q = r = s = size - 1
    for step in range(size):
        u, v = a[i], a[j] + x
        old = u <= v
        out_a[step] = u if old else v
        to_a[step] = code_a[i] if old else code_a[j] | bit
        i += 1 if old else 0
        j += 0 if old else 1
        u, v = a[p], a[q] + x
        old = u > v
        out_a[end - step] = u if old else v
        to_a[end - step] = code_a[p] if old else code_a[q] | bit
        p -= 1 if old else 0
        q -= 0 if old else 1
        u, v = b[k], b[m] + y
        old = u <= v
        out_b[step] = u if old else v
        to_b[step] = code_b[k] if old else code_b[m] | bit
        k += 1 if old else 0
        m += 0 if old else 1
        u, v = b[r], b[s] + y
        old = u > v
        out_b[end - step] = u if old else v
        to_b[end - step] = code_b[r] if old else code_b[s] | bit
        r -= 1 if old else 0
        s -= 0 if old else 1


@njit
def recompute_errors(samples, targets, masks, errors, rounded, start, stop):
    """The exact sup-norm errors of the subsets start..stop - 1, rounded up, as `verify` gives them.

    samples float64[m or 1, n, d], targets float64[m, d], masks bool[m, n] are read. errors float64[m] and rounded
    int8[m] are written: 0 for an exact error, 1 for one that was rounded up, 2 where double-double arithmetic lost a
    bit and the error must be computed otherwise.
    """
    n, d = samples.shape[1:]
    subset = np.empty(n, dtype=np.int64)
    high, low, lost = np.empty(d), np.empty(d), np.empty(d)
    for index in range(start, stop):
        size = 0
        for i in range(n):
            if masks[index, i]:
                subset[size] = i
                size += 1
        rows = samples[min(index, samples.shape[0] - 1)]
        sum_rows_minus_target(rows, subset[:size], targets[index], high, low, lost)
        errors[index] = 0.0
        rounded[index] = 0
        for c in range(d):
            magnitude = abs(high[c])
            cut = (low[c] > 0.0) if high[c] > 0.0 else (high[c] < 0.0 and low[c] < 0.0)
            if cut:
                magnitude = np.nextafter(magnitude, np.inf)
            if lost[c] != 0.0:
                rounded[index] = 2
            elif magnitude > errors[index]:
                errors[index] = magnitude
                if rounded[index] < 2:
                    rounded[index] = 1 if low[c] != 0.0 else 0
