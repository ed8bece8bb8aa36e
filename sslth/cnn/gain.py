"""The gain of a layer: how far a target can be scaled up before its random rows cannot reach it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["constants_per_width", "few_rows_gain", "pursuit_gain", "sign_gain"]

# The share c of n that the largest block's length may be, measured for sorted pursuit: docs/decisions/0002-gain.md
_SHARE_AT_SEVEN = 0.12  # n = 7 d and below
_SHARE_PER_DOUBLING = 0.04
_LARGEST_SHARE = 0.22
_MOST_BIAS_ROWS = 4

# The same for signs of half rows, by n / d, for large d: docs/decisions/0010-extraction-at-large-widths.md
_ROWS_A_DIMENSION = (3.0, 4.0, 7.0, 10.0, 14.0, 20.0, 28.0, 40.0, 70.0, 140.0)
_SHARES = (0.14, 0.15, 0.16, 0.16, 0.172, 0.2, 0.23, 0.25, 0.265, 0.28)
# Taken off, over the root of n, for blocks differ in number and lengths of their rows: small d has the most to lose.
_FLUCTUATION, _MORE_FOR_SMALL_D, _MOST_FLUCTUATION = 0.45, 8.0, 2.0
_SMALLEST_SHARE = 0.06


def pursuit_gain(norms: npt.NDArray[np.float64], bias_norm: float, width: int, d: int) -> float:
    """The gain for which the largest block is c * n long: c = 0.12 at n = 7 d, 0.2 at n = 28 d.

    norms float64[blocks] are the Euclidean norms of the layer's blocks; a bias block counts with the rows that
    `constants_per_width` gives it. 1.0 for a layer of zeros.
    """
    share = _SHARE_AT_SEVEN + _SHARE_PER_DOUBLING * math.log2(max(1.0, width / (7 * d)))
    return _gain(norms, bias_norm, min(_LARGEST_SHARE, share) * width)


def sign_gain(norms: npt.NDArray[np.float64], bias_norm: float, width: int, d: int) -> float:
    """The gain of a layer whose blocks are searched by signs of half rows, which bear longer targets.

    The length of the largest block is c * n: c = .16 at n = 7 d, .23 at 28 d, .28 from 140 d on (.32 n can be reached),
    less (.45 + 8 / d) / sqrt(n), at most 2 / sqrt(n). Arguments as for `pursuit_gain`.
    """
    share = float(np.interp(math.log(max(width / d, 1.0)), np.log(_ROWS_A_DIMENSION), _SHARES))
    less = min(_MOST_FLUCTUATION, _FLUCTUATION + _MORE_FOR_SMALL_D / d) / math.sqrt(width)
    return _gain(norms, bias_norm, max(_SMALLEST_SHARE, share - less) * width)


def _gain(norms: npt.NDArray[np.float64], bias_norm: float, length: float) -> float:
    """The gain that makes the longest block `length` long."""
    longest = float(norms.max(initial=0.0))
    if bias_norm > 0:
        longest = max(longest, bias_norm / constants_per_width(norms, bias_norm))
    return 1.0 if longest == 0.0 else _with_few_bits(length / longest)


def few_rows_gain(longest: float, d: int, factor: float) -> float:
    """The gain for which a block of the given norm is factor * sqrt(d) long: what few kept rows can reach."""
    return _with_few_bits(factor * math.sqrt(d) / longest)


def constants_per_width(norms: npt.NDArray[np.float64], bias_norm: float) -> int:
    """How many times more rows a bias block gets: 1 to 4, so that a large bias does not dictate the gain."""
    longest = float(norms.max(initial=0.0))
    if longest == 0.0:
        return 1
    return min(_MOST_BIAS_ROWS, max(1, math.ceil(bias_norm / longest)))


def _with_few_bits(value: float) -> float:
    """Eight significant bits, so that a norm's last bit, which machines may round differently, has no effect."""
    mantissa, exponent = math.frexp(value)
    return math.ldexp(round(math.ldexp(mantissa, 8)), exponent - 8)
