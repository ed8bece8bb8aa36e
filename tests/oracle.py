"""Plain twins: what the package computes fast, computed slowly and exactly, sharing no code with it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

__all__ = [
    "best_error",
    "count_within",
    "exact_error",
    "exact_residual",
    "normal",
    "philox",
    "rounded_down",
    "rounded_up",
    "subset_errors",
]

# ---------------------------------------------------------------------------------------------- subset sums


def exact_residual(samples: Any, target: Any, subset: Sequence[int]) -> list[Fraction]:
    """`sum(samples[subset]) - target` of the floats as stored.

    >>> exact_residual([[1e16], [1.0], [-1e16]], [0.0], [0, 1, 2])
    [Fraction(1, 1)]
    """
    rows, goal = _as_lists(samples, target)
    return [sum((Fraction(rows[i][j]) for i in subset), -Fraction(goal[j])) for j in range(len(goal))]


def exact_error(samples: Any, target: Any, subset: Sequence[int]) -> Fraction:
    """The sup norm of `exact_residual`.

    >>> exact_error([[0.1], [0.2]], [0.3], [0, 1]) == Fraction(1, 2**55)
    True
    """
    return max(abs(entry) for entry in exact_residual(samples, target, subset))


def rounded_up(value: Fraction) -> float:
    """The smallest float that is at least `value`.

    >>> rounded_up(Fraction(1, 2**1080)), rounded_down(Fraction(1, 2**1080)), rounded_up(Fraction(1, 4))
    (5e-324, 0.0, 0.25)
    """
    nearest = value.numerator / value.denominator  # correctly rounded by Python
    return nearest if Fraction(nearest) >= value else math.nextafter(nearest, math.inf)


def rounded_down(value: Fraction) -> float:
    """The largest float that is at most `value`."""
    return -rounded_up(-value)


def subset_errors(
    samples: Any, target: Any, cardinality: int | None = None, max_cardinality: int | None = None
) -> Iterator[tuple[Fraction, int]]:
    """(exact error, bit mask) of every subset of the wanted size, in Gray-code order: O(2^n d)."""
    rows, goal = _as_lists(samples, target)
    n, d = len(rows), len(goal)
    numbers = [*goal, *(x for row in rows for x in row)]
    unit = max(Fraction(x).denominator for x in numbers)  # all of them powers of two
    steps = [[int(Fraction(x) * unit) for x in row] for row in rows]
    rest = [int(-Fraction(x) * unit) for x in goal]
    mask = 0
    for count in range(2**n):
        if count:
            flipped = (count & -count).bit_length() - 1
            sign = -1 if mask >> flipped & 1 else 1
            mask ^= 1 << flipped
            for j in range(d):
                rest[j] += sign * steps[flipped][j]
        size = mask.bit_count()
        if cardinality in (None, size) and (max_cardinality is None or size <= max_cardinality):
            yield Fraction(max(abs(x) for x in rest), unit), mask


def best_error(
    samples: Any, target: Any, cardinality: int | None = None, max_cardinality: int | None = None
) -> Fraction | None:
    """The smallest exact error of a subset of the wanted size; None if no subset has that size.

    >>> samples, target = [[1.0], [2.0], [4.0]], [3.25]
    >>> best_error(samples, target), best_error(samples, target, 1), best_error(samples, target, None, 0)
    (Fraction(1, 4), Fraction(3, 4), Fraction(13, 4))
    >>> best_error(samples, target, cardinality=4) is None
    True
    """
    errors = (error for error, _ in subset_errors(samples, target, cardinality, max_cardinality))
    return min(errors, default=None)


def count_within(
    samples: Any,
    target: Any,
    tolerance: float,
    cardinality: int | None = None,
    max_cardinality: int | None = None,
) -> int:
    """How many subsets of the wanted size have an exact error of at most `tolerance`.

    >>> samples, target = [[1.0], [2.0], [4.0]], [3.25]
    >>> [count_within(samples, target, limit) for limit in (math.nextafter(0.25, 0), 0.25, 100.0)]
    [0, 1, 8]
    """
    limit = Fraction(tolerance)
    return sum(error <= limit for error, _ in subset_errors(samples, target, cardinality, max_cardinality))


def _as_lists(samples: Any, target: Any) -> tuple[list[list[float]], list[float]]:
    return [[float(x) for x in row] for row in samples], [float(x) for x in target]


# ------------------------------------------------------------------------------------------- random weights

_MASK = 0xFFFFFFFF
_LOG = "340e21f3 3fb8aa6a bf38aca2 3ef5fba4 beb7b544 3e9849f3 be8c1bd1 3e2f3b0e"
_CENTRAL = "40194bc0 be6efacf bb8df3fb 399908e5 386fdbcf 3663575c b432384e b330d149 b091e294 2f2f5b0f"
_TAIL = "40a23123 be071f7d bad23e23 b8206f2f b594fb31 b306b714 b0a41c46 aea7c122 2be5ef8f 2ab55de6"


def philox(counter: Sequence[int], key: Sequence[int]) -> tuple[int, int, int, int]:
    """The four words of Philox4x32-10 for a counter of four words and a key of two.

    >>> [f"{word:08x}" for word in philox([0, 0, 0, 0], [0, 0])]  # the published answers
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    >>> [f"{word:08x}" for word in philox([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2)]
    ['408f276d', '41c83b0e', 'a20bc7c6', '6d5451fd']
    >>> counter = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]
    >>> [f"{word:08x}" for word in philox(counter, [0xA4093822, 0x299F31D0])]
    ['d16cfe09', '94fdcceb', '5001e420', '24126ea1']
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        first, second = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (second >> 32) ^ c1 ^ k0, second & _MASK, (first >> 32) ^ c3 ^ k1, first & _MASK
        k0, k1 = (k0 + 0x9E3779B9) & _MASK, (k1 + 0xBB67AE85) & _MASK
    return c0, c1, c2, c3


def normal(words: Any) -> Any:
    """The float32 normal of each 32-bit word: float32 of the same shape (a NumPy scalar for a Python int).

    >>> words = [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x16AFFF, 0x16B000, 0x12345678, 0xDEADBEEF]
    >>> print(*(f"{bits:08x}" for bits in normal(words).view(np.uint32)))  # golden, format version 1
    40c75e50 40c75e50 00000000 c0c75e50 80000000 40592017 40592015 3fbbd931 beaa20ad
    >>> f"{normal(0x12345678).view(np.uint32):08x}"
    '3fbbd931'
    """
    w = np.atleast_1d(np.asarray(words, dtype=np.uint64)).astype(np.uint32)
    one = np.float32(1.0)
    high = _float_bits(((w >> np.uint32(16)) & np.uint32(0x7FFF)) | np.uint32(0x43800000))
    low = _float_bits((w & np.uint32(0xFFFF)) | np.uint32(0x3B800001))
    f = (high - np.float32(256.00390625)) + low
    s = one - f
    v = f * (one + s)
    b = v.view(np.int32)
    d = b - np.int32(0x3F3504F3)
    k = d & np.int32(-0x00800000)
    z = (b - k).view(np.float32) - one
    log2 = (d >> np.int32(23)).astype(np.float32) + _horner(_LOG, z)
    central = (w & np.uint32(0x7FFFFFFF)) >= np.uint32(1486848)
    t = log2 - np.where(central, np.float32(-4.75), np.float32(-20.25))
    y = np.where(central, _horner(_CENTRAL, t), _horner(_TAIL, t))
    x = _float_bits((s * y).view(np.uint32) ^ (w & np.uint32(0x80000000)))
    return x[0] if np.ndim(words) == 0 else x.reshape(np.shape(words))


def _float_bits(bits: Any) -> Any:
    return np.ascontiguousarray(bits, dtype=np.uint32).view(np.float32)


def _horner(coefficients: str, t: Any) -> Any:
    values = [_float_bits(np.array([int(word, 16)]))[0] for word in coefficients.split()]
    y = np.full_like(t, values[-1])
    for value in reversed(values[:-1]):
        y = y * t + value
    return y
