"""Laying out two halves for `join_tiles`: the rows of one by cell and in tiles of bytes, those of the other in buckets.

A half is the set of sums of one entry of list 1 and one of list 2; entry i of list 1 has the partners
partners[offsets[i]:offsets[i + 1]], or as many from 0 on if `partners` is None, and `i << code_bits | p` is the code of
its sum with p. Sums of the first half are called *rows*, those of the other *wanted*: a row is wanted near each. Lists
hold one line an axis, int64[axes, m]; `shifts` is log2 of the sides of cells along the axes, `strides` make a cell's
number, the last one is 1.

Axes 0..c - 1 are *coarse*: their cells are wider than the window, so that a window meets one or two of them. Axis c is
*fine*: a window meets a run of its cells, whose rows lie side by side.

A *tile* is 64 rows, of each a byte of four or eight coordinates: byte b of row r is at tiles[r // 64, 64 b + r % 64].
It is the upper half of lane b % 4, 16 bits from the lowest on, of word b // 4; the word of a sum is that of its entry
of list 1 plus that of its entry of list 2. A lane holds whole steps modulo 2^16: less than two too few, as both entries
were rounded down, and one too many at most, carried over from the lane below.

A *bucket* holds the wanted sums whose windows meet the same coarse cells and begin near each other along the fine axis.
Its number is made of the lowest of those cells; c bits, bit k says whether there is a second one along axis k; and
`stretch_bits` bits, the fine cell where the window begins >> stretch.
"""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.jit import njit

__all__ = ["accumulate", "count_rows", "count_wanted", "fill_tiles", "place_rows", "place_wanted"]

u8 = np.uint8


@njit
def accumulate(start):
    """Replace counts by their running sums."""
    total = 0
    for c in range(start.size):
        total += start[c]
        start[c] = total


@njit
def gather(line, partners, first, end, values):
    """Write the entries of the `end` partners to values int64[m2]."""
    if partners is None:
        for q in range(end):
            values[q] = line[q]
    else:
        for q in range(end):
            values[q] = line[partners[first + q]]


@njit
def number_cells(one, two, i, offsets, partners, low, shifts, strides, values, keys):
    """Write the cells of the sums of entry i to keys int64[m2]; values int64[m2] is workspace. Returns how many."""
    first, end = offsets[i], offsets[i + 1] - offsets[i]
    for q in range(end):
        keys[q] = 0
    for k in range(shifts.size):
        base, shift, stride = one[k, i] - low[k], shifts[k], strides[k]
        gather(two[k], partners, first, end, values)
        for q in range(end):
            keys[q] += ((base + values[q]) >> shift) * stride
    return end


@njit
def count_rows(one, two, offsets, partners, low, shifts, strides, values, keys, cells, start, first, stop):
    """Write the cells of the rows of entries first..stop - 1 to cells int32[rows], and count them.

    Those of cell c are added to start[c + 2]; start int32[cells + 2].
    """
    for i in range(first, stop):
        at = offsets[i]
        for q in range(number_cells(one, two, i, offsets, partners, low, shifts, strides, values, keys)):
            cells[at + q] = keys[q]
            start[keys[q] + 2] += 1


@njit
def place_rows(offsets, partners, cells, start, code_bits, order, first, stop):
    """Write the codes of the rows of entries first..stop - 1 in the order of their cells.

    start int32[cells + 2] holds running sums; where a cell's rows go next, at c + 1, moves on. Once all are placed, the
    rows of cell c are order[start[c]:start[c + 1]].
    """
    for i in range(first, stop):
        for at in range(offsets[i], offsets[i + 1]):
            p = at - offsets[i] if partners is None else np.int64(partners[at])
            cell = cells[at] + 1
            order[start[cell]] = (i << code_bits) | p
            start[cell] += 1


@njit
def fill_tiles(words_1, words_2, order, code_bits, tiles, first, stop):
    """Write the bytes of the rows first..stop - 1 to tiles uint8[tiles, 64 B]; first is a multiple of 64."""
    partner = (1 << code_bits) - 1
    words = np.empty(64, np.int64)
    for w in range(words_1.shape[0]):
        line_1, line_2 = words_1[w], words_2[w]
        for start in range(first, stop, 64):
            codes, tile = order[start : min(start + 64, stop)], tiles[start >> 6]
            for q in range(codes.size):
                words[q] = line_1[codes[q] >> code_bits] + line_2[codes[q] & partner]
            for b in range(4):
                line, shift = tile[256 * w + 64 * b : 256 * w + 64 * b + 64], 16 * b + 8
                for q in range(64):
                    line[q] = u8((words[q] >> shift) & 255)


@njit
def number_buckets(
    one, two, i, offsets, partners, low, below, above, shifts, strides, counts, stretch, stretch_bits, buckets,
    values, keys, fine,
):  # fmt: skip
    """Write the bucket of each wanted sum of entry i to keys int64[m], the last one where the window misses all rows.

    fine int64[m] becomes twice the first fine cell of the window, plus 1 where the window meets one cell more than the
    `(below + above) >> shift` + 1 that it always may; values int64[m] is workspace. strides and counts are those of the
    rows' cells. Returns the number of sums.
    """
    coarse = shifts.size - 1
    last_fine = counts[coarse] - 1
    start_at, end = offsets[i], offsets[i + 1] - offsets[i]
    for q in range(end):
        keys[q] = 0
    for k in range(coarse):
        start = one[k, i] - low[k]
        shift, stride, last = shifts[k], strides[k] // counts[coarse], counts[k] - 1
        gather(two[k], partners, start_at, end, values)
        for q in range(end):
            first, final = (start - below[k] + values[q]) >> shift, (start + above[k] + values[q]) >> shift
            inside, until = max(first, 0), min(final, last)
            keys[q] += ((inside * stride) << coarse) + (max(until - inside, 0) << k)
            keys[q] |= np.int64(until < inside) << 60
    start, shift = one[coarse, i] - low[coarse], shifts[coarse]
    usual = (below[coarse] + above[coarse]) >> shift
    gather(two[coarse], partners, start_at, end, values)
    for q in range(end):
        first, final = (start - below[coarse] + values[q]) >> shift, (start + above[coarse] + values[q]) >> shift
        inside = min(max(first, 0), last_fine)
        missed = (final < 0) | (first > last_fine) | (keys[q] >= 1 << 60)
        keys[q] = buckets if missed else (keys[q] << stretch_bits) + (inside >> stretch)
        fine[q] = 2 * inside + np.int64(final - inside > usual)
    return end


@njit
def count_wanted(
    one, two, offsets, partners, low, below, above, shifts, strides, counts, stretch, stretch_bits, buckets,
    values, keys, fine, places, start, first, stop,
):  # fmt: skip
    """Write `fine << 32 | bucket` of the sums of entries first..stop - 1 to places int64[sums], and count buckets.

    Those of a bucket are added to start int32[buckets + 3], as by `count_rows`.
    """
    for i in range(first, stop):
        end = number_buckets(
            one, two, i, offsets, partners, low, below, above, shifts, strides, counts, stretch, stretch_bits, buckets,
            values, keys, fine,
        )  # fmt: skip
        for q in range(end):
            places[offsets[i] + q] = (fine[q] << 32) | keys[q]
            start[keys[q] + 2] += 1


@njit
def place_wanted(offsets, partners, places, start, code_bits, wanted, first, stop):
    """Write `fine << 32 | code` of the sums of entries first..stop - 1 in the order of buckets, as `place_rows`."""
    for i in range(first, stop):
        for at in range(offsets[i], offsets[i + 1]):
            p = at - offsets[i] if partners is None else np.int64(partners[at])
            bucket = (places[at] & 0xFFFFFFFF) + 1
            wanted[start[bucket]] = (places[at] >> 32 << 32) | (i << code_bits) | p
            start[bucket] += 1
