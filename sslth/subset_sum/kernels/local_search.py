"""Annealing over flips and swaps of rows, scored by the 2-norm or the 4-norm of the residual."""

from __future__ import annotations

from sslth.subset_sum.kernels.jit import njit

__all__ = ["anneal", "moved_norm"]


@njit
def _lane_sum(values):
    """The sum of float64[d] over eight fixed lanes: it vectorises and never reorders."""
    a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = rest = 0.0
    whole = values.size - values.size % 8
    for c in range(0, whole, 8):
        a0 += values[c]
        a1 += values[c + 1]
        a2 += values[c + 2]
        a3 += values[c + 3]
        a4 += values[c + 4]
        a5 += values[c + 5]
        a6 += values[c + 6]
        a7 += values[c + 7]
    for c in range(whole, values.size):
        rest += values[c]
    return (((a0 + a4) + (a2 + a6)) + ((a1 + a5) + (a3 + a7))) + rest


@njit
def moved_norm(residual, row_out, row_in, out_sign, in_sign, fourth, powers):
    """The 4-norm (if `fourth`) or 2-norm of residual + out_sign * row_out - in_sign * row_in; float64[d], O(d).

    powers float64[d] is workspace: products first and their sum after, because only so both loops vectorise.
    """
    for c in range(residual.size):
        x = residual[c] + out_sign * row_out[c] - in_sign * row_in[c]
        square = x * x
        powers[c] = square * square if fourth else square
    total = _lane_sum(powers)
    return total**0.25 if fourth else total**0.5


@njit
def anneal(rows, residual, keep, places, best_keep, state, values, sizes, picks, chances, powers, sup, cooling):
    """One Metropolis move for each row of `picks`; stops early once the best error is within the tolerance.

    rows float64[n, d]; residual float64[d] = target - sum of the kept rows; keep bool[n]; places int64[n], a
    permutation with the kept rows first; state int64[1], how many are kept; values float64[4]: norm of the
    residual, temperature (times `cooling` after each move), best error, tolerance. All of these change in place, and
    best_keep bool[n] becomes the subset of the best error seen. `sup`: moves are scored by the 4-norm and errors are
    sup norms; otherwise both are the 2-norm. sizes int64[2]: smallest, largest; picks float64[moves, 3] in [0, 1);
    chances float64[moves], exponential; powers float64[d], workspace. Returns the moves made. O(moves d).
    """
    n = rows.shape[0]
    for move in range(picks.shape[0]):
        count = state[0]
        swap = (picks[move, 0] < 0.5 or sizes[0] == sizes[1]) and 0 < count < n
        if swap:
            p = int(picks[move, 1] * count)
            q = count + int(picks[move, 2] * (n - count))
            row_out, row_in, out_sign, in_sign = places[p], places[q], 1.0, 1.0
        else:
            p = int(picks[move, 1] * n)
            q = p
            row_out = row_in = places[p]
            out_sign, in_sign = (1.0, 0.0) if p < count else (0.0, 1.0)
        values[1] *= cooling
        if not swap and ((p < count and count <= sizes[0]) or (p >= count and count >= sizes[1])):
            continue
        score = moved_norm(residual, rows[row_out], rows[row_in], out_sign, in_sign, sup, powers)
        if score - values[0] > chances[move] * values[1]:
            continue
        for c in range(residual.size):
            residual[c] += out_sign * rows[row_out, c] - in_sign * rows[row_in, c]
        values[0] = score
        if swap:
            places[p], places[q] = row_in, row_out
        elif p < count:
            places[p], places[count - 1] = places[count - 1], places[p]
            state[0] = count - 1
        else:
            places[p], places[count] = places[count], places[p]
            state[0] = count + 1
        if out_sign > 0.0:
            keep[row_out] = False
        if in_sign > 0.0:
            keep[row_in] = True
        error = score
        if sup:
            error = 0.0
            for c in range(residual.size):
                error = max(error, abs(residual[c]))
                if error >= values[2]:
                    break
        if error < values[2]:
            values[2] = error
            best_keep[:] = keep
            if error <= values[3]:
                return move + 1
    return picks.shape[0]
