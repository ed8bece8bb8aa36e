"""Best-first steps of many subsets side by side, on a shortlist of rows whose overlaps with each other are kept."""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.jit import njit
from sslth.subset_sum.kernels.pursuit import dot

__all__ = ["add_overlaps", "grow", "transposed"]


@njit
def transposed(rows, order, columns):
    """columns[j, i] = rows[order[i], j]: float64[n, d] to float32[d, m], so that loops over rows vectorise."""
    m, d = order.size, rows.shape[1]
    for start in range(0, m, 16):
        stop = min(m, start + 16)
        for j in range(d):
            for i in range(start, stop):
                columns[j, i] = rows[order[i], j]


@njit
def add_overlaps(columns, vector, out):
    """out[i] += vector . columns[:, i], in an order that does not depend on the machine; float32. O(m d)."""
    d = vector.size
    whole = d - d % 4
    for j in range(0, whole, 4):
        v0, v1, v2, v3 = vector[j], vector[j + 1], vector[j + 2], vector[j + 3]
        c0, c1, c2, c3 = columns[j], columns[j + 1], columns[j + 2], columns[j + 3]
        for i in range(out.size):
            out[i] += (v0 * c0[i] + v1 * c1[i]) + (v2 * c2[i] + v3 * c3[i])
    for j in range(whole, d):
        v, c = vector[j], columns[j]
        for i in range(out.size):
            out[i] += v * c[i]


@njit
def _best_children(norms, overlap, squared, rows, changes):
    """The rows that lower |residual|^2 most, best first, into rows int64[t] and changes float32[t]; their number."""
    least = np.float32(-1e-7 * squared)
    two = np.float32(2.0)
    found, most = 0, rows.size
    for i in range(norms.size):
        change = norms[i] - two * overlap[i]
        if change < least:
            place = found if found < most else most - 1
            found = place + 1
            while place > 0 and changes[place - 1] > change:
                changes[place], rows[place] = changes[place - 1], rows[place - 1]
                place -= 1
            changes[place], rows[place] = change, i
            if found == most:
                least = changes[most - 1]
    return found


@njit
def grow(
    exact,
    ids,
    names,
    columns,
    norms,
    squares,
    hashes,
    residuals,
    overlap,
    kept,
    states,
    count,
    children,
    steps,
    tolerance,
    sup,
):
    """Add one row after the other to every subset of a beam; of all children keep the nearest, none of them twice.

    exact float64[n, d]: all rows. The shortlist: ids int64[m], names uint64[m], columns float32[d, m], norms
    float32[m]. Subsets, each in two generations: squares float64[2, b], hashes uint64[2, b] (the exclusive or of their
    rows' names), residuals float64[2, b, d], overlap float32[2, b, m] with -inf where a row is kept already, kept
    int64[2, b, count + steps]; generation 0 holds `states` of them, of `count` rows each. A subset has at most
    `children`. Returns (generation, states, rows added, rows whose overlaps with the shortlist were computed). Fewer
    than `steps` are added where nothing lowers |residual|; where |residual|^2 has fallen to .45 of what it was, so that
    the shortlist is old; and where the nearest subset is within `tolerance` (sup norm or Euclidean; negative for none).
    O(m d) a distinct row, O(m) a subset.
    """
    most, m, d = squares.shape[1], ids.size, exact.shape[1]
    gram = np.empty((steps * most, m), dtype=np.float32)
    vector = np.empty(d, dtype=np.float32)
    slot = np.full(m, -1, dtype=np.int64)
    slots = 0
    scores = np.empty(most * children)
    parents, chosen = np.empty(most * children, dtype=np.int64), np.empty(most * children, dtype=np.int64)
    some, changes = np.empty(children, dtype=np.int64), np.empty(children, dtype=np.float32)
    old, first = 0, squares[0, :states].min()
    for step in range(steps):
        total = 0
        for s in range(states):
            found = _best_children(norms, overlap[old, s], squares[old, s], some, changes)
            for t in range(found):
                scores[total], parents[total], chosen[total] = squares[old, s] + changes[t], s, some[t]
                total += 1
        order = np.argsort(scores[:total], kind="mergesort")
        new, survivors = 1 - old, 0
        for place in order:
            s, i = parents[place], chosen[place]
            name = hashes[old, s] ^ names[i]
            known = False
            for other in range(survivors):
                known = known or hashes[new, other] == name
            if known:
                continue
            if slot[i] < 0:
                vector[:] = columns[:, i]
                gram[slots] = np.float32(0.0)
                add_overlaps(columns, vector, gram[slots])
                slot[i] = slots
                slots += 1
            taken = gram[slot[i]]
            for j in range(m):
                overlap[new, survivors, j] = overlap[old, s, j] - taken[j]
            overlap[new, survivors, i] = -np.inf
            for j in range(d):
                residuals[new, survivors, j] = residuals[old, s, j] - exact[ids[i], j]
            squares[new, survivors] = dot(residuals[new, survivors], residuals[new, survivors])
            hashes[new, survivors] = name
            kept[new, survivors, : count + step] = kept[old, s, : count + step]
            kept[new, survivors, count + step] = ids[i]
            survivors += 1
            if survivors == most:
                break
        if survivors == 0:
            return old, states, step, slots
        best = np.argmin(squares[new, :survivors])
        if squares[new, best] >= squares[old, :states].min():  # float32 scores saw a gain that is not there
            return old, states, step, slots
        old, states = new, survivors
        if tolerance >= 0.0:
            size = np.abs(residuals[old, best]).max() if sup else np.sqrt(squares[old, best])
            if size <= tolerance:
                return old, states, step + 1, slots
        if squares[old, best] < 0.45 * first:
            return old, states, step + 1, slots
    return old, states, steps, slots
