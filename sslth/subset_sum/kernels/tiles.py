"""Laying out two halves for `join_tiles`: the rows of one by cell and in tiles of bytes, those of the other in buckets.

A half is the set of sums of one entry of list 1 and one of list 2; entry i of list 1 has the partners 0..ends[i] - 1,
and `i << code_bits | p` is the code of their sum. Sums of the first half are called *rows*, those of the other
*wanted*: a row is wanted near each. Lists hold one line an axis, int64[axes, m]; `shifts` is log2 of the sides of cells
along the axes, `strides` make a cell's number, the last one is 1.

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
def number_cells(one, two, i, end, low, shifts, strides, keys):
    """Write the cells of the first `end` sums of entry i to keys int64[m2]."""
    for p in range(end):
        keys[p] = 0
    for k in range(shifts.size):
        base, line, shift, stride = one[k, i] - low[k], two[k], shifts[k], strides[k]
        for p in range(end):
            keys[p] += ((base + line[p]) >> shift) * stride


@njit
def count_rows(one, two, ends, low, shifts, strides, keys, start, first, stop):
    """Add the rows of entries first..stop - 1 to start int32[cells + 2]: those of cell c at c + 2."""
    for i in range(first, stop):
        number_cells(one, two, i, ends[i], low, shifts, strides, keys)
        for p in range(ends[i]):
            start[keys[p] + 2] += 1


@njit
def place_rows(one, two, ends, low, shifts, strides, keys, start, code_bits, order, first, stop):
    """Write the codes of the rows of entries first..stop - 1 in the order of their cells.

    start int32[cells + 2] holds running sums; where a cell's rows go next, at c + 1, moves on. Once all are placed, the
    rows of cell c are order[start[c]:start[c + 1]].
    """
    for i in range(first, stop):
        number_cells(one, two, i, ends[i], low, shifts, strides, keys)
        for p in range(ends[i]):
            cell = keys[p] + 1
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
    one, two, i, end, low, below, above, shifts, strides, counts, stretch, stretch_bits, buckets, keys, fine
):  # fmt: skip
    """Write the bucket of each wanted sum of entry i to keys int64[m], the last one where the window misses all rows.

    fine int64[m] becomes twice the first fine cell of the window, plus 1 where the window meets one cell more than the
    `(below + above) >> shift` + 1 that it always may. strides and counts are those of the rows' cells.
    """
    coarse = shifts.size - 1
    last_fine = counts[coarse] - 1
    for p in range(end):
        keys[p] = 0
    for k in range(coarse):
        start = one[k, i] - low[k]
        line, shift, stride, last = two[k], shifts[k], strides[k] // counts[coarse], counts[k] - 1
        for p in range(end):
            first, final = (start - below[k] + line[p]) >> shift, (start + above[k] + line[p]) >> shift
            inside, until = max(first, 0), min(final, last)
            keys[p] += ((inside * stride) << coarse) + (max(until - inside, 0) << k)
            keys[p] |= np.int64(until < inside) << 60
    start, line, shift = one[coarse, i] - low[coarse], two[coarse], shifts[coarse]
    usual = (below[coarse] + above[coarse]) >> shift
    for p in range(end):
        first, final = (start - below[coarse] + line[p]) >> shift, (start + above[coarse] + line[p]) >> shift
        inside = min(max(first, 0), last_fine)
        missed = (final < 0) | (first > last_fine) | (keys[p] >= 1 << 60)
        keys[p] = buckets if missed else (keys[p] << stretch_bits) + (inside >> stretch)
        fine[p] = 2 * inside + np.int64(final - inside > usual)


@njit
def count_wanted(
    one, two, ends, low, below, above, shifts, strides, counts, stretch, stretch_bits, buckets, keys, fine, start,
    first, stop,
):  # fmt: skip
    """Add the sums of entries first..stop - 1 to start int32[buckets + 3], as `count_rows`."""
    for i in range(first, stop):
        number_buckets(
            one, two, i, ends[i], low, below, above, shifts, strides, counts, stretch, stretch_bits, buckets, keys, fine
        )  # fmt: skip
        for p in range(ends[i]):
            start[keys[p] + 2] += 1


@njit
def place_wanted(
    one, two, ends, low, below, above, shifts, strides, counts, stretch, stretch_bits, buckets, keys, fine, start,
    code_bits, wanted, first, stop,
):  # fmt: skip
    """Write `fine << 32 | code` of the sums of entries first..stop - 1 in the order of buckets, as `place_rows`."""
    for i in range(first, stop):
        number_buckets(
            one, two, i, ends[i], low, below, above, shifts, strides, counts, stretch, stretch_bits, buckets, keys, fine
        )  # fmt: skip
        for p in range(ends[i]):
            bucket = keys[p] + 1
            wanted[start[bucket]] = (fine[p] << 32) | (i << code_bits) | p
            start[bucket] += 1
