"""Second moments once more in interval arithmetic (python-flint), where a verdict should rest on proved digits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from sslth.errors import InvalidInputError

__all__ = ["enclose_gaussian", "enclose_nsn_hit", "enclose_pair", "flint_is_here"]

Interval = tuple[float, float]

_BITS = 128


def flint_is_here() -> bool:
    """Whether python-flint (the extra `proof`) is installed."""
    return find_spec("flint") is not None


def enclose_gaussian(n: int, k: int, epsilon: float, target: Sequence[float]) -> Interval:
    """Enclose E[Y]² / E[Y²] for the k-subsets of n standard normal rows within ε of the target.

    Floats are taken as the numbers they are; every digit between the two ends is proved, up to the correctness of
    python-flint [Johansson2018]_. Cost O(k) integrals for each distinct |entry| of the target, about 2 ms each.

    Raises
    ------
    InvalidInputError
        If python-flint is missing, or 1 <= k <= n does not hold.

    References
    ----------
    .. [Johansson2018] F. Johansson, "Numerical integration in arbitrary-precision ball arithmetic", 2018.
       arXiv:1802.07942

    Examples
    --------
    >>> low, high = enclose_gaussian(20, 10, 0.01, [0.0])
    >>> round(low, 6), round(high, 6), high - low < 1e-12
    (0.847512, 0.847512, True)
    """
    flint = _flint()
    if not 1 <= k <= n:
        raise InvalidInputError(f"subsets of {k} of {n} rows: 1 <= k <= n is needed")
    counts = _counts(target)
    with flint.ctx.workprec(_BITS):
        hit = _power(flint, counts, lambda z: _hit(flint, k, z, epsilon))
        total = flint.arb(0)
        for shared in range(max(0, 2 * k - n), k + 1):
            own = k - shared
            pairs = flint.arb(math.comb(k, shared) * math.comb(n - k, own))
            if shared == 0:
                both = hit * hit
            elif own == 0:
                both = hit
            else:
                both = _power(flint, counts, lambda z, s=shared, o=own: _pair(flint, s, o, o, z, epsilon))
            total += pairs * both
        return _ends(flint.arb(math.comb(n, k)) * hit * hit / total)


def enclose_pair(shared: float, first: float, second: float, target: float, epsilon: float) -> Interval:
    """Enclose P(|A + B - z| <= ε and |A + C - z| <= ε) for independent normal A, B, C of mean 0 and these variances.

    Examples
    --------
    >>> low, high = enclose_pair(1.0, 1e6, 1e6, 0.0, 1.0)
    >>> 6.3e-7 < low <= high < 6.4e-7  # nearly independent: (2 / √(2π·10⁶))²
    True
    """
    flint = _flint()
    with flint.ctx.workprec(_BITS):
        return _ends(_pair(flint, shared, first, second, abs(target), epsilon))


def enclose_nsn_hit(k: int, epsilon: float, target: Sequence[float]) -> Interval:
    """Enclose P(a sum of k normally-scaled normal rows lies within ε of the target): one integral over χ_k.

    Examples
    --------
    >>> low, high = enclose_nsn_hit(10, 0.05, [0.0, 0.0])
    >>> 1.9e-4 < low <= high < 2.1e-4 and high - low < 1e-9 * low  # near (2 ε)² / (2π) · E[1 / χ²] = 1/5027
    True
    """
    flint = _flint()
    counts = _counts(target)
    if k < 1:
        raise InvalidInputError(f"a sum of {k} rows has no scale; k must be at least 1")
    with flint.ctx.workprec(_BITS):
        arb, acb = flint.arb, flint.acb
        half = arb(k) / 2
        log_constant = arb(2).log() * (1 - half) - half.lgamma()
        left, right = arb(-60), (arb(k).sqrt() + 16).log()

        def density(u: Any, _: bool) -> Any:  # of log r, r ~ χ_k, times the hits
            r = u.exp()
            value = (acb(log_constant) + k * u - r * r / 2).exp()
            for z, count in counts.items():
                upper, lower = _phi(flint, (acb(z) + epsilon) / r), _phi(flint, (acb(z) - epsilon) / r)
                value *= (upper - lower) ** count
            return value

        inner = acb.integral(density, acb(left), acb(right), rel_tol=arb(2) ** -60).real
        # the two tails lie between 0 and their mass
        below = (left.exp() ** 2 / 2) ** half / (half + 1).gamma()
        above = (right.exp() ** 2 / 2).gamma_upper(half, regularized=1)
        tails = below + above
        return _ends(inner + tails / 2 + arb(0, 1) * tails / 2)


def _pair(flint: Any, shared: float, first: float, second: float, z: float, epsilon: float) -> Any:
    """The first sum S is N(0, shared + first); given it, the second one is normal too."""
    arb, acb = flint.arb, flint.acb
    variance = arb(shared) + arb(first)
    slope = acb(arb(shared) / variance)
    deviation = acb((arb(second) + arb(shared) * arb(first) / variance).sqrt())
    low, high = acb(arb(z) - arb(epsilon)), acb(arb(z) + arb(epsilon))
    constant = acb(1 / (2 * arb.pi() * variance).sqrt())

    def density(s: Any, _: bool) -> Any:
        given = _phi(flint, (high - slope * s) / deviation) - _phi(flint, (low - slope * s) / deviation)
        return constant * (-s * s / (2 * variance)).exp() * given

    return acb.integral(density, low, high, rel_tol=arb(2) ** -60).real


def _hit(flint: Any, variance: float, z: float, epsilon: float) -> Any:
    deviation = flint.arb(variance).sqrt()
    ends = [(flint.arb(z) + sign * flint.arb(epsilon)) / deviation for sign in (1, -1)]
    return _phi(flint, flint.acb(ends[0])).real - _phi(flint, flint.acb(ends[1])).real


def _phi(flint: Any, x: Any) -> Any:
    """The normal distribution function up to its constant 1/2, which differences do not see."""
    return (x / flint.acb(2).sqrt()).erf() / 2


def _power(flint: Any, counts: dict[float, int], of_coordinate: Any) -> Any:
    product = flint.arb(1)
    for z, count in counts.items():
        product *= of_coordinate(z) ** count
    return product


def _counts(target: Sequence[float]) -> dict[float, int]:
    """How often each absolute entry occurs: the laws are symmetric."""
    counts: dict[float, int] = {}
    for entry in target:
        counts[abs(float(entry))] = counts.get(abs(float(entry)), 0) + 1
    return counts


def _ends(ball: Any) -> Interval:
    """Two floats around a ball."""
    return (
        math.nextafter(float(ball.lower()), -math.inf),
        math.nextafter(float(ball.upper()), math.inf),
    )


def _flint() -> Any:
    try:
        import flint
    except ImportError:
        raise InvalidInputError("interval arithmetic needs python-flint: pip install 'sslth[proof]'") from None
    return flint
