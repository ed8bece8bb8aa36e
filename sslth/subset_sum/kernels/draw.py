"""Rows of random numbers straight from Philox counters, in tiles that stay in the first-level cache."""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.jit import njit
from sslth.subset_sum.kernels.normal import word_to_normal
from sslth.subset_sum.kernels.philox import philox_tile

__all__ = ["draw_normal_rows", "draw_word_rows"]

TILE = 512  # counters a tile: 8 KiB of words and as much of normals


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
def draw_normal_rows(key_low, key_high, filters, scales, channel, layer_part, rows_out):
    """rows_out[r] = scales[r] * (standard normals of filter filters[r]); the product of two float32 is exact.

    filters uint32[k]; scales float32[k]; rows_out float64[k, d] or float32[k, d], written. O(k d).
    """
    rows, d = rows_out.shape
    groups = (d + 3) // 4
    w0 = np.empty(TILE, np.uint32)
    w1 = np.empty(TILE, np.uint32)
    w2 = np.empty(TILE, np.uint32)
    w3 = np.empty(TILE, np.uint32)
    normals = np.empty(4 * TILE, np.float32)
    row = group = done = 0
    while done < rows * groups:
        size = min(TILE, rows * groups - done)
        set_counters(w0, w1, w2, w3, filters, channel, layer_part, row, group, groups, size)
        philox_tile(key_low, key_high, w0, w1, w2, w3, size)
        for i in range(size):
            normals[4 * i] = word_to_normal(w0[i])
            normals[4 * i + 1] = word_to_normal(w1[i])
            normals[4 * i + 2] = word_to_normal(w2[i])
            normals[4 * i + 3] = word_to_normal(w3[i])
        position = 0
        while position < size:  # copy whole stretches of a row
            e = 4 * group
            stretch = min(size - position, groups - group)
            scale = np.float64(scales[row])
            count = min(4 * stretch, d - e)
            source = normals[4 * position : 4 * position + count]
            place = rows_out[row, e : e + count]
            for j in range(count):
                place[j] = scale * np.float64(source[j])
            position += stretch
            group += stretch
            if group == groups:
                group = 0
                row += 1
        done += size
