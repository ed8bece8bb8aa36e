"""Many instances with several coordinates or a wanted number of rows: windows over two sorted halves."""

from __future__ import annotations

import math

import numpy as np

from sslth.subset_sum.kernels.jit import njit
from sslth.subset_sum.kernels.many import (
    FAR,
    LEFT,
    conclude,
    merge_halves,
    put_rows_on_grid,
    put_target_on_grid,
    tolerance_points,
)

__all__ = ["answer_windows", "build_halves", "guess_error", "join_halves", "join_windows"]

_WANTED_HITS = 3.0  # how many subsets the first window should find


@njit
def build_halves(rows, smallest, largest, keys, codes, rest, counts, starts):
    """Sort the sums of both halves by column 0; sums that no allowed subset can contain are left out.

    rows int64[n, d]: the first n // 2 are half 0, the next n // 2 half 1; of an odd number the last is in neither.
    Written, for half s: keys[s] (column 0), codes[s] (which rows), rest[s] int64[., d - 1] (the other columns),
    counts[s] (how many rows). If all subsets have one size, sums of i rows lie at starts[s, i] .. starts[s, i + 1] - 1,
    otherwise all at starts[s, 0] .. starts[s, 1] - 1. keys and codes have 2**(n // 2 + 1) columns, the others half.
    """
    n, d = rows.shape
    half = n // 2
    keys[:, 1] = 0
    codes[:, 1] = 0
    for level in range(half):
        merge_halves(keys, codes, level, rows[level, 0], rows[half + level, 0])
    first = 1 << half
    by_code = np.zeros((first, d - 1), dtype=np.int64)
    count_of = np.zeros(first, dtype=np.int64)
    ends = np.zeros(half + 2, dtype=np.int64)
    for s in range(2):
        for level in range(half):
            for code in range(1 << level):
                other = code + (1 << level)
                count_of[other] = count_of[code] + 1
                for c in range(1, d):
                    by_code[other, c - 1] = by_code[code, c - 1] + rows[s * half + level, c]
        starts[s] = 0
        for code in range(first):
            if smallest - (n - half) <= count_of[code] <= largest:
                starts[s, (count_of[code] if smallest == largest else 0) + 1] += 1
        for i in range(half + 1):
            starts[s, i + 1] += starts[s, i]
        ends[:] = starts[s]
        for place in range(first, 2 * first):
            code = codes[s, place]
            if smallest - (n - half) <= count_of[code] <= largest:
                i = count_of[code] if smallest == largest else 0
                to = ends[i]
                ends[i] += 1
                keys[s, to] = keys[s, place]
                codes[s, to] = code
                counts[s, to] = count_of[code]
                for c in range(d - 1):
                    rest[s, to, c] = by_code[code, c]


@njit
def guess_error(rows, goal, share, log_subsets):
    """An integer error that a few subsets should reach if the sums of random subsets were normal.

    share is the part of the rows in a subset, log_subsets the logarithm of the number of subsets. Nothing but the
    width of the first window depends on it.
    """
    n, d = rows.shape
    log_width = 0.0
    far = 0.0
    used = 0
    for c in range(d):
        square = 0.0
        middle = 0.0
        for i in range(n):
            square += float(rows[i, c]) * float(rows[i, c])
            middle += share * float(rows[i, c])
        if square > 0.0:
            width = math.sqrt(2.0 * math.pi * share * (1.0 - share) * square)
            if width > 0.0:
                used += 1
                log_width += math.log(width)
                far += math.pi * ((float(goal[c]) - middle) / width) ** 2
    if used == 0:
        return 1
    log_error = (math.log(_WANTED_HITS) - log_subsets + min(far, log_subsets) + log_width) / used - math.log(2.0)
    return 1 + int(math.exp(min(max(log_error, 0.0), 40.0)))


@njit
def join_windows(
    keys_a, rest_a, counts_a, keys_b, rest_b, counts_b, goal, smallest, largest, bound, best, second, band, enough
):  # fmt: skip
    """Improve on the two smallest errors of a + b - goal; returns them, where the smallest is (or -1, -1), the work.

    Errors above bound, or above best + band, are not looked at; the search ends at one of at most `enough`. As a goes
    up in column 0, the window of those b that can meet the goal goes down (Horowitz and Sahni 1974). Only sums
    whose counts add up to smallest..largest are joined.
    """
    d = goal.size
    at_a = at_b = -1
    size = keys_b.size
    limit = min(bound, best + band)
    q = size
    pairs = 0
    wanted = np.empty(d, dtype=np.int64)
    for p in range(keys_a.size):
        want = goal[0] - keys_a[p]
        while q > 0 and keys_b[q - 1] >= want - limit:
            q -= 1
        while q < size and keys_b[q] < want - limit:
            q += 1
        if q == size:
            continue
        for c in range(1, d):
            wanted[c] = goal[c] - rest_a[p, c - 1]
        few, many = smallest - counts_a[p], largest - counts_a[p]
        r = q
        while r < size and keys_b[r] - want <= limit:
            if not few <= counts_b[r] <= many:
                r += 1
                continue
            error = abs(keys_b[r] - want)
            for c in range(1, d):
                error = max(error, abs(rest_b[r, c - 1] - wanted[c]))
                if error > limit:
                    break
            if error <= limit:
                if error < best:
                    best, second, at_a, at_b = error, best, p, r
                elif error < second:
                    second = error
                limit = min(bound, best + band)
                if best <= enough:
                    return best, second, at_a, at_b, p + pairs + r - q
            r += 1
        pairs += r - q
    return best, second, at_a, at_b, keys_a.size + pairs


@njit
def join_halves(keys, rest, counts, starts, goal, smallest, largest, bound, best, second, band, enough):
    """`join_windows` for the sums of two halves; if all subsets have one size, for the counts that add up to it."""
    at_a = at_b = -1
    work = 0
    parts = starts.shape[1] - 1 if smallest == largest else 1
    for i in range(parts):
        j = smallest - i if smallest == largest else 0
        if j < 0 or j >= parts:
            continue
        first_a, last_a, first_b, last_b = starts[0, i], starts[0, i + 1], starts[1, j], starts[1, j + 1]
        best, second, p, q, done = join_windows(
            keys[0, first_a:last_a], rest[0, first_a:last_a], counts[0, first_a:last_a],
            keys[1, first_b:last_b], rest[1, first_b:last_b], counts[1, first_b:last_b],
            goal, smallest, largest, bound, best, second, band, enough,
        )  # fmt: skip
        work += done
        if p >= 0:
            at_a, at_b = first_a + p, first_b + q
        if best <= enough:
            break
    return best, second, at_a, at_b, work


@njit
def answer_windows(
    samples, targets, smallest, largest, share, log_subsets, tolerance,
    keys, codes, rest, counts, masks, outcomes, work, start, stop,
):  # fmt: skip
    """Search the instances start..stop - 1 for subsets of smallest..largest rows.

    samples float64[m or 1, n, d], targets float64[m, d]; tolerance -1.0 for none; share and log_subsets as in
    `guess_error`; keys, codes, rest, counts as in `build_halves` are scratch. masks bool[m, n] (zeros before),
    outcomes int8[m] and work int64[m] are written. The halves are built once for shared samples. Windows begin at
    the guessed error, or the tolerance, and grow until one holds a subset.
    """
    n, d = samples.shape[1:]
    half = n // 2
    rows = np.empty((n, d), dtype=np.int64)
    goal = np.empty(d, dtype=np.int64)
    shifted = np.empty(d, dtype=np.int64)
    starts = np.zeros((2, half + 2), dtype=np.int64)
    exponent = 0
    worst = 0.0
    widest = 0
    for index in range(start, stop):
        work[index] = 0
        if samples.shape[0] > 1 or index == start:
            exponent, worst = put_rows_on_grid(samples[min(index, samples.shape[0] - 1)], rows)
            widest = _widest_column(rows)
            for i in range(n):
                rows[i, 0], rows[i, widest] = rows[i, widest], rows[i, 0]
            build_halves(rows, smallest, largest, keys, codes, rest, counts, starts)
            work[index] = 4 << half
        outcomes[index] = LEFT
        for c in range(d):
            shifted[c] = 0
        slack, outside = _target(targets[index], rows, exponent, worst, widest, goal)
        points = tolerance_points(tolerance, exponent)
        if outside < 0 or (points >= 0 and 0 < _distance_from_box(rows, goal, smallest, largest) <= points + slack):
            continue
        band = 2 * slack if slack > 0 else -1
        enough = points - slack
        bound = max(guess_error(rows, goal, share, log_subsets), points + slack)
        growth = 8.0 ** (1.0 / d)
        while True:
            best = second = FAR
            at_a = at_b = -1
            with_last = False
            for last in range(1 + n % 2):
                for c in range(d):
                    shifted[c] = goal[c] - last * rows[n - 1, c]
                best, second, p, q, done = join_halves(
                    keys, rest, counts, starts, shifted,
                    smallest - last, largest - last, bound, best, second, band, enough,
                )  # fmt: skip
                work[index] += done
                if p >= 0:
                    at_a, at_b, with_last = p, q, last == 1
                if best <= enough:
                    break
            if best <= enough or (at_a >= 0 and best + band <= bound):
                break
            if at_a >= 0:
                bound = best + band
            elif bound >= FAR:
                break
            else:
                bound = FAR if bound > FAR / growth - 2.0 else int(bound * growth) + 1
                growth = min(growth * growth, 2.0**20)
        if at_a < 0:
            continue
        outcomes[index] = conclude(best, second, slack, points)
        for bit in range(half):
            masks[index, bit] = codes[0, at_a] >> bit & 1
            masks[index, half + bit] = codes[1, at_b] >> bit & 1
        if with_last:
            masks[index, n - 1] = True


@njit
def _widest_column(rows):
    widest = 0
    largest = -1.0
    for c in range(rows.shape[1]):
        square = 0.0
        for i in range(rows.shape[0]):
            square += float(rows[i, c]) * float(rows[i, c])
        if square > largest:
            widest, largest = c, square
    return widest


@njit
def _target(target, rows, exponent, worst, widest, goal):
    """`put_target_on_grid` with the widest column first, as it is in rows."""
    ordered = target.copy()
    ordered[0], ordered[widest] = target[widest], target[0]
    return put_target_on_grid(ordered, rows, exponent, worst, goal)


@njit
def _distance_from_box(rows, goal, smallest, largest):
    """How far the goal lies outside the box that the sums of smallest..largest rows span, in its worst column."""
    n, d = rows.shape
    column = np.empty(n, dtype=np.int64)
    outside = 0
    for c in range(d):
        for i in range(n):  # insertion sort: compiling np.sort would take seconds
            j = i
            while j > 0 and column[j - 1] > rows[i, c]:
                column[j] = column[j - 1]
                j -= 1
            column[j] = rows[i, c]
        low = high = 0
        for i in range(n):
            if i < smallest or (i < largest and column[i] < 0):
                low += column[i]
            if i < smallest or (i < largest and column[n - 1 - i] > 0):
                high += column[n - 1 - i]
        outside = max(outside, low - goal[c], goal[c] - high)
    return outside
