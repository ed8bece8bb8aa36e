"""Depth-first search over the rows: cutting residuals that the rows ahead cannot repair, and bitsets for the last."""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.jit import njit
from sslth.subset_sum.kernels.pursuit import dot

__all__ = ["BITS", "count_bits", "fill_tail", "is_out_of_reach", "root_bound", "search_tree"]

BITS = 62
"""Tail choices in one word of a bitset; the sign bit stays free."""

_PATIENCE, _STALLED = 3, 0.7  # after so many sweeps, one that leaves more than this share of the distance is the last


@njit
def move(residual, step, row, limits, out, active):
    """residual += step * row; out = what it exceeds +-limits by, active = 1.0 where it does; float64[w], in place."""
    for c in range(residual.size):
        x = residual[c] + step * row[c]
        residual[c] = x
        high, low = x - limits[c], x + limits[c]
        over, under = high > 0.0, low < 0.0
        out[c] = high if over else (low if under else 0.0)
        active[c] = 1.0 if over or under else 0.0


@njit
def is_out_of_reach(halves, squares, first, centre, residual, signs, limits, margin, u, active, sweeps):
    """Whether no signs in [-1, 1] of the rows from `first` on bring centre - sum signs * halves within +-limits.

    Coordinate descent on the squared distance of `residual` = centre - sum signs * halves from the box; residual
    and signs, from a warm start, are changed in place. Its gradient u separates: the answer is yes as soon as
    <u, centre> - sum |<u, halves>| - sum limits |u| > margin |u|_1, however u was found. halves and their squares
    float64[n, w], signs float64[n], the others float64[w]; u and active are workspace. Returns (answer, sweeps made).
    O(sweeps n w).
    """
    move(residual, 0.0, residual, limits, u, active)
    before = dot(u, u)
    for sweep in range(sweeps):
        if before == 0.0:
            return False, sweep
        allowed = 0.0
        for c in range(u.size):
            allowed += (limits[c] + margin) * abs(u[c])
        room = dot(u, centre) - allowed
        for i in range(first, halves.shape[0]):
            if room <= 0.0:
                break
            room -= abs(dot(u, halves[i]))
        if room > 0.0:
            return True, sweep
        for i in range(first, halves.shape[0]):
            slope = dot(u, halves[i])
            if slope == 0.0:
                continue
            old = signs[i]
            new = min(1.0, max(-1.0, old + slope / dot(active, squares[i])))
            if new != old:
                signs[i] = new
                move(residual, old - new, halves[i], limits, u, active)
        after = dot(u, u)
        if sweep >= _PATIENCE and after > _STALLED * before:
            return False, sweep + 1
        before = after
    return False, sweeps


@njit
def fill_tail(sums, lowest, steps_per_unit, bits):
    """Set bit j of bits[q] iff sums[j] >= lowest + q / steps_per_unit, as floats round; int64[levels, words].

    sums float64[choices]. Bit j is bit j % BITS of word j // BITS. O(choices + size of bits).
    """
    levels = bits.shape[0]
    for j in range(sums.size):
        level = min(max(int((sums[j] - lowest) * steps_per_unit), 0), levels - 1)
        bits[level, j // BITS] |= np.int64(1) << np.int64(j % BITS)
    for level in range(levels - 2, -1, -1):
        for word in range(bits.shape[1]):
            bits[level, word] |= bits[level + 1, word]


@njit
def count_bits(bits, counts):
    """counts[c, q] = how many bits of bits[c, q] are set; int64[w, levels, words] to int64[w, levels]."""
    for c in range(bits.shape[0]):
        for level in range(bits.shape[1]):
            for word in bits[c, level]:
                rest = word
                while rest != 0:
                    rest &= rest - 1
                    counts[c, level] += 1


@njit
def filter_tail(centre, limits, margin, lowest, steps_per_unit, bits, counts, ends, mask):
    """mask = the tail choices that may lie within +-limits of the centre in every column; returns the columns used.

    counts int64[w, levels] are the numbers of bits set; ends int64[2, w] is workspace. A mask without bits has
    mask[0] = -1. Columns that leave few choices come first.
    """
    levels, words = bits.shape[1], bits.shape[2]
    total = counts[0, 0]
    for c in range(centre.size):
        low = (centre[c] - limits[c] - margin - lowest[c]) * steps_per_unit[c]
        high = (centre[c] + limits[c] + margin - lowest[c]) * steps_per_unit[c]
        if low >= levels or high < 0.0:
            mask[0] = -1
            return 1
        first = int(max(low, 0.0))
        last = int(min(high, levels - 1.0)) + 1
        ends[0, c] = first
        ends[1, c] = last
        if counts[c, first] - (counts[c, last] if last < levels else 0) == 0:
            mask[0] = -1
            return 1
    mask[:] = bits[0, 0]
    used = 0
    bottom = 0
    for share in range(4):
        top = total // 8 if share == 0 else total // 3 if share == 1 else (3 * total) // 4 if share == 2 else total - 1
        for c in range(centre.size):
            first, last = ends[0, c], ends[1, c]
            passing = counts[c, first] - (counts[c, last] if last < levels else 0)
            if passing < bottom or passing > top:
                continue
            used += 1
            some = np.int64(0)
            if last >= levels:
                for word in range(words):
                    mask[word] &= bits[c, first, word]
                    some |= mask[word]
            elif first == 0:
                for word in range(words):
                    mask[word] &= ~bits[c, last, word]
                    some |= mask[word]
            else:
                for word in range(words):
                    mask[word] &= bits[c, first, word] & ~bits[c, last, word]
                    some |= mask[word]
            if some == 0:
                mask[0] = -1
                return used
        bottom = top + 1
    return used


@njit
def integer_error(columns, target, kept, limit):
    """The largest |entry| of the sum of the kept rows minus the target, cut short above the limit; int64[d, n]."""
    error = 0
    for c in range(target.size):
        total = -target[c]
        for i in range(kept.size):
            if kept[i]:
                total += columns[c, i]
        error = max(error, abs(total))
        if error > limit:
            break
    return error


@njit
def compare_tails(mask, prefix, tail_codes, columns, target, sizes, kept, state, errors, codes, control):
    """Compare the choices in the mask from state[1] on as integers; returns (choices compared, whether to pause).

    It pauses, with state[1] set, when the buffer is full or an accepted error ends the search.
    """
    limit = min(control[3], control[1] + control[2])
    compared = 0
    start = state[1]
    for word in range(start // BITS, mask.size):
        if mask[word] == 0:
            continue
        for bit in range(BITS):
            j = word * BITS + bit
            if j < start or (mask[word] >> np.int64(bit)) & 1 == 0:
                continue
            compared += 1
            for i in range(prefix, kept.size):
                kept[i] = (tail_codes[j] >> np.int64(i - prefix)) & 1 == 1
            if not sizes[0] <= kept.sum() <= sizes[1]:  # the filter is coarse
                continue
            error = integer_error(columns, target, kept, limit)
            if error > limit:
                continue
            code = np.int64(0)
            for i in range(prefix):
                if kept[i]:
                    code |= np.int64(1) << np.int64(i)
            errors[control[0]] = error
            codes[control[0], 0] = code
            codes[control[0], 1] = tail_codes[j]
            control[0] += 1
            control[1] = min(control[1], error)
            limit = min(control[3], control[1] + control[2])
            if error <= control[4] or control[0] == errors.size or limit < 0:
                state[1] = j + 1
                return compared, True
    state[1] = 0
    return compared, False


@njit
def root_bound(halves, squares, centre, limits, free, sweeps, rounds):
    """A lower bound on the largest |entry| over the first `free` columns, by bisection; the others keep their limits.

    float64; the zero signs start every attempt. O(rounds sweeps n w).
    """
    n, w = halves.shape
    trial = limits.copy()
    u, active, residual = np.empty(w), np.empty(w), np.empty(w)
    signs = np.empty(n)
    low, high = 0.0, 0.0
    for c in range(free):
        high = max(high, abs(centre[c]))
    for _ in range(rounds):
        middle = 0.5 * (low + high)
        trial[:free] = middle
        residual[:] = centre
        signs[:] = 0.0
        outside, _ = is_out_of_reach(halves, squares, 0, centre, residual, signs, trial, 0.0, u, active, sweeps)
        if outside:
            low = middle
        else:
            high = middle
    return low


@njit
def search_tree(
    halves, squares, repeats, limits, free, unit, margin, sweeps, bounded,
    lowest, steps_per_unit, bits, counts, tail_codes,
    columns, target, sizes, kept, centres, residuals, signs, phase, state, u, active, ends, mask,
    errors, codes, control, steps,
):  # fmt: skip
    """Walk the tree on from where it stands until about `steps` rows were scored; returns how many were.

    Row i is decided at level i; the rows from `prefix` = phase.size - 1 on are the tail. float64: halves[n, w], half
    the rows, and their squares; limits[w], whose first `free` follow the smallest error in steps of `unit`; one line
    a level of centres, residuals [prefix + 1, w] and signs [prefix + 1, n] as in `is_out_of_reach`, which is asked at
    the levels below `bounded`. repeats bool[n]: the row equals the one before and is kept only if that is. The tail is
    that of `fill_tail` and `count_bits`; its codes int64[choices]. Exact: columns int64[d, n], target int64[d], sizes
    int64[2], the smallest and largest number of rows.
    Changed in place: limits, kept bool[n], the lines above, phase int64[prefix + 1] (children seen), state int64[4]:
    level (-1 when done), where in the tail to go on, nodes, nodes cut; workspaces u, active, ends, mask; and the
    candidate buffer (errors, codes, control), whose codes are the bits of the prefix and those of the tail.
    """
    n = halves.shape[0]
    prefix = phase.size - 1
    work = 0
    while state[0] >= 0 and work < steps and control[0] < errors.size:
        limit = min(control[3], control[1] + control[2])
        if limit < 0:
            break
        level = state[0]
        limits[:free] = (limit + 1) * unit
        if level == prefix:
            used = filter_tail(centres[level], limits, margin, lowest, steps_per_unit, bits, counts, ends, mask)
            work += 1 + used
            if mask[0] >= 0:
                compared, paused = compare_tails(
                    mask, prefix, tail_codes, columns, target, sizes, kept, state, errors, codes, control
                )  # fmt: skip
                work += compared
                if paused:
                    break
            state[1] = 0
            state[0] = level - 1
            continue
        if phase[level] == 2:
            state[0] = level - 1
            continue
        if phase[level] == 1:
            kept[level] = not kept[level]
        else:
            state[2] += 1
            work += 1
            if level < bounded:
                cut, made = is_out_of_reach(
                    halves, squares, level, centres[level], residuals[level], signs[level], limits, margin,
                    u, active, sweeps,
                )  # fmt: skip
                work += made * (n - level)
                if cut:
                    state[3] += 1
                    state[0] = level - 1
                    continue
            kept[level] = signs[level, level] > 0.0
        phase[level] += 1
        if kept[level] and repeats[level] and not kept[level - 1]:
            continue
        sign = 1.0 if kept[level] else -1.0
        step = signs[level, level] - sign
        for c in range(limits.size):
            centres[level + 1, c] = centres[level, c] - sign * halves[level, c]
            residuals[level + 1, c] = residuals[level, c] + step * halves[level, c]
        signs[level + 1] = signs[level]
        if level + 1 < prefix:
            phase[level + 1] = 0
        state[0] = level + 1
    return work
