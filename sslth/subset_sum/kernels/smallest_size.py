"""Subsets of one sample array in the order of their size, until one is within the tolerance."""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.jit import njit

__all__ = ["FIRST", "SMALLEST", "search_by_size", "search_many_by_size"]

FIRST = 0  # the error of the first subset within the tolerance
SMALLEST = 1  # the smallest error among the subsets of that size


@njit
def search_by_size(samples, target, tolerance, largest, errors):
    """Return the size of the smallest subset within the tolerance; of the best subset if none is, up to `largest` rows.

    samples float64[n], target a number. Subsets of one size come in lexicographic order of their rows; of subsets with
    equal errors the first is the best. Writes errors[FIRST] and errors[SMALLEST], both above the tolerance, and equal,
    where nothing fits. Sums are float64, added from the first row to the last. O(number of subsets seen) time, O(n)
    memory.
    """
    n = samples.size
    best = abs(target)
    if best <= tolerance:
        errors[FIRST] = errors[SMALLEST] = best
        return 0
    best_size = 0
    rows = np.zeros(n + 1, dtype=np.int64)
    sums = np.zeros(n + 1)  # sums[j]: of the first j chosen rows
    for size in range(1, min(largest, n) + 1):
        found = -1.0
        for j in range(size):
            rows[j] = j
            sums[j + 1] = sums[j] + samples[j]
        while True:
            error = abs(sums[size] - target)
            if error < best:
                best = error
                best_size = size
            if found < 0.0 and error <= tolerance:
                found = error
            place = size - 1
            while place >= 0 and rows[place] == n - size + place:
                place -= 1
            if place < 0:
                break
            first = rows[place] + 1
            for j in range(place, size):
                rows[j] = first + j - place
                sums[j + 1] = sums[j] + samples[rows[j]]
        if found >= 0.0:
            errors[FIRST] = found
            errors[SMALLEST] = best  # subsets of fewer rows are all above the tolerance
            return size
    errors[FIRST] = errors[SMALLEST] = best
    return best_size


@njit
def search_many_by_size(samples, targets, tolerance, largest, sizes, errors):
    """`search_by_size` for each target: samples float64[m, n], targets float64[m].

    Writes sizes int64[m] and errors float64[m, 2].
    """
    for index in range(targets.size):
        sizes[index] = search_by_size(samples[index], targets[index], tolerance, largest, errors[index])
