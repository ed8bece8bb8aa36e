"""Largest differencing on numbers of two words, and a depth-first search over differences and sums."""

from __future__ import annotations

from sslth.subset_sum.kernels.jit import njit

__all__ = ["LOW_BITS", "difference_largest", "search_signs", "spread_signs"]

LOW_BITS = 62
_LOW_MASK = (1 << 62) - 1
_SMALL = 2.0**-62


@njit
def _below(high, low, heap, keys, p, q):
    """Whether the number at place p is smaller than the one at place q; of equal ones the later is."""
    if keys[p] != keys[q]:
        return keys[p] < keys[q]
    i, j = heap[p], heap[q]
    if high[i] != high[j]:
        return high[i] < high[j]
    if low[i] != low[j]:
        return low[i] < low[j]
    return i > j


@njit
def _sift_down(high, low, heap, keys, size, place):
    child = 2 * place + 1
    while child < size:
        if child + 1 < size and _below(high, low, heap, keys, child, child + 1):
            child += 1
        if not _below(high, low, heap, keys, place, child):
            break
        heap[place], heap[child] = heap[child], heap[place]
        keys[place], keys[child] = keys[child], keys[place]
        place = child
        child = 2 * place + 1


@njit
def difference_largest(high, low, heap, keys, size, stop_size, third, larger, smaller, steps):
    """Replace the two largest numbers by their difference until `stop_size` are left; returns the new size.

    Number i is high[i] * 2**62 + low[i], both int64 and low below 2**62; heap int64[n] holds the indices of the `size`
    numbers that are left, largest first, as a heap, and keys float64[n] beside them the numbers over 2**62, rounded. A
    difference takes the place of the larger of its numbers. larger and smaller int64[n] record the pair of each
    difference, the one that leaves m numbers at m - 1. With third[m - 1] the third largest takes the part of the
    second. At most `steps` differences; O(log n) each.
    """
    done = 0
    while size > stop_size and done < steps:
        at = 1
        if size > 2:
            at = 2 if _below(high, low, heap, keys, 1, 2) else 1
            if third[size - 2]:  # the next largest is the other child of the root or a child of the second
                other = 3 - at
                for child in (2 * at + 1, 2 * at + 2):
                    if child < size and _below(high, low, heap, keys, other, child):
                        other = child
                at = other
        a, b = heap[0], heap[at]
        size -= 1
        heap[at], keys[at] = heap[size], keys[size]
        if at < size:
            _sift_down(high, low, heap, keys, size, at)
        larger[size - 1] = a
        smaller[size - 1] = b
        word = low[a] - low[b]
        high[a] -= high[b] + (1 if word < 0 else 0)
        low[a] = word & _LOW_MASK
        keys[0] = high[a] + low[a] * _SMALL
        _sift_down(high, low, heap, keys, size, 0)
        done += 1
    return size


@njit
def spread_signs(larger, smaller, size, signs):
    """Undo the differences that led to `size` numbers: each smaller number has the sign that its larger has not."""
    for m in range(size - 1, larger.size - 1):
        signs[smaller[m]] = -signs[larger[m]]


@njit
def search_signs(values, names, branch, path, best_path, best, place, steps):
    """Depth-first search for the signs with the smallest sum: the two largest numbers are subtracted, then added.

    Level l has the m - l numbers values[l, : m - l], falling, with their names beside; both int64[m, m]; level 0 is
    the input. branch int64[m] is how many children of a level are done. path int64[m - 1, 3] holds (name kept, name
    taken, -1 or 1 for its sign beside the first) by level; best_path takes the path of the best leaf and best int64[1]
    its value. Where the largest number is not below the sum of the others, subtracting all is best; with four
    numbers or fewer differences are best (Korf 1998). place int64[1] is the level, -1 when all is done. Returns the
    numbers moved, about `steps`.
    """
    m = values.shape[0]
    level = place[0]
    work = 0
    while level >= 0 and work < steps and best[0] > 0:
        size = m - level
        row = values[level]
        if branch[level] == 0:
            work += size
            total = 0
            for i in range(1, size):
                total += row[i]
            if row[0] >= total:
                if row[0] - total < best[0]:
                    best[0] = row[0] - total
                    for above in range(level):
                        best_path[above, :] = path[above]
                    for i in range(1, size):
                        best_path[level + i - 1, 0] = names[level, 0]
                        best_path[level + i - 1, 1] = names[level, i]
                        best_path[level + i - 1, 2] = -1
                level -= 1
                continue
        if branch[level] == 2 or (branch[level] == 1 and size <= 4):
            level -= 1
            continue
        subtract = branch[level] == 0
        branch[level] += 1
        new = row[0] - row[1] if subtract else row[0] + row[1]
        path[level, 0] = names[level, 0]
        path[level, 1] = names[level, 1]
        path[level, 2] = -1 if subtract else 1
        i = 2
        while i < size and row[i] > new:
            values[level + 1, i - 2] = row[i]
            names[level + 1, i - 2] = names[level, i]
            i += 1
        values[level + 1, i - 2] = new
        names[level + 1, i - 2] = names[level, 0]
        while i < size:
            values[level + 1, i - 1] = row[i]
            names[level + 1, i - 1] = names[level, i]
            i += 1
        level += 1
        branch[level] = 0
        work += size
    place[0] = level
    return work
