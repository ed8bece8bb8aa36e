"""How far √k times the density of a sum of k U[-1, 1] is from its limit, for all large k at once."""

from __future__ import annotations

import math

from sslth.errors import InvalidInputError

__all__ = ["excess_beyond", "limit"]

_SMALLEST = 16  # from here on every part of the error falls with k
_SLACK = 1.0 + 1e-9  # for the rounding of this file's own arithmetic


def limit(place: float) -> float:
    """Return √3 φ(√3 place), the limit of √k times the density at place · √k.

    Examples
    --------
    >>> round(limit(1.0), 5), round(limit(0.0), 5)
    (0.15418, 0.69099)
    """
    return math.sqrt(3.0 / (2.0 * math.pi)) * math.exp(-1.5 * place**2)


def excess_beyond(k: int, place: float) -> tuple[float, float]:
    r"""Return numbers between which m·(√m f_m(place·√m) - limit(place)) lies for *every* m >= k.

    Here f_m is the density of a sum of m independent U[-1, 1]. If the first number is positive, √m f_m approaches its
    limit from above from k on. O(1).

    Raises
    ------
    InvalidInputError
        For k < 16, where the bounds below are not decreasing.

    Notes
    -----
    Inverting the characteristic function, √m f_m(x√m) is the integral of (sin u / u)^m cos(xs) / π over s >= 0, where
    u = s/√m. For u <= 1, log(sin u / u) = -u²/6 - u⁴/180 - r(u) with 0 <= r(u) <= r(1) u⁶, as all coefficients of the
    series have one sign. So (sin u / u)^m = exp(-s²/6 - a) with 0 <= a <= s⁴ (1/180 + r(1)) / m, and
    exp(-a) = 1 - a + θ a²/2. The term of order s⁴ gives the centre of the interval, the fourth derivative of the normal
    density over 180. The error has five parts: r, a²/2, the two Gaussian integrals beyond s = √m, and (sin u / u)^m
    beyond u = 1, which is at most sin(1)^m up to 2 and u^-m from there. Times m, each falls with m from 16 on, so that
    its value at k bounds all.

    Examples
    --------
    >>> low, high = excess_beyond(64, 1.0)
    >>> 0.03 < low < 0.3 * limit(1.0) < high < 0.06
    True
    """
    if k < _SMALLEST:
        raise InvalidInputError(f"the bound holds from k = {_SMALLEST} on, not at {k}")
    fourth = 9.0 * (9.0 * place**4 - 18.0 * place**2 + 3.0) * limit(place)  # of the N(0, 1/3) density
    centre = -fourth / 180.0
    remainder = -math.log(math.sin(1.0)) - 1.0 / 6.0 - 1.0 / 180.0
    root = math.sqrt(k)
    gauss = math.exp(-k / 6.0)
    half_mass = math.sqrt(6.0 * math.pi) / 2.0  # of exp(-s²/6) over s >= 0; moments are (2j - 1)!! 3^j of it
    parts = (
        remainder * half_mass * 15 * 3**3 / k,
        (1.0 / 180.0 + remainder) ** 2 * half_mass * 105 * 3**4 / (2.0 * k),
        3.0 * root * gauss,
        (3.0 * root**3 + 27.0 * root + 243.0 / root) * gauss / 180.0,
        k * root * (math.sin(1.0) ** k + 2.0 ** (1 - k) / (k - 1)),
    )
    error = _SLACK * sum(parts) / math.pi + 1e-12
    return centre - error, centre + error
