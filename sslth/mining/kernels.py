"""Loops over scores: one pass over memory where operations on whole tensors take several. Arrays in, no checks."""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.jit import njit

__all__ = ["follow_rounding", "follow_top_k", "passed_on"]


_CHANGES = np.uint64(0x7F7F7F7F7F7F7F7F)  # of eight marks, without their highest bits


@njit
def _marked(marks, words, places):
    """Write where `marks`, less their highest bit, are not 0 into `places`, in order, and return how many.

    They are few: 64 are skipped at once.
    """
    m = 0
    for block in range(0, len(words), 8):
        some = words[block]
        for word in range(block + 1, block + 8):
            some |= words[word]
        if some & _CHANGES:
            for word in range(block, block + 8):
                if words[word] & _CHANGES:
                    for i in range(8 * word, 8 * word + 8):
                        places[m] = i
                        m += (marks[i] & 127) != 0
    return m


@njit
def _mark_band(scores, low, high, absolute, sides, marks):
    """Compare sides: 0 below the band, 1 in it, and for every NaN, 2 above; if `absolute`, 128 more below 0."""
    # one loop each: with the choice inside, it is not compiled into vector instructions
    if absolute:
        for i in range(len(scores)):
            value = abs(scores[i])
            side = np.uint8(not value < low) + np.uint8(value > high)  # the first is true of a NaN
            marks[i] = np.uint8(side + (np.uint8(128) if scores[i] < 0 else np.uint8(0))) ^ sides[i]
    else:
        for i in range(len(scores)):
            at_least = np.uint8(not scores[i] < low)
            marks[i] = np.uint8(at_least + np.uint8(scores[i] > high)) ^ sides[i]


@njit
def _mark_rounded(scores, alive, sides, marks):
    """Project to [0, 1], or to 0, and compare sides of 1/2."""
    zero, half, one = scores.dtype.type(0), scores.dtype.type(0.5), scores.dtype.type(1)
    for i in range(len(scores)):
        value = zero if scores[i] < zero else scores[i]
        value = (one if value > one else value) * (one if alive[i] else zero)
        scores[i] = value
        marks[i] = np.uint8(2 * np.uint8(value >= half)) ^ sides[i]


@njit
def _select(values, place):
    """The value that sorting would put at a place; `values`, without a NaN, are reordered."""
    first, last = 0, len(values) - 1
    while first < last:
        pivot = values[(first + last) // 2]
        i, j = first, last
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if place <= j:
            last = j
        elif place >= i:
            first = i
        else:
            break  # between them, all are equal to the pivot
    return values[place]


@njit
def follow_rounding(scores, alive, sides, marks, words, places, kept, weight, gated):
    """Project scores to [0, 1], those not alive to 0, and keep what is at least 1/2: write where that changes.

    Parameters
    ----------
    scores : float[n]
        Updated; a NaN stays one, and is not kept.
    alive : bool[n]
    sides : uint8[n]
        2 where `kept` is 1 at present, 0 elsewhere, updated; the highest bit may be anything, and stays.
    marks : uint8[64 * ceil(n / 64)]
        Overwritten, 0 from n on; the highest bit is that of `sides`.
    words : uint64[8 * ceil(n / 64)]
        `marks` again, as words.
    places : int64[len(marks) + 1]
        Overwritten.
    kept, weight, gated : float[n]
        `kept`, and weight * kept, which is `gated`, are updated.
    """
    _mark_rounded(scores, alive, sides, marks)
    for i in places[: _marked(marks, words, places)]:
        sides[i] ^= 2
        kept[i] = (sides[i] & 2) // 2
        gated[i] = weight[i] * kept[i]


@njit
def follow_top_k(scores, low, high, absolute, band, sides, marks, words, places, kept, weight, gated):
    """Keep as many as were kept, the highest, if the last of these lies in [low, high]: write where that changes.

    Among equal ones the first are kept. Parameters are those of `follow_rounding`, and

    Parameters
    ----------
    low, high : float
        Of the type of the scores.
    absolute : bool
        Whether |score| is compared.
    band : float[n]
        Overwritten.

    Returns
    -------
    threshold : float
        NaN, with nothing written, if it does not lie there or a score is NaN.
    """
    _mark_band(scores, low, high, absolute, sides, marks)
    m = _marked(marks, words, places)
    wanted, inside = 0, 0
    for i in places[:m]:
        value = abs(scores[i]) if absolute else scores[i]
        wanted += (sides[i] & 2) // 2
        if value > high:
            wanted -= 1
        elif not value < low:
            band[inside] = value
            inside += 1
            if value != value:
                return value
    # those above the band that stay there count neither way: so many are wanted in the band
    if not 0 < wanted <= inside:
        return band.dtype.type(np.nan)
    threshold = _select(band[:inside], inside - wanted)
    for value in band[:inside]:
        wanted -= value > threshold
    for i in places[:m]:
        value = abs(scores[i]) if absolute else scores[i]
        keep = value > threshold
        if value == threshold:
            keep = wanted > 0
            wanted -= 1
        if keep != ((sides[i] & 2) != 0):
            sides[i] ^= 2
            kept[i] = keep
            gated[i] = weight[i] * kept[i]
    return threshold


@njit
def passed_on(arrived, weight, turned, scores, pull, gradient):
    """Write the gradient of scores: arrived * weight, with the other sign where `turned`, plus pull * score.

    Rounded after every operation, as operations on whole tensors are.

    Parameters
    ----------
    arrived, scores : float[n]
    weight : float[n] or float[1]
        One is that of all.
    turned : uint8[n or more]
        The highest bit counts.
    pull : float
        Of their type. At 0 the scores are not read.
    gradient : float[n]
        Overwritten.
    """
    # one loop each, as in `_mark_band`; what memory brings in decides the time
    n = len(gradient)
    if len(weight) < n and pull == 0:
        for i in range(n):
            product = arrived[i] * weight[0]
            gradient[i] = -product if turned[i] & 128 else product
    elif len(weight) < n:
        for i in range(n):
            product = arrived[i] * weight[0]
            gradient[i] = (-product if turned[i] & 128 else product) + pull * scores[i]
    elif pull == 0:
        for i in range(n):
            product = arrived[i] * weight[i]
            gradient[i] = -product if turned[i] & 128 else product
    else:
        for i in range(n):
            product = arrived[i] * weight[i]
            gradient[i] = (-product if turned[i] & 128 else product) + pull * scores[i]
