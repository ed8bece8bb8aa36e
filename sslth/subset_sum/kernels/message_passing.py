"""Approximate message passing with reinforcement for |target - sum of signs times rows| <= width, coordinate-wise."""

from __future__ import annotations

import math

import numpy as np

from sslth.subset_sum.kernels.jit import njit

__all__ = ["anneal", "combine", "exp_of_minus", "mills_ratio", "set_out", "tanh32", "wishes"]

_SQRT_TWO_PI = 2.5066282746310002
_LARGEST_FIELD = 20.0  # 1 - tanh(20) is far below what float32 sees
_FLOOR = 0.02  # of the box: the spread of the residual never counts as smaller
_SHORTEST_CHECK = 8  # rounds between two looks at the signs
_SURE_FIELD, _SURE_STIFFNESS = 12.0, 1.0  # of a row that hardly ever turns again: one in a thousand did
_WORTH_IT = 0.2  # of the rows must be sure before they are set aside, which costs as much as a round
_FEWEST_ACTIVE = 64


@njit
def exp_of_minus(y):
    """exp(-y) for y >= 0 to 1e-11 relatively; exp(-64) beyond 64. No table, no branch: it vectorises."""
    z = min(y, 64.0) * (1.0 / 256.0)
    square = z * z
    even, odd = 120.0 + 12.0 * square, z * (60.0 + square)  # Padé approximant of order 3
    r = (even - odd) * np.reciprocal(even + odd)
    r *= r
    r *= r
    r *= r
    r *= r
    r *= r
    r *= r
    r *= r
    return r * r


@njit
def mills_ratio(x):
    """(1 - Phi(x)) / phi(x) for x >= 0 to 2e-8 relatively: a polynomial in 1 / (1 + 0.35 x), fitted for this file."""
    t = np.reciprocal(1.0 + 0.35 * x)
    s = 2.0 * t - 1.0
    high = 0.0017531992739477282 + s * (
        0.0006116015831120332 + s * (-0.00034157410421741343 + s * (-5.818957419732378e-05 + s * 4.72841401982945e-05))
    )
    low = 0.025657662328035888 + s * (-0.01281008532234409 + s * (-0.004430029412489905 + s * high))
    return t * (0.6347892585636884 + s * (0.42987601309924617 + s * (0.1782189801596411 + s * low)))


@njit
def tanh32(x):
    """tanh of a float32 to a few units of its last place: a Padé approximant of x / 8, doubled three times."""
    y = x * np.float32(0.125)
    z = y * y
    t = y * (np.float32(945) + z * (np.float32(105) + z))
    t = t * np.reciprocal(np.float32(945) + z * (np.float32(420) + np.float32(15) * z))
    t = np.float32(2) * t * np.reciprocal(np.float32(1) + t * t)
    t = np.float32(2) * t * np.reciprocal(np.float32(1) + t * t)
    return np.float32(2) * t * np.reciprocal(np.float32(1) + t * t)


@njit
def combine(rows, weights, out):
    """out = weights @ rows; float32[k, l] with k a multiple of 8. Eight rows at a time: 0.04 ns an entry."""
    out[:] = 0
    for k in range(0, rows.shape[0], 8):
        r0, r1, r2, r3 = rows[k], rows[k + 1], rows[k + 2], rows[k + 3]
        r4, r5, r6, r7 = rows[k + 4], rows[k + 5], rows[k + 6], rows[k + 7]
        w0, w1, w2, w3 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        w4, w5, w6, w7 = weights[k + 4], weights[k + 5], weights[k + 6], weights[k + 7]
        for j in range(out.size):
            low = (r0[j] * w0 + r1[j] * w1) + (r2[j] * w2 + r3[j] * w3)
            high = (r4[j] * w4 + r5[j] * w5) + (r6[j] * w6 + r7[j] * w7)
            out[j] += low + high


@njit
def wishes(distance, half_width, variance, keep, wish, slope):
    """How each coordinate wants the sum to move, given that it will still spread by N(0, variance[j]).

    distance float64[d] is target minus expected sum. With Z = P(|distance + N(0, variance)| <= half_width), `wish`
    becomes keep * wish - (1 - keep) * d log Z / d distance, and slope[j] = d^2 log Z / d distance^2. All through
    Mills' ratio, so nothing cancels or underflows far outside the box.
    """
    for j in range(distance.size):
        size = abs(distance[j])
        inverse = np.reciprocal(variance[j])
        root = np.sqrt(inverse)
        a, b = (size - half_width) * root, (size + half_width) * root
        fall = exp_of_minus(2.0 * size * half_width * inverse)  # phi(b) / phi(a)
        ratio = mills_ratio(abs(a))
        inside = _SQRT_TWO_PI * np.reciprocal(exp_of_minus(0.5 * a * a)) - ratio
        ratio = ratio if a >= 0.0 else inside
        q = np.reciprocal(ratio - mills_ratio(b) * fall)
        pull = (1.0 - fall) * q * root
        slope[j] = (a - b * fall) * q * inverse - pull * pull
        pull = pull if distance[j] >= 0.0 else -pull
        wish[j] = keep * wish[j] + (1.0 - keep) * pull


@njit
def _polarise(fields, weights, memory, prior, push, count_push, history, means, spread):
    """One update of the rows: history is reinforced, means = tanh, spread = 1 - means^2; float32[m], in place."""
    one, limit = np.float32(1), np.float32(_LARGEST_FIELD)
    for i in range(means.size):
        field = fields[i] + means[i] * (weights[i] * push + count_push) + (one - memory[i]) * history[i]
        field = min(limit, max(-limit, field))
        history[i] = field
        t = tanh32(field + prior)
        means[i] = t
        spread[i] = one - t * t


@njit
def set_out(rows, prior, noise, means, history, spread, sums, wish):
    """The state before round 1: means near tanh(prior), shaken by `noise` float64[m]."""
    for i in range(means.size):
        history[i] = 0.0
        means[i] = 0.0
        spread[i] = 0.0
    for i in range(noise.size):
        means[i] = math.tanh(prior + noise[i])
        spread[i] = 1.0 - means[i] * means[i]
    combine(rows, means, sums)
    wish[:] = 0.0


@njit
def _set_aside(rows, columns, weights, stiffness, history, means, spread, numbers, active, inverse, settled, fixed):
    """Take rows that have made up their minds out of all arrays, in place; returns how many stay, a multiple of 8.

    That is done once _WORTH_IT of the rows can go. `settled` float32[m8] gets the sign that a row leaves with, `fixed`
    float64[d] what it adds to the sum. Forward copies only, so that nothing is overwritten before it is read.
    """
    leaving = 0
    for i in range(active):
        leaving += abs(history[i]) >= _SURE_FIELD and stiffness[i] * inverse >= _SURE_STIFFNESS
    leaving -= leaving % 8
    if leaving < _WORTH_IT * active:
        return active
    stay = active - leaving
    old = columns[: fixed.size * active].reshape(fixed.size, active)
    new = columns[: fixed.size * stay].reshape(fixed.size, stay)
    place = np.empty(stay, dtype=np.int64)
    count = 0
    for i in range(active):
        sure = abs(history[i]) >= _SURE_FIELD and stiffness[i] * inverse >= _SURE_STIFFNESS
        if sure and leaving > 0:
            leaving -= 1
            sign = 1.0 if means[i] >= 0 else -1.0
            settled[numbers[i]] = sign
            for j in range(fixed.size):
                fixed[j] += sign * rows[i, j]
        else:
            place[count] = i
            count += 1
    for i in range(stay):
        source = place[i]
        if source != i:
            rows[i] = rows[source]
        weights[i], stiffness[i], numbers[i] = weights[source], stiffness[source], numbers[source]
        history[i], means[i], spread[i] = history[source], means[source], spread[source]
    for j in range(fixed.size):
        line, source_line = new[j], old[j]
        for i in range(stay):
            line[i] = source_line[place[i]]
    return stay


@njit
def anneal(
    rows, columns, weights, count_entry, stiffness, target, half_width, prior, damping, front, steps, start, stop,
    means, history, spread, sums, wish, numbers, active, settled, fixed, total, signs, best,
):  # fmt: skip
    """Rounds start + 1 to stop of `steps`; returns (rounds done, best error, whether the run is over, rows active).

    rows float32[m8, d8] and columns, its transpose, as one line of d8 m8, padded with zeros to multiples of 8; target
    float64[d]; weights float32[m8], the mean square of each row, without the last column where that holds the same
    count_entry != 0 in every row, and counts the + signs; stiffness float64[m8]: row i is held in place, at round k,
    with strength 1 - exp(-stiffness[i] / c^4), where c falls from front[0] to front[1] geometrically: large rows
    freeze first. `prior` is the field of a row that nobody asks (atanh(2 p - 1) where a share p is kept); `total` is
    the variance of the sum if nobody asks any. State, in place: means, history, spread float32[m8], sums float32[d8],
    wish float64[d].

    Rows that are held and whose field is so strong that it would take many rounds to turn leave the arrays: the first
    `active` are left, row i was once row numbers[i] (int64[m8]), and the others are in settled float32[m8], by their
    old numbers, and in fixed float64[d8], their sum. On return `settled` has the means of all rows. Whenever rounding
    the means gives an error below `best`, signs bool[m] is written. O((stop - start) m d): two passes over the active
    rows a round, which over a whole run are 35 to 55 % of all.
    """
    m, d = signs.size, target.size
    distance, slope, doubt = np.empty(d), np.empty(d), np.empty(d)
    plain = d if count_entry == 0.0 else d - 1
    all_fields, all_rounded = np.empty(means.size, dtype=np.float32), np.empty(means.size, dtype=np.float32)
    all_memory = np.ones(means.size, dtype=np.float32)
    wish32, trial = np.zeros(sums.size, dtype=np.float32), np.zeros(sums.size, dtype=np.float32)
    floor = (_FLOOR * half_width) ** 2
    alone = 1.0 - math.tanh(prior) ** 2
    over = False
    k = start
    while k < stop and not over:
        k += 1
        variance = open_rows = 0.0
        for i in range(active):
            variance += weights[i] * spread[i]
            open_rows += spread[i]
        narrow = variance + floor
        excess = 0.0
        for j in range(d):
            apart = target[j] - fixed[j] - sums[j]
            beyond = max(0.0, abs(apart) - half_width)
            excess += beyond * beyond
            own = narrow if j < plain else count_entry * count_entry * open_rows + floor
            distance[j] = apart + own * wish[j]
            doubt[j] = own
        excess /= d
        for j in range(d):
            doubt[j] += excess  # without it a box too narrow makes the means run away
        wishes(distance, half_width, doubt, 1.0 - damping, wish, slope)
        push = count_push = 0.0
        for j in range(plain):
            push += slope[j]
        if plain < d:
            count_push = count_entry * count_entry * abs(slope[plain])
        for j in range(d):
            wish32[j] = wish[j]
        fields, memory = all_fields[:active], all_memory[:active]
        combine(columns[: sums.size * active].reshape(sums.size, active), wish32, fields)
        c = front[0] * (front[1] / front[0]) ** (k / steps)
        inverse = c**-4.0
        for i in range(active):
            memory[i] = exp_of_minus(stiffness[i] * inverse)
        _polarise(
            fields,
            weights[:active],
            memory,
            np.float32(prior),
            np.float32(abs(push)),
            np.float32(count_push),
            history[:active],
            means[:active],
            spread[:active],
        )
        if active > _FEWEST_ACTIVE:
            active = _set_aside(
                rows, columns, weights, stiffness, history, means, spread, numbers, active, inverse, settled, fixed
            )
        combine(rows[:active], means[:active], sums)
        done = open_rows < 2e-4 * alone * m
        if (k % _SHORTEST_CHECK == 0 and variance < 0.06 * total) or done or k == steps:
            rounded = all_rounded[:active]
            for i in range(active):
                rounded[i] = np.float32(1) if means[i] >= 0 else np.float32(-1)
            combine(rows[:active], rounded, trial)
            error = 0.0
            for j in range(d):
                error = max(error, abs(target[j] - fixed[j] - trial[j]))
            if error < best:
                best = error
                for i in range(active):
                    settled[numbers[i]] = means[i]
                for i in range(m):
                    signs[i] = settled[i] >= 0
            over = error <= half_width or done or k == steps
    for i in range(active):
        settled[numbers[i]] = means[i]
    return k, best, over, active
