"""Dropping sums of one half that no sum of the other is near: directions that separate, and the sums they leave."""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.branch_and_bound import is_out_of_reach
from sslth.subset_sum.kernels.jit import njit

__all__ = ["choose_cover", "list_partners", "separating_directions"]

i16 = np.int16


@njit
def separating_directions(halves, centres, limits, sweeps, directions):
    """Write a direction for each centre from which the signed sums of the halves cannot reach the box of +-limits.

    float64: halves[n, w], centres[s, w], limits[w], directions[s, w], of which the first lines are written; returns how
    many. `is_out_of_reach` finds them; where it finds none, there may be one. O(s sweeps n w).
    """
    squares = halves * halves
    residual, u, active = np.empty(limits.size), np.empty(limits.size), np.empty(limits.size)
    signs = np.empty(halves.shape[0])
    found = 0
    for s in range(centres.shape[0]):
        residual[:] = centres[s]
        signs[:] = 0.0
        outside, _ = is_out_of_reach(halves, squares, 0, centres[s], residual, signs, limits, 0.0, u, active, sweeps)
        if outside:
            directions[found] = u
            found += 1
    return found


@njit
def choose_cover(cuts, fewest, chosen):
    """Greedily choose lines of cuts bool[directions, samples], each for the most samples that none before has cut.

    Written to chosen int64[k]; ends where a line would cut fewer than `fewest` more. Returns how many were chosen and
    how many samples they leave.
    """
    left = np.ones(cuts.shape[1], np.bool_)
    for k in range(chosen.size):
        best, most = 0, -1
        for u in range(cuts.shape[0]):
            gain = 0
            for s in range(left.size):
                gain += int(left[s] & cuts[u, s])
            if gain > most:
                best, most = u, gain
        if most < fewest:
            return k, left.sum()
        chosen[k] = best
        left &= ~cuts[best]
    return chosen.size, left.sum()


@njit
def list_partners(lines_1, lines_2, lowest, limits, ends, offsets, partners, kept, first, stop):
    """Write the partners in list 2 of the entries first..stop - 1 of list 1 whose sums are within all limits.

    Entry i and partner p < ends[i] go together if lines_1[k, i] + lines_2[k, p] <= limits[k] for all k; lines_1
    int64[k, m1], lines_2 int16[k, m2], `lowest` the smallest entry of each of its lines. The partners of i are
    partners[offsets[i]:offsets[i + 1]], int32; offsets[first] is known. kept uint8[m2] is workspace.
    """
    at = offsets[first]
    for i in range(first, stop):
        end, possible = ends[i], True
        for k in range(limits.size):
            possible &= limits[k] - lines_1[k, i] >= lowest[k]
        if possible:
            for p in range(end):
                kept[p] = 1
            for k in range(limits.size):
                line, most = lines_2[k], i16(min(limits[k] - lines_1[k, i], 32767))
                for p in range(end):
                    kept[p] &= line[p] <= most
            for p in range(end):
                partners[at] = p
                at += np.int64(kept[p])
        offsets[i + 1] = at
