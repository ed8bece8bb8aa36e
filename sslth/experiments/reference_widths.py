"""The widths that counting and the theorems ask for, to stand beside measured ones."""

from __future__ import annotations

import math

import numpy as np

from sslth.errors import InvalidInputError
from sslth.subset_sum.instance import Instance
from sslth.theory.floors import first_moment_floor

__all__ = ["counting_epsilon", "counting_width", "mrss_shape", "structured_shape"]

_MOST_ROWS = 1 << 24
_TYPICAL = 1.0 / math.sqrt(3.0)  # root mean square of a coordinate that is uniform in [-1, 1]


def counting_epsilon(law: str, n: int, d: int, k: int | None = None, coordinate: float = _TYPICAL) -> float:
    """Return the first-moment floor of n i.i.d. rows of a law, at a target with this number in every coordinate.

    The default stands for a target uniform in [-1, 1]^d. The guide is a sum over subsets, not a bound.

    Examples
    --------
    >>> counting_epsilon("gaussian", 20, 1) < counting_epsilon("gaussian", 10, 1)
    True
    """
    return first_moment_floor(Instance(np.zeros((n, d)), np.full(d, coordinate), cardinality=k), law=law)


def counting_width(law: str, d: int, epsilon: float, coordinate: float = _TYPICAL) -> int:
    """Return the smallest n whose expected number of subsets within ε reaches one, by bisection.

    Raises
    ------
    InvalidInputError
        If more than 2^24 rows would be needed.

    Examples
    --------
    >>> counting_width("gaussian", 1, 0.01), counting_width("gaussian", 4, 0.1)
    (8, 22)
    """
    low, high = 0, 1
    while counting_epsilon(law, high, d, coordinate=coordinate) > epsilon:
        low, high = high, 2 * high
        if high > _MOST_ROWS:
            raise InvalidInputError(f"counting needs more than {_MOST_ROWS:,} rows at d = {d}, epsilon = {epsilon}")
    while high - low > 1:
        middle = (low + high) // 2
        if counting_epsilon(law, middle, d, coordinate=coordinate) > epsilon:
            low = middle
        else:
            high = middle
    return high


def mrss_shape(d: float, epsilon: float) -> float:
    """Return d³·log(1/ε)·(log(1/ε) + log d): n is this times an unnamed constant in [Becchetti et al. 2022].

    Natural logarithms; ε below 1. At d = 1 the second factor is log(1/ε).

    Examples
    --------
    >>> round(mrss_shape(2, 0.1), 2)
    55.18
    """
    if not 0.0 < epsilon < 1.0:
        raise InvalidInputError(f"the theorem's width needs 0 < epsilon < 1, not {epsilon}")
    log = math.log(1.0 / epsilon)
    return d**3 * log * (log + math.log(d))


def structured_shape(
    side: float, channels: float, depth: float, epsilon: float, exponents: tuple[float, float] = (12.0, 6.0)
) -> float:
    """Return side^a·channels^b·log³(side²·channels·depth/ε), (a, b) = `exponents`.

    The width of the structured theorem [da Cunha, d'Amore, Natale 2023], but for its unnamed constant: kernels of
    side x side entries between `channels` channels, `depth` layers. (12, 6) is the sixth power of D = side²·channels,
    the dimension of its subset sums: n >= k², and k >= C·D³·log(D/ε) for each of them.

    Examples
    --------
    >>> structured_shape(3, 4, 1, 0.2) / structured_shape(3, 2, 1, 0.1) / 2**6
    1.0
    """
    a, b = exponents
    return float(side**a * channels**b * math.log(side**2 * channels * depth / epsilon) ** 3)
