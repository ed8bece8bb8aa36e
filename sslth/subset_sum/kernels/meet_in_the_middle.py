"""Joining two lists of partial sums: sorted merging, splitting into cells, and the pairs of cells that can meet."""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.jit import njit

__all__ = ["bound_cells", "join_cells", "merge_sorted", "split_cells"]


@njit
def merge_sorted(keys_a, codes_a, keys_b, codes_b, keys, codes, place, steps):
    """Merge up to `steps` entries of two sorted lists, a before b where keys are equal.

    keys int64, codes int32; place int64[2], the positions in a and b, is modified in place with keys and codes.
    """
    i, j = place
    k = i + j
    stop = min(keys.size, k + steps)
    while k < stop:
        if j == keys_b.size or (i < keys_a.size and keys_a[i] <= keys_b[j]):
            keys[k] = keys_a[i]
            codes[k] = codes_a[i]
            i += 1
        else:
            keys[k] = keys_b[j]
            codes[k] = codes_b[j]
            j += 1
        k += 1
    place[0] = i
    place[1] = j


@njit
def split_cells(columns, position, scratch, first, last, child, depth, axes, leaf, place, steps):
    """Split cells at the mean of one column after the other until they hold at most `leaf` sums.

    columns int64[d, n] and axes int64[levels], the column of each level, are read. position int64[n] is
    permuted, stably: what was sorted stays sorted within a cell. Cell i holds position[first[i]:last[i]] and has
    the children child[i] and child[i] + 1, or child[i] = -1. place int64[2] is (next cell, number of cells): at
    most about `steps` sums are moved a call, and the work is over when both are equal.
    """
    i, count = place
    moved = 0
    while i < count and moved < steps:
        a, b = first[i], last[i]
        child[i] = -1
        level = depth[i]
        while b - a > leaf and level < axes.size and child[i] < 0 and count + 2 <= first.size:
            column = columns[axes[level]]
            level += 1
            mean = 0.0
            for p in range(a, b):
                mean += column[position[p]]
            mean /= b - a
            left = a
            right = 0
            for p in range(a, b):
                q = position[p]
                if column[q] < mean:
                    position[left] = q
                    left += 1
                else:
                    scratch[right] = q
                    right += 1
            position[left:b] = scratch[:right]
            moved += b - a
            if left > a and right > 0:
                child[i] = count
                first[count], last[count], depth[count] = a, left, level
                first[count + 1], last[count + 1], depth[count + 1] = left, b, level
                count += 2
        i += 1
    place[0] = i
    place[1] = count


@njit
def bound_cells(columns, first, last, child, low, high, start, stop):
    """Write the smallest and largest sums of the cells start..stop - 1, int64[cells, d].

    Children come after their parents, so the last cells must be done first.
    """
    for i in range(stop - 1, start - 1, -1):
        for c in range(columns.shape[0]):
            if child[i] >= 0:
                low[i, c] = min(low[child[i], c], low[child[i] + 1, c])
                high[i, c] = max(high[child[i], c], high[child[i] + 1, c])
            else:
                low[i, c] = columns[c, first[i]]
                high[i, c] = low[i, c]
                for p in range(first[i] + 1, last[i]):
                    low[i, c] = min(low[i, c], columns[c, p])
                    high[i, c] = max(high[i, c], columns[c, p])


@njit
def join_cells(
    columns_a, first_a, last_a, child_a, low_a, high_a,
    columns_b, first_b, last_b, child_b, low_b, high_b,
    target, stack, place, errors, codes, control, steps,
):  # fmt: skip
    """Search the pairs of cells on the stack for sums a + b near the target; returns the work done.

    columns int64[d, n], column 0 sorted within each leaf cell; cells as in `split_cells` and `bound_cells`. A
    pair of cells whose boxes cannot meet the target within the limit is dropped, a larger cell is opened, two
    leaves are joined by a window of b that slides down as a goes up in column 0 (Horowitz and Sahni 1974).

    stack int64[., 4] holds (cell a, cell b, where in a and where in b to go on, or -1), place int64[1] its height;
    both are modified in place, as is the candidate buffer (errors, codes, control). Codes are columns of a and b.
    """
    d = target.size
    key_a, key_b = columns_a[0], columns_b[0]
    work = 0
    paused = False
    limit = min(control[3], control[1] + control[2])
    while place[0] > 0 and work < steps and limit >= 0 and control[0] < errors.size and not paused:
        top = place[0] - 1
        i, j, p, resume = stack[top]
        place[0] = top
        work += 1
        apart = False
        for c in range(d):
            if low_a[i, c] + low_b[j, c] - target[c] > limit or target[c] - high_a[i, c] - high_b[j, c] > limit:
                apart = True
                break
        if apart:
            continue
        open_a = child_a[i] >= 0 and (child_b[j] < 0 or last_a[i] - first_a[i] >= last_b[j] - first_b[j])
        if open_a or child_b[j] >= 0:
            for k in range(2):
                stack[top + k, 0] = child_a[i] + 1 - k if open_a else i
                stack[top + k, 1] = j if open_a else child_b[j] + 1 - k
                stack[top + k, 2] = -1
                stack[top + k, 3] = -1
            place[0] = top + 2
            continue
        start_b, stop_a, stop_b = first_b[j], last_a[i], last_b[j]
        if p < 0:
            p = first_a[i] + np.searchsorted(key_a[first_a[i] : stop_a], target[0] - limit - key_b[stop_b - 1])
        if p == stop_a:
            continue
        q = start_b + np.searchsorted(key_b[start_b:stop_b], target[0] - limit - key_a[p])
        while p < stop_a and work < steps and control[0] < errors.size:
            want = target[0] - key_a[p]
            if want + limit < key_b[start_b]:
                p = stop_a
                break
            work += 1
            far = False
            for c in range(1, d):
                wanted = target[c] - columns_a[c, p]
                if low_b[j, c] - wanted > limit or wanted - high_b[j, c] > limit:
                    far = True
                    break
            if far:
                p += 1
                resume = -1
                continue
            while q > start_b and key_b[q - 1] >= want - limit:
                q -= 1
            while q < stop_b and key_b[q] < want - limit:
                q += 1
            r = max(q, resume)
            resume = -1
            work -= r
            while r < stop_b and key_b[r] - want <= limit:
                error = abs(key_b[r] - want)
                for c in range(1, d):
                    if error > limit:
                        break
                    error = max(error, abs(columns_a[c, p] + columns_b[c, r] - target[c]))
                if error <= limit:
                    if control[0] == errors.size:
                        paused = True
                        break
                    errors[control[0]] = error
                    codes[control[0], 0] = p
                    codes[control[0], 1] = r
                    control[0] += 1
                    control[1] = min(control[1], error)
                    limit = min(control[3], control[1] + control[2])
                    if error <= control[4] or limit < 0:
                        r += 1
                        paused = True
                        break
                r += 1
            work += r
            if paused:
                resume = r
                break
            p += 1
        if p < stop_a:
            stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3] = i, j, p, resume
            place[0] = top + 1
            if work >= steps or control[0] == errors.size:
                break
    return work
