"""One step of the growth recursion: what a random sample adds, on average, to what the subset sums cover."""

from __future__ import annotations

from sslth.theory.interval_unions import IntervalUnion, pairs_within

__all__ = ["growth_rate"]


def growth_rate(covered: IntervalUnion, seen: IntervalUnion | None = None) -> tuple[float, float]:
    r"""Return an enclosure of (E[v'] - v) / (v (1 - v)), the growth that one sample X ~ U[-1, 1] gives.

    v is half the covered length of [-1, 1], and v' the same after the step f' = f + (1 - f) f(· - X). Given f, the
    expectation adds to v

    .. math:: \frac12 \int_{-1}^{1} (1 - f(z)) \, P(f(z - X) = 1) \, dz
              = \frac14 \, |\{(a, z) : f(a) = 1, f(z) = 0, |a - z| \le 1\}|,

    the area of the pairs of a covered and an uncovered place within 1 of each other. There are 4 v (1 - v) pairs in all
    if both lie in [-1, 1]: the rate is the share of those that are near. The area is exact up to rounding.

    Parameters
    ----------
    covered : IntervalUnion
        Where f is 1, in [-1, 1]; neither nothing nor all of it.
    seen : IntervalUnion, optional
        Where f is 1 on the whole line; by default nowhere outside [-1, 1], which only lowers the rate.

    Notes
    -----
    In [-1, 1] the rate is at least 1/2 for *every* measurable set, twice the constant of the paper, and [-1, w] has
    exactly 1/2. With g = 1 on the set and -1 off it, and s = 1 for near and -1 for far pairs, this says that the
    integral of s(x, y) g(x) g(y) is at most 2. Put p(t) = g(t) and q(t) = g(t - 1) for t in [0, 1], and let c be the
    plane curve from 0 with c' = (p, q): the integral is ∫∫ (c'(t)·c'(u) + c'(t) × c'(u)) over t and u, the cross
    product taken with the sign of u - t. The velocities are (±1, ±1), so any two are parallel or at right angles: one
    of the two products is nil and the other at most 2.

    Examples
    --------
    >>> low, high = growth_rate(IntervalUnion.around([-0.75], 0.25))
    >>> low <= 0.5 <= high <= low + 1e-11
    True
    """
    missing = covered.gaps(-1.0, 1.0)
    area, error = pairs_within(covered if seen is None else seen, missing, 1.0)
    pairs = covered.length * missing.length
    return (area - error) / pairs * (1.0 - 1e-12), (area + error) / pairs * (1.0 + 1e-12)
