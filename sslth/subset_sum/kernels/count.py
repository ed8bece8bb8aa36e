"""Counting pairs of half sums within a window: by sliding, by a Fenwick tree, and by pairs of cells.

.. [Fenwick1994] P. M. Fenwick, "A new data structure for cumulative frequency tables", Software: Practice and
   Experience 24, 1994. doi:10.1002/spe.4380240306
"""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.jit import njit

__all__ = ["count_boxes", "count_cells", "count_intervals", "list_strip"]


@njit
def count_intervals(keys_a, keys_b, target, window):
    """How many pairs have |a + b - target| <= window; both lists int64, sorted. O(a + b)."""
    count = 0
    low = high = keys_b.size  # partners of a are keys_b[low:high]
    for i in range(keys_a.size):
        want = target - keys_a[i]
        while high > 0 and keys_b[high - 1] > want + window:
            high -= 1
        while low > 0 and keys_b[low - 1] >= want - window:
            low -= 1
        count += high - low
    return count


@njit
def add_at(tree, place, value):
    """Add to entry `place` of a Fenwick tree [Fenwick1994]_: prefix sums in O(log n)."""
    i = place + 1
    while i < tree.size:
        tree[i] += value
        i += i & -i


@njit
def sum_before(tree, place):
    """The sum of the entries before `place`."""
    total = 0
    i = place
    while i > 0:
        total += tree[i]
        i -= i & -i
    return total


@njit
def count_boxes(first_a, second_a, first_b, rank_b, sorted_second_b, target, window, tree, state, steps):
    """How many pairs lie within the window in two coordinates; goes on where it stopped, for about `steps` entries.

    first_a and first_b int64 are sorted; rank_b int64[b] is the place of each b in sorted_second_b. tree int64[b + 1]
    is a Fenwick tree of the partners in the first coordinate, keyed by rank, zeros at first; state int64[3] is (next
    a, low, high), (0, b, b) at first. Returns the count of this piece. O((a + b) log b).
    """
    count = 0
    i, low, high = state
    stop = min(first_a.size, i + steps)
    while i < stop:
        want = target[0] - first_a[i]
        while low > 0 and first_b[low - 1] >= want - window:
            low -= 1
            add_at(tree, rank_b[low], 1)
        while high > 0 and first_b[high - 1] > want + window:
            high -= 1
            add_at(tree, rank_b[high], -1)
        if low < high:
            other = target[1] - second_a[i]
            start = np.searchsorted(sorted_second_b, other - window, side="left")
            end = np.searchsorted(sorted_second_b, other + window, side="right")
            count += sum_before(tree, end) - sum_before(tree, start)
        i += 1
    state[0] = i
    state[1] = low
    state[2] = high
    return count


@njit
def list_strip(
    keys_a, order_a, keys_b, order_b, target, least, most, columns_a, columns_b, whole, column, pairs, state
):
    """List the pairs with least <= |a + b - target| <= most in one column and no more than most in every other.

    keys sorted int64 with their orders, the places in columns int64[d, .]; `whole` int64[d] is the target of all
    columns. Pairs that have an earlier column in the strip as well are left to that one. pairs int64[capacity, 2] is
    written; state int64[2] is (next a, number listed): the kernel stops before an a whose partners might not fit.
    """
    d = whole.size
    i, count = state
    while i < keys_a.size:
        before = count
        for side in range(2):
            want = target - keys_a[i]
            if side == 0:
                start = np.searchsorted(keys_b, want + least, side="left")
                end = np.searchsorted(keys_b, want + most, side="right")
            else:
                start = np.searchsorted(keys_b, want - most, side="left")
                end = np.searchsorted(keys_b, want - max(least, 1), side="right")
            if count + end - start > pairs.shape[0]:
                state[0] = i
                state[1] = before
                return
            for q in range(start, end):
                a, b = order_a[i], order_b[q]
                listed = True
                for c in range(d):
                    off = abs(columns_a[c, a] + columns_b[c, b] - whole[c])
                    if off > most or (c < column and off >= least):
                        listed = False
                        break
                if listed:
                    pairs[count, 0] = a
                    pairs[count, 1] = b
                    count += 1
        i += 1
    state[0] = i
    state[1] = count


@njit
def count_cells(
    columns_a, first_a, last_a, child_a, low_a, high_a,
    columns_b, first_b, last_b, child_b, low_b, high_b,
    target, window, stack, place, result, steps,
):  # fmt: skip
    """Count pairs within the window over the pairs of cells on the stack; returns the work done.

    Cells as in `join_cells`: pairs of boxes apart are dropped, pairs wholly within the window are multiplied, others
    opened. stack int64[., 2] and place int64[1], its height, are modified; result int64[1] is added to.
    """
    d = target.size
    work = 0
    while place[0] > 0 and work < steps:
        place[0] -= 1
        i, j = stack[place[0]]
        work += 1
        apart = False
        within = True
        for c in range(d):
            low = low_a[i, c] + low_b[j, c] - target[c]
            high = high_a[i, c] + high_b[j, c] - target[c]
            if low > window or high < -window:
                apart = True
                break
            if low < -window or high > window:
                within = False
        if apart:
            continue
        if within:
            result[0] += (last_a[i] - first_a[i]) * (last_b[j] - first_b[j])
            continue
        open_a = child_a[i] >= 0 and (child_b[j] < 0 or last_a[i] - first_a[i] >= last_b[j] - first_b[j])
        if open_a or child_b[j] >= 0:
            for k in range(2):
                stack[place[0], 0] = child_a[i] + 1 - k if open_a else i
                stack[place[0], 1] = j if open_a else child_b[j] + 1 - k
                place[0] += 1
            continue
        for p in range(first_a[i], last_a[i]):
            far = False
            for c in range(d):
                wanted = target[c] - columns_a[c, p]
                if low_b[j, c] - wanted > window or wanted - high_b[j, c] > window:
                    far = True
                    break
            if far:
                continue
            work += last_b[j] - first_b[j]
            for r in range(first_b[j], last_b[j]):
                inside = True
                for c in range(d):
                    if abs(columns_a[c, p] + columns_b[c, r] - target[c]) > window:
                        inside = False
                        break
                result[0] += inside
    return work
