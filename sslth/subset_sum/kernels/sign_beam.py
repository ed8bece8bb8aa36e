"""Beam search over the signs of the last rows, states side by side so that every inner loop runs over them."""

from __future__ import annotations

import math

import numpy as np

from sslth.subset_sum.kernels.jit import njit

__all__ = ["beam_over_signs", "follow_back", "table_of_minus_log"]

_CELLS = 128
_REACH = 7.0  # standard deviations beyond the box where the table ends and a parabola goes on


@njit
def table_of_minus_log(half_width, deviation, table):
    """table[i] = -log P(|r + N(0, deviation^2)| <= half_width) at r = i * step; returns the step."""
    step = (half_width + _REACH * deviation) / (table.size - 1)
    for i in range(table.size):
        a = (i * step - half_width) / deviation
        b = (i * step + half_width) / deviation
        inside = 0.5 * (math.erfc(a * 0.7071067811865476) - math.erfc(b * 0.7071067811865476))
        table[i] = -math.log(max(inside, 1e-300))
    return step


@njit
def _overlaps(residuals, row, states, up, down, carried, scores):
    """scores[s] and scores[width + s]: the squared length of state s less `up` or `down` times the row."""
    width = residuals.shape[1]
    dots = np.zeros(states, dtype=np.float32)
    square = np.float32(0)
    for j in range(row.size):
        line, y = residuals[j], row[j]
        square += y * y
        for s in range(states):
            dots[s] += line[s] * y
    two = np.float32(2)
    for s in range(states):
        scores[s] = carried[s] - two * up * dots[s] + up * up * square
        scores[width + s] = carried[s] - two * down * dots[s] + down * down * square


@njit
def _potentials(residuals, row, states, up, down, table, per_step, scores):
    """Add to scores[s] and scores[width + s] the table at |state s - up or down * row|, summed over coordinates."""
    width = residuals.shape[1]
    last = np.float32(table.size - 2)
    for j in range(row.size):
        line = residuals[j]
        plus, minus = up * row[j], down * row[j]
        for s in range(states):
            x = abs(line[s] - plus) * per_step
            y = abs(line[s] - minus) * per_step
            cx, cy = int(min(x, last)), int(min(y, last))
            fx, fy = x - np.float32(cx), y - np.float32(cy)
            scores[s] += table[cx] + (table[cx + 1] - table[cx]) * fx
            scores[width + s] += table[cy] + (table[cy + 1] - table[cy]) * fy


@njit
def _largest(residuals, row, states, up, down, scores):
    """scores[s] and scores[width + s]: the sup norm of state s less `up` or `down` times the row."""
    width = residuals.shape[1]
    for s in range(2 * width):
        scores[s] = 0.0
    for j in range(row.size):
        line = residuals[j]
        plus, minus = up * row[j], down * row[j]
        for s in range(states):
            scores[s] = max(scores[s], abs(line[s] - plus))
            scores[width + s] = max(scores[width + s], abs(line[s] - minus))


@njit
def _select(scores, states, survivors, width, parents, ups):
    """The `survivors` smallest of the 2 * states scores, ties by position, in order of position."""
    count = 2 * states
    bar, ties = np.float32(np.inf), survivors
    if survivors < count:
        both = np.empty(count, dtype=np.float32)
        both[:states] = scores[:states]
        both[states:] = scores[width : width + states]
        bar = np.partition(both, survivors - 1)[survivors - 1]
        for s in range(count):
            if both[s] < bar:
                ties -= 1
    taken = 0
    for s in range(count):
        score = scores[s] if s < states else scores[width + s - states]
        chosen = score < bar
        if not chosen and ties > 0:
            chosen = True
            ties -= 1
        if chosen and taken < survivors:
            parents[taken] = s if s < states else s - states
            ups[taken] = s < states
            taken += 1


@njit
def beam_over_signs(
    rows, means, variances, priors, half_width, potential, sup_last, counted,
    residuals, carried, scores, parents, ups, begin, end, old, states,
):  # fmt: skip
    """Decide rows begin to end - 1 one after the other, keeping the best states; returns (generation, states).

    rows float32[k, d]; an undecided row counts means[i] (float64[k], in [-1, 1]) of itself, and the rows after i
    spread each coordinate by variances[i, 0], the last one by variances[i, 1] where that is `counted`; priors
    float64[k, 2] is added to the score for the sign + and for -. A state's score is the squared length of its
    residual, or with `potential` the sum of -log P(|r_j + N(0, variance)| <= half_width) and of its priors. The very
    last row is decided by the sup norm where `sup_last`. State: residuals float32[2, d, width] and carried
    float32[2, width] (two generations, `old` the current one, with `states` states; carried is the squared length, or
    the priors so far). Workspace scores float32[2 width]; history parents int32[k, width], ups bool[k, width].
    O((end - begin) width d).
    """
    k, d = rows.shape
    width = residuals.shape[2]
    plain = d - 1 if counted else d
    table = np.empty(_CELLS)
    table32 = np.empty(_CELLS, dtype=np.float32)
    for i in range(begin, end):
        row = rows[i]
        up, down = np.float32(1.0 - means[i]), np.float32(-1.0 - means[i])
        for_up, for_down = np.float32(priors[i, 0]), np.float32(priors[i, 1])
        if i == k - 1 and sup_last:
            _largest(residuals[old], row, states, up, down, scores)
        elif potential:
            for s in range(2 * width):
                scores[s] = 0.0
            for part in range(2 if plain < d else 1):
                deviation = math.sqrt(variances[i, part] + (0.02 * half_width) ** 2)
                step = table_of_minus_log(half_width, deviation, table)
                for c in range(_CELLS):
                    table32[c] = table[c]
                first, after = (0, plain) if part == 0 else (plain, d)
                _potentials(
                    residuals[old, first:after],
                    row[first:after],
                    states,
                    up,
                    down,
                    table32,
                    np.float32(1.0 / step),
                    scores,
                )
            for s in range(states):
                scores[s] += carried[old, s] + for_up
                scores[width + s] += carried[old, s] + for_down
        else:
            _overlaps(residuals[old], row, states, up, down, carried[old], scores)
        survivors = min(width, 2 * states)
        new = 1 - old
        came, signs = parents[i], ups[i]
        _select(scores, states, survivors, width, came, signs)
        for s in range(survivors):
            carried[new, s] = carried[old, came[s]] + (for_up if signs[s] else for_down) if potential else 0.0
        for j in range(d):
            here, there = residuals[old, j], residuals[new, j]
            plus, minus = up * row[j], down * row[j]
            for s in range(survivors):
                there[s] = here[came[s]] - (plus if signs[s] else minus)
            if not potential:
                for s in range(survivors):
                    carried[new, s] += there[s] * there[s]
        old, states = new, survivors
    return old, states


@njit
def follow_back(parents, ups, state, signs):
    """signs bool[k] of the path that ends in `state`."""
    for i in range(signs.size - 1, -1, -1):
        signs[i] = ups[i, state]
        state = parents[i, state]
