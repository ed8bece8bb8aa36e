"""Telling large filters from small ones by their scales, one stretch of filter numbers at a time."""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.jit import njit

__all__ = ["split_scales"]


@njit
def split_scales(scales, first, sign, edge, large, large_scales, count, small, small_scales, small_count):
    """Sort filters first, first + 1, ... with these scales into large and small ones; those of the other sign drop out.

    scales float32[k]; a filter counts where sign * scale > 0, and is large where that is at least `edge`, float32.
    Numbers uint32 and lengths float32 are written behind the first `count` and `small_count` entries of both pairs
    of arrays, which must have room for k more. Returns the new counts. O(k), without branches.
    """
    for i in range(scales.size):
        length = sign * scales[i]
        large[count] = small[small_count] = np.uint32(first + i)
        large_scales[count] = small_scales[small_count] = length
        count += length >= edge
        small_count += (length > np.float32(0)) & (length < edge)
    return count, small_count
