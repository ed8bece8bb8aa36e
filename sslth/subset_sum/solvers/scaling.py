"""Bring an instance to magnitude 1 by a power of two, so that squares neither overflow nor vanish."""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.instance import FloatArray, Instance

__all__ = ["scaled_to_one"]

_ORDINARY = 20  # squares of sums of up to 2**20 such numbers are far from the ends of float32


def scaled_to_one(instance: Instance) -> tuple[FloatArray, FloatArray, int]:
    """Rows and target times 2**shift, the largest row entry near 1; (float64[n, d], float64[d], shift).

    Ordinary magnitudes are left alone, without a copy. Exact for entries within 2**1022 of the largest; smaller ones
    lose bits that no search could use.
    """
    largest = max(float(instance.samples.max()), -float(instance.samples.min()))
    shift = -int(np.frexp(largest)[1])
    if abs(shift) <= _ORDINARY:
        return instance.samples, instance.target, 0
    return np.ldexp(instance.samples, shift), np.ldexp(instance.target, shift), shift
