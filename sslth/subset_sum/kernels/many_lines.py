"""Many instances with one coordinate: two sorted halves each, or one long sorted list for all targets."""

from __future__ import annotations

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

__all__ = ["answer_lines", "meet_in_line", "place_targets", "search_sorted_sums", "write_sorted_answers"]

_FIRST_LEVEL = 3  # with a tolerance, the first 2 * 3 rows are tried alone


@njit
def meet_in_line(a, b, goal, best, second, band, enough):
    """Improve on the two smallest |a[i] + b[j] - goal| known; returns them and where the smallest is, or -1, -1.

    a and b int64[n] are sorted. Errors above best + band are not looked at, and the walk ends at one of at most
    `enough`. Two walks along the line where the sums pass the goal meet in the middle: one goes up in a and down in
    b, the other the other way round; each takes n steps. The first sees, for every b, the smallest sum from the goal
    on and, for every a, the largest below it; the second the other way round. So beside a sum that neither sees lies
    one at least as near that was seen, and the neighbours of the best one tell whether there is another in the band.
    """
    n = a.size
    i, j, p, q = 0, n - 1, n - 1, 0
    at_a = at_b = -1
    limit = best + band
    for step in range(n):
        s = a[i] + b[j] - goal
        r = a[p] + b[q] - goal
        if min(abs(s), abs(r)) <= limit:
            error = abs(s)
            if error < best:
                best, second, at_a, at_b = error, best, i, j
            elif error < second:
                second = error
            error = abs(r)
            if step < n - 1:  # in the last step both walks are at the same place
                if error < best:
                    best, second, at_a, at_b = error, best, p, q
                elif error < second:
                    second = error
            if best <= enough:
                break
            limit = best + band
        below = s < 0
        i += 1 if below else 0
        j -= 0 if below else 1
        below = r < 0
        q += 1 if below else 0
        p -= 0 if below else 1
    if band >= 0 and at_a >= 0:
        for step in (-1, 1):
            if 0 <= at_a + step < n:
                second = min(second, abs(a[at_a + step] + b[at_b] - goal))
            if 0 <= at_b + step < n:
                second = min(second, abs(a[at_a] + b[at_b + step] - goal))
    return best, second, at_a, at_b


@njit
def answer_lines(samples, targets, tolerance, keys, codes, masks, outcomes, work, start, stop):
    """Search the instances start..stop - 1, one coordinate and any number of rows in a subset.

    samples float64[m or 1, n, 1], targets float64[m, 1]; tolerance -1.0 for none. keys int64[2, 2**(n // 2 + 1)] and
    codes int32 of the same shape are scratch. masks bool[m, n] (zeros before), outcomes int8[m] and work int64[m] are
    written. Two sorted halves of n // 2 rows each; of an odd number of rows the last is left in or out. With a
    tolerance halves of the first few rows are tried before they are merged with the rest.
    """
    n = samples.shape[1]
    half = n // 2
    rows = np.empty((n, 1), dtype=np.int64)
    goal = np.empty(1, dtype=np.int64)
    keys[:, 1] = 0
    codes[:, 1] = 0
    built = 0
    exponent = 0
    worst = 0.0
    for index in range(start, stop):
        if samples.shape[0] > 1 or index == start:
            exponent, worst = put_rows_on_grid(samples[min(index, samples.shape[0] - 1)], rows)
            built = 0
        slack, outside = put_target_on_grid(targets[index], rows, exponent, worst, goal)
        points = tolerance_points(tolerance, exponent)
        outcomes[index] = LEFT
        work[index] = 0
        if 0 < outside <= points + slack:
            continue
        band = 2 * slack if slack > 0 else -1
        enough = points - slack
        level = half if points < 0 else min(half, _FIRST_LEVEL)
        while True:
            while built < level:
                merge_halves(keys, codes, built, rows[built, 0], rows[half + built, 0])
                built += 1
                work[index] += 2 << built
            first, last = 1 << level, 2 << level
            a, b = keys[0, first:last], keys[1, first:last]
            best, second, at_a, at_b = meet_in_line(a, b, goal[0], FAR, FAR, band, enough)
            work[index] += 2 << level
            if best <= enough or level == half:
                break
            level += 1
        if n % 2 and best > enough:
            best, second, p, q = meet_in_line(a, b, goal[0] - rows[n - 1, 0], best, second, band, enough)
            work[index] += 2 << level
            if p >= 0:
                at_a, at_b = p, q
                masks[index, n - 1] = True
        outcomes[index] = conclude(best, second, slack, points)
        for bit in range(level):
            masks[index, bit] = codes[0, first + at_a] >> bit & 1
            masks[index, half + bit] = codes[1, first + at_b] >> bit & 1


@njit
def search_sorted_sums(keys, others, goals, points, slacks, best, second, at_key, at_other, start, stop):
    """The two smallest |keys[p] + others[e] - goals[k]| for the goals start..stop - 1, and where the smallest is.

    keys int64[.] and goals int64[m] are sorted, so that one goal after the other moves forward through keys, by
    doubling steps (Bentley and Yao 1976). points and slacks int64[m] as in `place_targets`. best and second
    int64[m] (FAR before), at_key and at_other int64[m] are written.
    """
    size = keys.size
    for e in range(others.size):
        p = 0  # the first key that is at least the last wanted one
        for k in range(start, stop):
            if best[k] <= points[k] - slacks[k] or points[k] == FAR:
                continue
            want = goals[k] - others[e]
            if p < size and keys[p] < want:
                step = 1
                while p + step < size and keys[p + step] < want:
                    p += step
                    step *= 2
                top = min(size, p + step)
                p += 1
                while p < top:
                    middle = (p + top) // 2
                    if keys[middle] < want:
                        p = middle + 1
                    else:
                        top = middle
            above = keys[p] - want if p < size else FAR
            below = want - keys[p - 1] if p > 0 else FAR
            if min(above, below) <= best[k] + 2 * slacks[k]:
                near = min(above, below)
                far = max(above, below)
                if slacks[k] > 0:
                    if p + 1 < size:
                        far = min(far, keys[p + 1] - want)
                    if p > 1:
                        far = min(far, want - keys[p - 2])
                if near < best[k]:
                    second[k] = min(best[k], far)
                    best[k] = near
                    at_key[k] = p if above <= below else p - 1
                    at_other[k] = e
                else:
                    second[k] = min(second[k], near)


@njit
def place_targets(targets, rows, exponent, worst, tolerance, wants, points, slacks):
    """Targets float64[m, 1] on the grid of shared rows: what `search_sorted_sums` wants to know of each.

    wants, points, slacks int64[m] are written: the integer target, the tolerance in steps, or FAR for targets that are
    left to `solve`, and the slack.
    """
    goal = np.empty(1, dtype=np.int64)
    for k in range(targets.shape[0]):
        slacks[k], outside = put_target_on_grid(targets[k], rows, exponent, worst, goal)
        wants[k] = goal[0]
        points[k] = tolerance_points(tolerance, exponent)
        if 0 < outside <= points[k] + slacks[k]:
            points[k] = FAR


@njit
def write_sorted_answers(order, best, second, slacks, points, codes, at_key, at_other, outcomes, masks, start, stop):
    """Outcomes and masks of the goals start..stop - 1; goal k is that of target order[k].

    codes int32[.] says which of the first rows are in each key, the bits of at_other which of the rows after them.
    """
    length = 0
    while (1 << length) < codes.size:
        length += 1
    for k in range(start, stop):
        target = order[k]
        if best[k] == FAR:
            outcomes[target] = LEFT
            continue
        outcomes[target] = conclude(best[k], second[k], slacks[k], points[k])
        for bit in range(masks.shape[1]):
            if bit < length:
                masks[target, bit] = codes[at_key[k]] >> bit & 1
            else:
                masks[target, bit] = at_other[k] >> (bit - length) & 1
