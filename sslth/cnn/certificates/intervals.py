"""Interval arithmetic on float64 tensors, rounded outwards: every result contains the exact real set."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "Interval",
    "add",
    "difference",
    "divide_by_number",
    "intersect",
    "linear_image",
    "multiply",
    "point",
    "positive_image",
    "round_down",
    "round_up",
]

# Twice the unit roundoff: k of them bound gamma_k = k u / (1 - k u) for every k below 2**52.
_EPS = 2.0**-52
# Products that underflow lose at most the smallest normal number each; this is far above it.
_TINY = 1e-290


@dataclass(frozen=True, eq=False)
class Interval:
    """The real numbers from ``low`` to ``high``, entrywise; float64 tensors of one shape."""

    low: Tensor
    high: Tensor

    def map(self, operation: Callable[[Tensor], Tensor]) -> Interval:
        """Apply an operation that only moves, copies or selects entries, or is exact and increasing."""
        return Interval(operation(self.low), operation(self.high))

    def negated(self) -> Interval:
        return Interval(-self.high, -self.low)

    def magnitude(self) -> Tensor:
        """Return the largest absolute value, entrywise."""
        return torch.maximum(self.high.abs(), self.low.abs())


def round_down(value: Tensor) -> Tensor:
    """Return a float64 below every real that rounds to the value (or that underflowed to it)."""
    return torch.nextafter(value, torch.full_like(value, -math.inf))


def round_up(value: Tensor) -> Tensor:
    """Return a float64 above every real that rounds to the value (or that underflowed to it)."""
    return torch.nextafter(value, torch.full_like(value, math.inf))


def point(value: Tensor, radius: Tensor | None = None) -> Interval:
    """Return the interval of the value alone, or of everything within the radius of it."""
    if radius is None or not bool(radius.any()):
        return Interval(value, value)
    return add(Interval(value, value), Interval(-radius, radius))


def add(a: Interval, b: Interval) -> Interval:
    low, high = a.low + b.low, a.high + b.high
    # IEEE sums are zero only if they are exactly zero; keeping that keeps known signs known.
    return Interval(torch.where(low == 0, low, round_down(low)), torch.where(high == 0, high, round_up(high)))


def difference(a: Interval, b: Interval) -> Interval:
    return add(a, b.negated())


def multiply(a: Interval, b: Interval) -> Interval:
    products = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    low = torch.minimum(torch.minimum(products[0], products[1]), torch.minimum(products[2], products[3]))
    high = torch.maximum(torch.maximum(products[0], products[1]), torch.maximum(products[2], products[3]))
    low, high = round_down(low), round_up(high)
    # The product of two factors of known sign has a known sign; the outward step must not lose it.
    same = ((a.low >= 0) & (b.low >= 0)) | ((a.high <= 0) & (b.high <= 0))
    opposite = ((a.low >= 0) & (b.high <= 0)) | ((a.high <= 0) & (b.low >= 0))
    return Interval(torch.where(same, low.clamp(min=0.0), low), torch.where(opposite, high.clamp(max=0.0), high))


def divide_by_number(a: Interval, divisor: float) -> Interval:
    """Divide by a number that is not zero."""
    if divisor < 0:
        return divide_by_number(a.negated(), -divisor)
    low, high = round_down(a.low / divisor), round_up(a.high / divisor)
    return Interval(
        torch.where(a.low >= 0, low.clamp(min=0.0), low), torch.where(a.high <= 0, high.clamp(max=0.0), high)
    )


def intersect(a: Interval, b: Interval) -> Interval:
    """Return what two enclosures of the same numbers leave."""
    return Interval(torch.maximum(a.low, b.low), torch.minimum(a.high, b.high))


def linear_image(
    operation: Callable[[Tensor, Tensor], Tensor],
    weight: Tensor,
    weight_radius: Tensor | None,
    x: Interval,
    fan_in: int,
) -> Interval:
    """Return an enclosure of ``operation(x, w)`` over x in the interval and w within the radius.

    Parameters
    ----------
    operation : callable (x, weight) -> tensor
        Bilinear; every output entry is a sum of at most ``fan_in`` products, computed as such in any
        order (no fast transform, whose rounding is larger).
    weight, weight_radius : float64
        Radius None means that the weights are exact.

    Notes
    -----
    Centre and radius form: ``|w|·r`` is exact for a box, and costs two operations instead of four. The
    rounding of a sum of m products is at most gamma_m·Σ|w·c| in whatever order ([Higham2002]_, §3.1), so
    it is covered by adding ``gamma·|c|`` to the radius before the second operation.

    .. [Higham2002] N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM 2002.
    """
    if not (x.low.any() or x.high.any()):
        zero = operation(torch.zeros_like(x.low), weight)
        return Interval(zero, zero)
    centre = x.low + 0.5 * (x.high - x.low)
    radius = torch.maximum(x.high - centre, centre - x.low)
    radius = torch.where(radius == 0, radius, round_up(radius))
    gamma = (fan_in + 8) * _EPS
    middle = operation(centre, weight)
    spread = operation(radius + gamma * centre.abs(), weight.abs())
    if weight_radius is not None and bool(weight_radius.any()):
        spread = spread + operation(radius + centre.abs(), weight_radius)
    spread = spread * (1.0 + 2.0 * gamma) + fan_in * _TINY
    return Interval(round_down(middle - spread), round_up(middle + spread))


def positive_image(operation: Callable[[Tensor], Tensor], x: Interval, terms: int) -> Interval:
    """Return the image under sums of at most ``terms`` entries with non-negative weights (means, sums)."""
    gamma = (terms + 8) * _EPS

    def slack(value: Tensor) -> Tensor:
        return 2.0 * gamma * operation(value.abs()) + (terms * _TINY if bool(value.any()) else 0.0)

    low, high = operation(x.low), operation(x.high)
    nonnegative = bool((x.low >= 0).all())
    lower = low - slack(x.low)
    return Interval(lower.clamp(min=0.0) if nonnegative else lower, high + slack(x.high))
