"""Lists of partial sums that nearly cancel: enumeration of a group, cells, and the close pairs of two lists."""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.jit import njit

__all__ = ["add_pairs", "close_pairs", "fill_cells", "signed_sums", "sums_of_size"]


@njit
def signed_sums(rows, fixed, sums):
    """All sums of +-rows, those of the first `fixed` rows with sign +; any dtype, rows[m, d], sums[2**(m - fixed), d].

    Bit i of an index is set where row `fixed` + i has the sign -. O(2^m d).
    """
    m = rows.shape[0]
    sums[0, :] = 0
    for i in range(m):
        sums[0, :] += rows[i]
    known = 1
    for i in range(fixed, m):
        twice = rows[i] + rows[i]
        for k in range(known):
            np.subtract(sums[k], twice, sums[known + k])
        known *= 2


@njit
def sums_of_size(rows, size, sums, chosen, partial):
    """All sums of `size` of the rows, in lexicographic order of the chosen indices; any dtype, rows[m, d].

    sums[count, d] takes the first `count` of them. Workspaces: chosen int64[size], partial[size + 1, d].
    """
    m = rows.shape[0]
    partial[0, :] = 0
    for i in range(size):
        chosen[i] = i
        partial[i + 1, :] = partial[i] + rows[i]
    for k in range(sums.shape[0]):
        sums[k, :] = partial[size]
        i = size - 1
        while i >= 0 and chosen[i] == m - size + i:
            i -= 1
        if i < 0:
            return
        chosen[i] += 1
        np.add(partial[i], rows[chosen[i]], partial[i + 1])
        for r in range(i + 1, size):
            chosen[r] = chosen[r - 1] + 1
            np.add(partial[r], rows[chosen[r]], partial[r + 1])


@njit
def fill_cells(keys, signs, axes, counts, low, inverse_width, columns, bits, inverse_unit, start, index, code):
    """Sort the points sign * key into the cells of a grid and pack their coordinates into integers.

    keys float64[n, d]; signs float64[s], for instance (-1, 1) for every point and its mirror image. The grid has
    counts[j] cells of width 1 / inverse_width along coordinate axes[j] from low[axes[j]]; the last axis is
    contiguous. Written: start int64[cells + 1], and by cell index int32[n s] = s * i + (which sign) and code
    int64[n s], where field c of `bits` bits holds (coordinate columns[c] - low) * inverse_unit, rounded down. O(n s d).
    """
    start[:] = 0
    n, s = keys.shape[0], signs.size
    for phase in range(2):
        for i in range(n):
            for h in range(s):
                cell = 0
                for j in range(axes.size):
                    a = axes[j]
                    c = int((signs[h] * keys[i, a] - low[a]) * inverse_width)
                    cell = cell * counts[j] + min(max(c, 0), counts[j] - 1)
                if phase == 0:
                    start[cell + 1] += 1
                else:
                    packed = 0
                    for c in range(columns.size - 1, -1, -1):
                        a = columns[c]
                        packed = (packed << bits) + int((signs[h] * keys[i, a] - low[a]) * inverse_unit)
                    place = start[cell]
                    start[cell] = place + 1
                    index[place] = s * i + h
                    code[place] = packed
        if phase == 0:
            for cell in range(start.size - 1):
                start[cell + 1] += start[cell]
    for cell in range(start.size - 1, 0, -1):
        start[cell] = start[cell - 1]
    start[0] = 0


@njit
def close_pairs(
    start_a, index_a, code_a, keys_a, start_b, index_b, code_b, keys_b, mirrored,
    counts, window, mask, limit, only_best, stride, place, pairs, steps,
):  # fmt: skip
    """Find the pairs with |a - p|_inf <= limit[0], where p is a point of b: minus a key, or (mirrored) also plus.

    Both lists were sorted into one grid by `fill_cells`, whose cells are no narrower than the limit: only
    neighbours of a cell can match. A pair passes the first test if every field of code_a - code_b + window is free of
    the bits of `mask`: one subtraction compares all coordinates, and a borrow out of a field only spoils pairs that
    are refused anyway. What passes is compared in float64.

    pairs int32[capacity, 2] takes (index of a, index of the point of b). With only_best, pairs[0] is the best pair and
    limit[0] its distance, which falls on the way. Only every `stride`-th point of a is visited. place int64[2] is
    (next point of a, pairs so far), changed in place. Returns the codes compared, which hardly exceed `steps`.
    """
    axes, d = counts.size, keys_a.shape[1]
    neighbours = 3 ** (axes - 1)
    begin = np.empty(neighbours, np.int64)
    end = np.empty(neighbours, np.int64)
    ranges = 0
    last = counts[axes - 1]
    work = 0
    p = place[0]
    found = 0 if only_best else place[1]
    cell = np.searchsorted(start_a, p, side="right") - 1
    known = -1
    while p < index_a.size and work < steps and found < pairs.shape[0]:
        while start_a[cell + 1] <= p:
            cell += 1
        if cell != known:
            known = cell
            ranges = 0
            column = cell % last
            for number in range(neighbours):
                code, rest, factor, base = number, cell // last, last, 0
                inside = True
                for j in range(axes - 2, -1, -1):
                    c = rest % counts[j] + code % 3 - 1
                    rest //= counts[j]
                    code //= 3
                    inside = inside and 0 <= c < counts[j]
                    base += c * factor
                    factor *= counts[j]
                if inside:
                    begin[ranges] = start_b[base + max(0, column - 1)]
                    end[ranges] = start_b[base + min(last - 1, column + 1) + 1]
                    if begin[ranges] < end[ranges]:
                        ranges += 1
        x = code_a[p] + window
        a = index_a[p]
        work += 1
        for number in range(ranges):
            work += end[number] - begin[number]
            for at in range(begin[number], end[number], 64):
                block = code_b[at : min(end[number], at + 64)]
                hit = 0
                for i in range(block.size):  # without a branch: the compiler makes vectors of it
                    hit |= ((x - block[i]) & mask) == 0
                if not hit:
                    continue
                for i in range(block.size):
                    if ((x - block[i]) & mask) != 0:
                        continue
                    b = index_b[at + i]
                    distance = 0.0
                    for c in range(d):
                        if mirrored:
                            y = keys_b[b >> 1, c]
                            gap = keys_a[a, c] - y if b & 1 else keys_a[a, c] + y
                        else:
                            gap = keys_a[a, c] + keys_b[b, c]
                        distance = max(distance, abs(gap))
                        if distance > limit[0]:
                            break
                    if distance <= limit[0] and found < pairs.shape[0]:
                        pairs[found, 0] = a
                        pairs[found, 1] = b
                        if only_best:
                            limit[0] = distance
                            place[1] = 1
                        else:
                            found += 1
        p += stride
    place[0] = p
    if not only_best:
        place[1] = found
    return work


@njit
def add_pairs(a, b, pairs, mirrored, step, other, exact, keys):
    """The sums that `close_pairs` found, as integers modulo 2**64 and times `step`.

    a, b int64[., d]; pairs int32[m, 2]; other int64[m, d] is a workspace. Written: exact int64[m, d],
    keys float64[m, d].
    """
    for k in range(pairs.shape[0]):
        left, right = pairs[k, 0], pairs[k, 1]
        flip = 0
        if mirrored:
            flip = -(right & 1)  # 0 or -1: (x ^ -1) - -1 is -x
            right >>= 1
        for c in range(keys.shape[1]):
            exact[k, c] = a[left, c]
            other[k, c] = (b[right, c] ^ flip) - flip
    np.add(exact, other, exact)  # as arrays, which wrap around without a word where kernels run as plain Python
    for k in range(pairs.shape[0]):
        for c in range(keys.shape[1]):
            keys[k, c] = exact[k, c] * step
