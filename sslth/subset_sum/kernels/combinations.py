"""Every subset of a few rows that has an allowed size, by depth first, largest sums reused."""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.jit import njit

__all__ = ["walk_combinations"]


@njit
def walk_combinations(rows, repeats, sizes, picks, sums, state, errors, codes, control, steps):
    """Visit up to `steps` subsets of at most sizes[1] rows, and offer those of at least sizes[0]; returns how many.

    Rows are added in rising order, to the sum of those before. A row that equals the one before (repeats bool[n]) is
    added only after that, so that of equal subsets one is seen. rows int64[n, d], n <= 62. Modified in place: picks
    int64[k + 1], the next row to try after so many, sums int64[k + 1, d], of those chosen, from minus the target on;
    state int64[2] (rows chosen, or -1 when done; whether the empty set was seen), and the candidate buffer (errors,
    codes, control), whose code is the bits of the rows.
    """
    n, d = rows.shape
    limit = min(control[3], control[1] + control[2])
    visited = 0
    while visited < steps and state[0] >= 0 and control[0] < errors.size and limit >= 0:
        chosen = state[0]
        row = -1  # the empty set comes first
        if state[1] == 1:
            row = picks[chosen]
            if chosen == sizes[1] or n - row < max(1, sizes[0] - chosen):
                state[0] -= 1
                continue
            picks[chosen] = row + 1
            if repeats[row] and (chosen == 0 or picks[chosen - 1] != row):
                continue
        state[1] = 1
        visited += 1
        size = chosen + int(row >= 0)
        if size >= sizes[0]:
            error = 0
            for c in range(d):
                error = max(error, abs(sums[chosen, c] + (rows[row, c] if row >= 0 else 0)))
                if error > limit:
                    break
            if error <= limit:
                code = np.int64(0)
                for t in range(chosen):
                    code |= np.int64(1) << np.int64(picks[t] - 1)
                if row >= 0:
                    code |= np.int64(1) << np.int64(row)
                errors[control[0]] = error
                codes[control[0], 0] = code
                control[0] += 1
                control[1] = min(control[1], error)
                limit = min(control[3], control[1] + control[2])
                if error <= control[4]:
                    limit = -1
        if row >= 0 and size < sizes[1]:
            for c in range(d):
                sums[size, c] = sums[chosen, c] + rows[row, c]
            picks[size] = row + 1
            state[0] = size
    return visited
