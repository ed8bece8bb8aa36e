"""Some subset of an allowed size, at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.instance import Instance

__all__ = ["quick_subset"]

IntArray = npt.NDArray[np.int64]


def quick_subset(instance: Instance) -> IntArray:
    """Some subset of an allowed size: one row after the other, the one that leaves the smallest error.

    Cost O(k n d) for k chosen rows, cut off after about 10 ms; fails to find anything good where rows must cancel.
    """
    largest = instance.largest_size
    free = np.ones(instance.n, dtype=np.bool_)
    chosen: list[int] = []
    residual = instance.target.copy()
    steps = min(largest, 1 + 2_000_000 // (instance.n * instance.d))
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps):
            open_rows = np.flatnonzero(free)
            errors = np.abs(residual - instance.samples[open_rows]).max(axis=1)
            best = int(np.argmin(errors))
            improves = bool(errors[best] < np.abs(residual).max())
            if not improves and len(chosen) >= instance.smallest_size:
                break
            row = int(open_rows[best])
            free[row] = False
            chosen.append(row)
            residual = residual - instance.samples[row]
    missing = instance.smallest_size - len(chosen)
    if missing > 0:
        chosen.extend(np.flatnonzero(free)[:missing].tolist())
    return np.sort(np.array(chosen, dtype=np.int64))
