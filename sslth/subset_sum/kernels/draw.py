"""Rows of random numbers straight from Philox counters, in tiles that stay in the first-level cache."""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.jit import njit
from sslth.subset_sum.kernels.normal import interleaved_normals, normals_of_words
from sslth.subset_sum.kernels.philox import philox_tile

__all__ = ["add_scaled_rows", "draw_normal_column", "draw_normal_rows", "draw_word_rows"]

TILE = 512  # counters a tile: 8 KiB of words and as much of normals
LANES = 16  # numbers that are stored together


@njit
def set_counters(w0, w1, w2, w3, filters, channel, layer_part, row, group, groups, size):
    """Fill a tile with counters (group, filter, channel, layer_part), continuing at (row, group)."""
    start = 0
    while start < size:  # stretches of one row, so that the inner loop is a vector loop
        stretch = min(size - start, groups - group)
        t = filters[row]
        for i in range(stretch):
            w0[start + i] = np.uint32(group + i)
            w1[start + i] = t
            w2[start + i] = channel
            w3[start + i] = layer_part
        start += stretch
        group += stretch
        if group == groups:
            group = 0
            row += 1


@njit
def draw_word_rows(key_low, key_high, filters, channel, layer_part, first_group, words):
    """words[r, e] = word e & 3 of counter (first_group + (e >> 2), filters[r], channel, layer_part).

    filters uint32[k]; words uint32[k, d], written. O(k d).
    """
    rows, d = words.shape
    groups = (d + 3) // 4
    w0 = np.empty(TILE, np.uint32)
    w1 = np.empty(TILE, np.uint32)
    w2 = np.empty(TILE, np.uint32)
    w3 = np.empty(TILE, np.uint32)
    row = group = done = 0
    while done < rows * groups:
        size = min(TILE, rows * groups - done)
        set_counters(w0, w1, w2, w3, filters, channel, layer_part, row, group, groups, size)
        for i in range(size):
            w0[i] = np.uint32(w0[i] + first_group)
        philox_tile(key_low, key_high, w0, w1, w2, w3, size)
        for i in range(size):
            e = 4 * group
            words[row, e] = w0[i]
            if e + 1 < d:
                words[row, e + 1] = w1[i]
            if e + 2 < d:
                words[row, e + 2] = w2[i]
            if e + 3 < d:
                words[row, e + 3] = w3[i]
            group += 1
            if group == groups:
                group = 0
                row += 1
        done += size


@njit
def draw_normal_column(key_low, key_high, filters, channel, layer_part, entry, out):
    """out[r] = the normal number of one entry of filter filters[r].

    filters uint32[k]; out float32[k], written. O(k); three of four words are thrown away.
    """
    w0 = np.empty(TILE, np.uint32)
    w1 = np.empty(TILE, np.uint32)
    w2 = np.empty(TILE, np.uint32)
    w3 = np.empty(TILE, np.uint32)
    group, lane = np.uint32(entry >> 2), entry & 3
    for start in range(0, filters.size, TILE):
        size = min(TILE, filters.size - start)
        for i in range(size):
            w0[i] = group
            w1[i] = filters[start + i]
            w2[i] = channel
            w3[i] = layer_part
        philox_tile(key_low, key_high, w0, w1, w2, w3, size)
        words = w0 if lane == 0 else w1 if lane == 1 else w2 if lane == 2 else w3
        normals_of_words(words, out[start : start + size], size)


@njit
def draw_normal_rows(key_low, key_high, filters, scales, channel, layer_part, rows_out):
    """rows_out[r] = scales[r] * (standard normals of filter filters[r]); the product of two float32 is exact.

    filters uint32[k]; scales float32[k]; rows_out float64[k, d] or float32[k, d], C-contiguous, written. O(k d).
    """
    if rows_out.shape[1] <= 4 * TILE:
        _draw_short_rows(key_low, key_high, filters, scales, channel, layer_part, rows_out)
    else:
        _draw_long_rows(key_low, key_high, filters, scales, channel, layer_part, rows_out)


@njit
def _draw_short_rows(key_low, key_high, filters, scales, channel, layer_part, rows_out):
    """Whole rows to a tile. What a tile's counters have in common with the last one's is computed once."""
    rows, d = rows_out.shape
    groups = (d + 3) // 4
    flat = rows_out.reshape(rows * d)
    w0 = np.empty(TILE, np.uint32)
    w1 = np.empty(TILE + LANES, np.uint32)
    w2 = np.empty(TILE, np.uint32)
    w3 = np.empty(TILE, np.uint32)
    factors = np.empty(TILE + LANES, rows_out.dtype)
    normals = np.empty(4 * TILE, np.float32)
    scaled = np.empty(4 * TILE, rows_out.dtype)
    group_of = np.empty(TILE, np.uint32)
    row_of = np.empty(TILE, np.uint64)
    place_of = np.empty(TILE, np.uint64)  # unsigned: an index that may be negative is not a vector store
    for i in range(TILE):
        row, group = divmod(i, groups)
        group_of[i] = group
        row_of[i] = row
        place_of[i] = row * d + 4 * group
    rows_per_tile = TILE // groups
    for first in range(0, rows, rows_per_tile):
        here = min(rows_per_tile, rows - first)
        size = here * groups
        tile_filters = filters[first : first + here]
        tile_scales = scales[first : first + here]
        spread(tile_filters, groups, row_of, w1)
        spread(tile_scales, groups, row_of, factors)
        for i in range(size):
            w0[i] = group_of[i]
            w2[i] = channel
            w3[i] = layer_part
        philox_tile(key_low, key_high, w0, w1, w2, w3, size)
        interleaved_normals(w0, w1, w2, w3, normals, size)
        tile_out = flat[first * d : (first + here) * d]
        if d % 4 == 0:
            multiply_groups(factors, normals, tile_out, size)
            continue
        multiply_groups(factors, normals, scaled, size)
        if d < 64:  # four fixed stores a group: what a row's last group writes too far, the next row overwrites
            fixed = max(0, here - (3 if d == 1 else 1))  # rows from which the three numbers too many stay in the tile
            copy_groups(scaled, place_of, tile_out, fixed * groups)
            for row in range(fixed, here):
                copy_row(scaled[4 * row * groups :], tile_out[row * d :], d)
        else:
            for row in range(here):
                copy_row(scaled[4 * row * groups :], tile_out[row * d :], d)


@njit
def _draw_long_rows(key_low, key_high, filters, scales, channel, layer_part, rows_out):
    """Many tiles to a row: rows of more than 4 * TILE entries."""
    rows, d = rows_out.shape
    groups = (d + 3) // 4
    w0 = np.empty(TILE, np.uint32)
    w1 = np.empty(TILE, np.uint32)
    w2 = np.empty(TILE, np.uint32)
    w3 = np.empty(TILE, np.uint32)
    normals = np.empty(4 * TILE, np.float32)
    for row in range(rows):
        scale = np.float64(scales[row])
        for start in range(0, groups, TILE):
            size = min(TILE, groups - start)
            for i in range(size):
                w0[i] = np.uint32(start + i)
                w1[i] = filters[row]
                w2[i] = channel
                w3[i] = layer_part
            philox_tile(key_low, key_high, w0, w1, w2, w3, size)
            interleaved_normals(w0, w1, w2, w3, normals, size)
            count = min(4 * size, d - 4 * start)
            place = rows_out[row, 4 * start : 4 * start + count]
            for j in range(count):
                place[j] = scale * np.float64(normals[j])


@njit
def spread(values, groups, row_of, out):
    """out[r groups + g] = values[r] for g < groups; row_of[r groups + g] = r; `out` has LANES entries more than that.

    Long rows write whole vectors: what one writes too far, the next row overwrites. Short ones gather.
    """
    if groups < LANES:
        for i in range(len(values) * groups):
            out[i] = values[row_of[i]]
        return
    for row in range(len(values)):
        value = values[row]
        place = np.uint64(row * groups)  # unsigned: an index that may be negative is not a vector store
        end = place + np.uint64(groups)
        while place < end:
            for j in range(LANES):
                out[place + np.uint64(j)] = value
            place += np.uint64(LANES)


@njit
def multiply_groups(factors, normals, out, size):
    """out[4 i + c] = factors[i] * normals[4 i + c] for i < size, in the precision of `factors`."""
    for i in range(size):
        factor = factors[i]
        out[4 * i] = factor * normals[4 * i]
        out[4 * i + 1] = factor * normals[4 * i + 1]
        out[4 * i + 2] = factor * normals[4 * i + 2]
        out[4 * i + 3] = factor * normals[4 * i + 3]


@njit
def copy_groups(scaled, place_of, out, size):
    """out[place_of[i] + c] = scaled[4 i + c] for c < 4, i < size in rising order."""
    for i in range(size):
        place = place_of[i]
        a, b, c, e = scaled[4 * i], scaled[4 * i + 1], scaled[4 * i + 2], scaled[4 * i + 3]
        out[place] = a
        out[place + np.uint64(1)] = b
        out[place + np.uint64(2)] = c
        out[place + np.uint64(3)] = e


@njit
def copy_row(source, place, count):
    """place[:count] = source[:count]."""
    for j in range(count):
        place[j] = source[j]


@njit
def add_scaled_rows(factors, rows, total):
    """total += factors[0] * rows[0], then factors[1] * rows[1], and so on; products of two float32 are exact.

    factors float32[k]; rows float32[k, d]; total float64[d], in place. O(k d).
    """
    for row in range(len(rows)):
        factor = np.float64(factors[row])
        for j in range(len(total)):
            total[j] += factor * np.float64(rows[row, j])
