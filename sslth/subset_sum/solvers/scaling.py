"""Bring an instance to magnitude 1 by a power of two, so that squares neither overflow nor vanish."""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.instance import FloatArray, Instance

__all__ = ["scaled_to_one"]


def scaled_to_one(instance: Instance) -> tuple[FloatArray, FloatArray, int]:
    """Rows and target times 2**shift with the largest row entry in [1/2, 1); (float64[n, d], float64[d], shift).

    Exact for entries within 2**1022 of the largest; smaller ones lose bits that no search could use.
    """
    _, exponent = np.frexp(np.abs(instance.samples).max())
    shift = -int(exponent)
    if shift == 0:
        return instance.samples, instance.target, 0
    return np.ldexp(instance.samples, shift), np.ldexp(instance.target, shift), shift
