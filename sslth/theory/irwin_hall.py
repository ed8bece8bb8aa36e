"""The density of a sum of k independent U[-1, 1], exactly: at rational points as a fraction, at √k enclosed."""

from __future__ import annotations

import math
from fractions import Fraction

from sslth.errors import InvalidInputError

__all__ = ["density", "scaled_edge", "scaled_peak"]

_BITS = 96  # of √k after the point


def density(k: int, x: Fraction) -> Fraction:
    r"""Return the density at x of the sum of k independent U[-1, 1].

    It is :math:`\sum_j (-1)^j \binom{k}{j} (x + k - 2j)_+^{k-1} / (2^k (k-1)!)` ([Irwin1927]_, moved and stretched),
    summed in integers: no digit is lost to the cancellation that ruins it in floating point. At the ends of the
    support it is the value from inside. O(k) powers of numbers of k·(bits of x) bits.

    Raises
    ------
    InvalidInputError
        For k < 1.

    References
    ----------
    .. [Irwin1927] J. O. Irwin, "On the frequency distribution of the means of samples from a population having any law
       of frequency with finite moments", Biometrika 19 (1927), doi:10.1093/biomet/19.3-4.225.

    Examples
    --------
    >>> density(1, Fraction(1)), density(2, Fraction(0)), density(3, Fraction(3, 2))
    (Fraction(1, 2), Fraction(1, 2), Fraction(9, 64))
    """
    if k < 1:
        raise InvalidInputError(f"a sum needs at least one term, not {k}")
    if abs(x) > k:
        return Fraction(0)
    if k == 1:
        return Fraction(1, 2)
    top, bottom = -abs(x.numerator), x.denominator  # the lower half of the support has the fewer terms
    total = 0
    for j in range(k + 1):
        base = top + (k - 2 * j) * bottom
        if base <= 0:
            break
        term = math.comb(k, j) * base ** (k - 1)
        total += term if j % 2 == 0 else -term
    return Fraction(total, 2**k * math.factorial(k - 1) * bottom ** (k - 1))


def scaled_peak(k: int) -> tuple[float, float]:
    """Return an enclosure of √k times the largest density, which is at 0: the density is even and log-concave.

    Examples
    --------
    >>> low, high = scaled_peak(2)
    >>> low <= math.sqrt(0.5) <= high <= low + 1e-15
    True
    """
    peak = density(k, Fraction(0))
    low, high = _root(k)
    return _below(low * peak), _above(high * peak)


def scaled_edge(k: int) -> tuple[float, float]:
    """Return an enclosure of √k times the density at √k, the least one on [-√k, √k].

    Examples
    --------
    >>> low, high = scaled_edge(4)  # 2 / 12: √4 is rational
    >>> low <= 1 / 6 <= high <= low + 1e-15
    True
    """
    low, high = _root(k)
    return _below(low * density(k, high)), _above(high * density(k, low))  # it falls on the right of 0


def _root(k: int) -> tuple[Fraction, Fraction]:
    """An enclosure of √k, of no width for squares."""
    scaled = math.isqrt(k << (2 * _BITS))
    low = Fraction(scaled, 1 << _BITS)
    return low, low if low * low == k else Fraction(scaled + 1, 1 << _BITS)


def _below(value: Fraction) -> float:
    nearest = float(value)
    return nearest if nearest <= value else math.nextafter(nearest, -math.inf)


def _above(value: Fraction) -> float:
    nearest = float(value)
    return nearest if nearest >= value else math.nextafter(nearest, math.inf)
