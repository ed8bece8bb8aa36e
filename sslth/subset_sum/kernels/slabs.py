"""Joining two sets of sums that are never stored: each streamed from two short lists, slab by slab, via a bitmap.

A stream is the set of sums list 1 + list 2. Its arguments are always

    keys_1 int64[m1], words_1 uint64[m1], reach int64[m1],
    keys_2 int64[m2], words_2 uint64[m2], last int64[s], pointers int64[m1, s].

List 2 consists of sorted segments, segment c ending before last[c]; entry i of list 1 is combined with its first
reach[i] segments. A sum belongs to the slab if low <= key < high; pointers[i, c] is a place in segment c at or before
the first such partner of entry i, moved forward as slabs go up. A word packs coordinates, each in a lane that wraps
around; the top bits of the lanes, `mask`, are the cell of a sum. `state` int64[1] is the entry of list 1 to go on
with, so that a slab can be done in pieces of about `steps` sums.
"""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.jit import njit

__all__ = ["chain_cells", "join_slab", "mark_cells", "move_pointers", "pick_marked"]

u64 = np.uint64

GOLDEN = u64(0x9E3779B97F4A7C15)  # Fibonacci hashing: the top bits of cell * GOLDEN (mod 2**64)
ONE, ZERO, WORD_BITS, BIT_OF_WORD = u64(1), u64(0), u64(6), u64(63)
SCRATCH = 256


@njit
def find_end(keys, start, stop, bound, guess):
    """The first index from start on whose key is at least the bound, or stop; quick where it is near start + guess."""
    above = min(stop, start + guess)
    stride = 8
    if above < stop and keys[above] < bound:
        below = above
        while below + stride < stop and keys[below + stride] < bound:
            below += stride
            stride += stride
        above = min(stop, below + stride)
    else:
        below = above - stride
        while below >= start and keys[below] >= bound:
            above = below
            stride += stride
            below -= stride
        below = max(below, start - 1)
    while above - below > 1:
        middle = (above + below) >> 1
        if keys[middle] < bound:
            below = middle
        else:
            above = middle
    return above


@njit
def find_start(keys, place, stop, bound):
    """The first index from `place` on whose key is at least the bound; quick where it is near."""
    while place < stop and keys[place] < bound:
        place += 1
    return place


@njit
def move_pointers(keys_1, reach, keys_2, last, pointers, low):
    """Move every pointer forward to the first partner whose sum is at least low. O(m1 s log m2)."""
    guess = 16
    for i in range(keys_1.size):
        for c in range(reach[i]):
            start = pointers[i, c]
            pointers[i, c] = find_end(keys_2, start, last[c], low - keys_1[i], guess)
            guess = pointers[i, c] - start


@njit
def mix_lanes(one, other, lanes, mixed):
    """Every cell whose lanes each come from one of two cells, the first as it is; returns how many."""
    mixed[0] = one
    count = 1
    for f in range(lanes.size):
        part = (one ^ other) & lanes[f]
        if part != ZERO:
            for t in range(count):
                mixed[count + t] = mixed[t] ^ part
            count += count
    return count


@njit
def mark_cells(
    keys_1, words_1, reach, keys_2, words_2, last, pointers,
    low, high, halo, mask, lanes, shift, table, state, steps,
):  # fmt: skip
    """Set the bits of all cells that lie within `halo` of a sum of the slab; returns the number of sums.

    table uint64[2**(64 - shift) / 64] is modified. pointers are read only.
    """
    scratch = np.empty(SCRATCH, np.uint64)
    crossed = np.empty(SCRATCH, np.uint64)
    pending = np.empty(SCRATCH, np.int64)
    mixed = np.empty(1 << lanes.size, np.uint64)
    work = 0
    guess = 16
    i = state[0]
    while i < keys_1.size and work < steps:
        key, word = keys_1[i], words_1[i]
        for c in range(reach[i]):
            start = find_start(keys_2, pointers[i, c], last[c], low - key)
            end = find_end(keys_2, start, last[c], high - key, guess)
            guess = end - start
            work += guess
            while start < end:
                size = min(end - start, SCRATCH)
                part = words_2[start : start + size]
                for j in range(size):
                    one = (word + part[j] - halo) & mask
                    scratch[j] = (one * GOLDEN) >> shift
                    crossed[j] = one ^ ((word + part[j] + halo) & mask)
                count = 0
                for j in range(size):
                    place = scratch[j]
                    table[place >> WORD_BITS] |= ONE << (place & BIT_OF_WORD)
                    pending[count] = j
                    count += int(crossed[j] != ZERO)
                for q in range(count):
                    one = (word + part[pending[q]] - halo) & mask
                    for t in range(1, mix_lanes(one, one ^ crossed[pending[q]], lanes, mixed)):
                        place = (mixed[t] * GOLDEN) >> shift
                        table[place >> WORD_BITS] |= ONE << (place & BIT_OF_WORD)
                start += size
        i += 1
    state[0] = i
    return work


@njit
def pick_marked(
    keys_1, words_1, reach, keys_2, words_2, last, pointers,
    low, high, mask, shift, table, picked_1, picked_2, picked_cells, state, steps,
):  # fmt: skip
    """List the sums of the slab whose cell is marked: their entries of list 1 and 2 and their cell.

    Stops early where the next entry of list 1 might not fit: the lists must hold more than m2 sums. state int64[2]
    is (next entry of list 1, number of sums listed). pointers are moved to the slab's upper end. Returns the number
    of sums.
    """
    scratch = np.empty(SCRATCH, np.uint64)
    work = 0
    guess = 16
    i, count = state[0], state[1]
    room = picked_1.size - keys_2.size
    while i < keys_1.size and work < steps and count < room:
        key, word = keys_1[i], words_1[i]
        for c in range(reach[i]):
            start = find_start(keys_2, pointers[i, c], last[c], low - key)
            end = find_end(keys_2, start, last[c], high - key, guess)
            guess = end - start
            work += guess
            pointers[i, c] = end
            while start < end:
                size = min(end - start, SCRATCH)
                part = words_2[start : start + size]
                for j in range(size):
                    scratch[j] = (((word + part[j]) & mask) * GOLDEN) >> shift
                for j in range(size):
                    place = scratch[j]
                    picked_2[count] = start + j
                    picked_1[count] = i
                    count += np.int64((table[place >> WORD_BITS] >> (place & BIT_OF_WORD)) & ONE)
                start += size
        i += 1
    for r in range(state[1], count):
        picked_cells[r] = (words_1[picked_1[r]] + words_2[picked_2[r]]) & mask
    state[0] = i
    state[1] = count
    return work


@njit
def chain_cells(picked_cells, count, shift, table, heads, following):
    """Mark the picked cells and chain those that share a head: heads int32[2**b], following int32[count], -1 ends."""
    heads[:] = -1
    wrap = u64(heads.size - 1)
    for r in range(count):
        place = (picked_cells[r] * GOLDEN) >> shift
        table[place >> WORD_BITS] |= ONE << (place & BIT_OF_WORD)
        head = np.int64(place & wrap)
        following[r] = heads[head]
        heads[head] = r


@njit
def join_slab(
    keys_1, words_1, reach, keys_2, words_2, last, pointers,
    low, high, halo, mask, lanes, shift, table,
    picked_1, picked_2, picked_cells, heads, following,
    columns_1, columns_2, columns_3, columns_4, sizes_1, sizes_2, sizes_3, sizes_4, smallest, largest,
    errors, codes, control, state, steps,
):  # fmt: skip
    """Compare the sums of the slab with the picked ones of the other stream, exactly, wherever they share a cell.

    columns int64[d, m] are the coordinates of the four lists, sizes int64[m] the rows in each entry; a match has
    between smallest and largest rows and |1 + 2 - 3 - 4| <= limit in every coordinate, the limit as in
    `CandidateBuffer`. A match is written with the codes (1 * m2 + 2, 3 * m4 + 4). state int64[4] is (next entry of
    list 1, why it paused, segment, place in list 2 or -1): 1 asks for a look at the buffer, 2 says that matches were
    dropped for want of room. Returns the number of sums, cells and pairs that were looked at.
    """
    scratch = np.empty(SCRATCH, np.uint64)
    crossed = np.empty(SCRATCH, np.uint64)
    pending = np.empty(SCRATCH, np.int64)
    mixed = np.empty(1 << lanes.size, np.uint64)
    wrap = u64(heads.size - 1)
    d = columns_1.shape[0]
    limit = min(control[3], control[1] + control[2])
    work = 0
    guess = 16
    i, _, resumed_segment, resumed_at = state
    state[1] = 0
    state[3] = -1
    while i < keys_1.size and work < steps and limit >= 0:
        key, word = keys_1[i], words_1[i]
        for c in range(resumed_segment if resumed_at >= 0 else 0, reach[i]):
            start = resumed_at
            if resumed_at < 0:
                start = find_start(keys_2, pointers[i, c], last[c], low - key)
            end = find_end(keys_2, start, last[c], high - key, guess)
            if resumed_at < 0:
                guess = end - start
                work += guess
            resumed_at = -1
            while start < end:
                size = min(end - start, SCRATCH)
                part = words_2[start : start + size]
                for j in range(size):
                    one = (word + part[j] - halo) & mask
                    scratch[j] = (one * GOLDEN) >> shift
                    crossed[j] = one ^ ((word + part[j] + halo) & mask)
                count = 0
                for j in range(size):  # first those that must be looked at, so that the others cost no branch
                    place = scratch[j]
                    pending[count] = j
                    hit = (table[place >> WORD_BITS] >> (place & BIT_OF_WORD)) & ONE
                    count += int((hit != ZERO) | (crossed[j] != ZERO))
                for q in range(count):
                    at = pending[q]
                    if work >= steps and q > 0:
                        state[0] = i
                        state[2] = c
                        state[3] = start + at
                        return work
                    one = (word + part[at] - halo) & mask
                    for t in range(mix_lanes(one, one ^ crossed[at], lanes, mixed)):
                        work += 1
                        cell = mixed[t]
                        place = (cell * GOLDEN) >> shift
                        if (table[place >> WORD_BITS] >> (place & BIT_OF_WORD)) & ONE == ZERO:
                            continue
                        r = heads[np.int64(place & wrap)]
                        while r >= 0:
                            work += 1
                            if picked_cells[r] == cell:
                                k, m = picked_1[r], picked_2[r]
                                p = start + at
                                error = 0
                                for x in range(d):
                                    off = columns_1[x, i] + columns_2[x, p] - columns_3[x, k] - columns_4[x, m]
                                    error = max(error, abs(off))
                                    if error > limit:
                                        break
                                rows = sizes_1[i] + sizes_2[p] + sizes_3[k] + sizes_4[m]
                                if error <= limit and smallest <= rows <= largest:
                                    if control[0] == errors.size:
                                        state[1] = 2
                                        r = following[r]
                                        continue
                                    errors[control[0]] = error
                                    codes[control[0], 0] = i * keys_2.size + p
                                    codes[control[0], 1] = k * columns_4.shape[1] + m
                                    control[0] += 1
                                    control[1] = min(control[1], error)
                                    limit = min(control[3], control[1] + control[2])
                                    if state[1] == 0 and (error <= control[4] or 2 * control[0] > errors.size):
                                        state[1] = 1
                            r = following[r]
                start += size
        i += 1
        if state[1] != 0:
            break
    state[0] = i
    return work
