"""Pursuit over rows in a given order: one keep-or-drop pass, a flipping pass, and a beam over the last rows."""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.jit import njit

__all__ = ["beam_over_tail", "dot", "flip_pass", "norms_and_sum", "squared_norms", "threshold_pass"]


@njit
def dot(x, y):
    """Inner product of two vectors[d] of one dtype over eight fixed lanes: it vectorises and never reorders."""
    zero = x[0] - x[0]
    a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = rest = zero
    d = x.size
    whole = d - d % 8
    for j in range(0, whole, 8):
        a0 += x[j] * y[j]
        a1 += x[j + 1] * y[j + 1]
        a2 += x[j + 2] * y[j + 2]
        a3 += x[j + 3] * y[j + 3]
        a4 += x[j + 4] * y[j + 4]
        a5 += x[j + 5] * y[j + 5]
        a6 += x[j + 6] * y[j + 6]
        a7 += x[j + 7] * y[j + 7]
    for j in range(whole, d):
        rest += x[j] * y[j]
    return (((a0 + a4) + (a2 + a6)) + ((a1 + a5) + (a3 + a7))) + rest


@njit
def squared_norms(rows, norms):
    """norms[i] = |rows[i]|^2; float64[n, d] to float64[n]."""
    for i in range(rows.shape[0]):
        norms[i] = dot(rows[i], rows[i])


@njit
def norms_and_sum(rows, norms, total):
    """norms[i] = |rows[i]|^2 and total = sum of the rows, in one pass; float64[n, d] to float64[n], float64[d]."""
    total[:] = 0.0
    for i in range(rows.shape[0]):
        row = rows[i]
        norms[i] = dot(row, row)
        for j in range(total.size):
            total[j] += row[j]


@njit
def threshold_pass(rows, norms, order, residual, keep, share, count, count_weight):
    """Decide the rows of `order` one after the other: keep a row iff that leaves the smaller residual.

    The residual float64[d] (changed in place) counts every undecided row with the weight `share`: 0 for "keep iff
    the residual falls", k/n for a wanted number of rows. `count` is (rows kept) - share * (rows decided), and the
    criterion adds count_weight * count^2. Writes keep bool[n]; returns the new count. O(len(order) d).
    """
    for i in order:
        y = rows[i]
        gain = (1.0 - 2.0 * share) * norms[i] - 2.0 * dot(residual, y)
        gain += count_weight * (2.0 * (count - share) + 1.0)
        keep[i] = gain < 0.0
        step = share - 1.0 if keep[i] else share
        count -= step
        if step != 0.0:
            for j in range(residual.size):
                residual[j] += step * y[j]
    return count


@njit
def flip_pass(rows, norms, order, residual, keep):
    """Flip every row of `order` whose flip lowers |residual|; returns how many were flipped. In place, O(n d)."""
    flips = 0
    for i in order:
        y = rows[i]
        sign = 1.0 if keep[i] else -1.0
        if norms[i] + 2.0 * sign * dot(residual, y) < 0.0:
            keep[i] = not keep[i]
            flips += 1
            for j in range(residual.size):
                residual[j] += sign * y[j]
    return flips


@njit
def beam_over_tail(rows, norms, tail, share, residual, count, count_weight, parents, choices, residuals, counts):
    """Beam search over keeping or dropping the rows of `tail`, in that order.

    As in `threshold_pass` undecided rows count with weight `share`. States: residuals float64[2, width, d] (two
    generations, workspace), counts float64[2, width]; history: parents int32[len(tail), width] and choices
    bool[len(tail), width], written. The states with the smallest |residual|^2 + count_weight * count^2 survive.
    Returns (generation, number of states), in whose slots the last residuals stand. O(len(tail) width d).
    """
    width, d = residuals.shape[1], residuals.shape[2]
    scores = np.empty(2 * width)
    norms_now = np.empty(width)
    residuals[0, 0, :] = residual
    counts[0, 0] = count
    norms_now[0] = dot(residual, residual)
    old, states = 0, 1
    for step in range(tail.size):
        y = rows[tail[step]]
        norm = norms[tail[step]]
        for s in range(states):
            overlap = 2.0 * dot(residuals[old, s], y)
            drop, kept = counts[old, s] - share, counts[old, s] - share + 1.0
            scores[2 * s] = norms_now[s] + share * overlap + share * share * norm + count_weight * drop * drop
            other = share - 1.0
            scores[2 * s + 1] = norms_now[s] + other * overlap + other * other * norm + count_weight * kept * kept
        order = np.argsort(scores[: 2 * states], kind="mergesort")
        new = 1 - old
        survivors = min(width, 2 * states)
        for s in range(survivors):
            parent, chosen = order[s] // 2, order[s] % 2 == 1
            weight = share - 1.0 if chosen else share
            for j in range(d):
                residuals[new, s, j] = residuals[old, parent, j] + weight * y[j]
            counts[new, s] = counts[old, parent] - weight
            parents[step, s] = parent
            choices[step, s] = chosen
        for s in range(survivors):
            norms_now[s] = dot(residuals[new, s], residuals[new, s])
        old, states = new, survivors
    return old, states
