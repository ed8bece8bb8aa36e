"""Every subset of a few rows, one row in or out at a time."""

from __future__ import annotations

from sslth.subset_sum.kernels.jit import njit

__all__ = ["walk_gray_code"]


@njit
def walk_gray_code(rows, copies, weights, sizes, walk, residual, state, errors, codes, control, steps):
    """Visit up to `steps` choices of 0..copies[j] times row j; returns how many were visited.

    Loopless reflected mixed-radix Gray code (Knuth, TAOCP 7.2.1.1, Algorithm H): one unit step of one digit at a
    time, so one row is added to or taken from the integer residual.

    rows int64[g, d]; copies, weights int64[g], weights the place values of a code; sizes int64[2], the smallest
    and largest number of rows allowed. Modified in place: walk int64[3, g + 1] (digits, directions, focus),
    residual int64[d], state int64[3] (size, code, 1 when done), and the candidate buffer (errors, codes, control).
    """
    groups, d = rows.shape
    limit = min(control[3], control[1] + control[2])
    visited = 0
    while visited < steps and state[2] == 0 and control[0] < errors.size:
        visited += 1
        accepted = False
        if sizes[0] <= state[0] <= sizes[1]:
            error = 0
            for c in range(d):
                error = max(error, abs(residual[c]))
                if error > limit:
                    break
            if error <= limit:
                errors[control[0]] = error
                codes[control[0], 0] = state[1]
                control[0] += 1
                control[1] = min(control[1], error)
                limit = min(control[3], control[1] + control[2])
                accepted = error <= control[4]
        j = walk[2, 0]
        walk[2, 0] = 0
        if j == groups:
            state[2] = 1
        else:
            step = walk[1, j]
            walk[0, j] += step
            state[0] += step
            state[1] += step * weights[j]
            for c in range(d):
                residual[c] += step * rows[j, c]
            if walk[0, j] == 0 or walk[0, j] == copies[j]:
                walk[1, j] = -step
                walk[2, j] = walk[2, j + 1]
                walk[2, j + 1] = j + 1
        if accepted or limit < 0:
            break
    return visited
