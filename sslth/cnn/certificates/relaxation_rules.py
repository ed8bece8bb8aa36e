"""The backward step through each kind of node: a linear functional of its outputs, bounded by one of its inputs.

For a rectifier and any slopes α, β the offset is the maximum of ``M f(z) + Λ (f(z + δ) - f(z)) - α z - β δ`` over the
rectangle of (z, δ). The function is linear between the lines z = knot and z + δ = knot, so its maximum is at a corner
of one of the pieces; these are enumerated.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from sslth.cnn.activations import Curve
from sslth.cnn.certificates.bounds import (
    Enclosure,
    constant_channel_image,
    exact,
    layer_operation,
    parameter_radius,
    signed_errors,
)
from sslth.cnn.certificates.intervals import Interval
from sslth.cnn.certificates.linear_bound import Coefficients, Total, mass
from sslth.cnn.layers import wiring_of
from sslth.cnn.merged import MergedLayer

__all__ = ["Slopes", "adjoint", "curve_step", "default_slopes", "linear_step", "moved", "pool_step", "window_slopes"]

_EPS = 2.0**-52
_TINY = 1e-290
# Pieces in which a curve that is not piecewise linear is bounded.
_PIECES = 24


class Slopes:
    """The slopes that a step may use, one for each functional and entry; multiples of its coefficients.

    Any are sound. Those of a curve are [k, n]; those of a pooling [k, windows, entries of a window].
    """

    def __init__(self, value: Tensor, shift: Tensor) -> None:
        self.value, self.shift = value, shift

    def leaves(self) -> tuple[tuple[Tensor, float, float], ...]:
        """Everything that can be improved, with its range."""
        return (self.value, 0.0, 1.0), (self.shift, 0.0, 1.0)

    def replaced(self, leaves: list[Tensor]) -> Slopes:
        """The same kind with other numbers."""
        return Slopes(leaves[0], leaves[1])


def adjoint(operation: Callable[[Tensor], Tensor], shape: torch.Size, coefficients: Tensor) -> Tensor:
    """Coefficients of a linear operation's input from those of its output, by automatic differentiation."""
    with torch.enable_grad():
        place = torch.zeros((len(coefficients), *shape[1:]), dtype=torch.float64, requires_grad=True)
        (result,) = torch.autograd.grad(
            operation(place), place, coefficients, create_graph=coefficients.requires_grad, allow_unused=False
        )
    return result


def linear_step(
    module: nn.Module, layer: MergedLayer | None, x: Enclosure, out: Coefficients, total: Total
) -> Coefficients:
    """Through a weighted layer: M ← M W + Λ E, Λ ← Λ V, and what a kernel for each sign adds.

    Notes
    -----
    The rounding of ``M W`` weighs at most ``γ |M| (|W| |x|)``, which costs one forward pass for all functionals.
    """
    operation, fan_in, pad, column = layer_operation(module)
    dims = len(x.shape)
    weight = exact(module.weight)
    unsure = parameter_radius(module, "weight")
    unsure = torch.zeros_like(weight) if unsure is None else unsure
    wiring = wiring_of(module)  # type: ignore[arg-type]
    fan_out = wiring.d if wiring.padding_mode == "zeros" else out.value[0].numel()
    gamma = (fan_in + fan_out + 16) * _EPS

    def back(coefficients: Tensor, kernel: Tensor) -> Tensor:
        return adjoint(lambda place: operation(pad(place), kernel), x.shape, coefficients)

    def allow(coefficients: Tensor, kernel: Tensor, radius: Tensor, size: Tensor) -> None:
        spread = operation(pad(size), gamma * kernel.abs() + radius)
        total.allow(mass(coefficients, spread) * (1.0 + 4.0 * gamma) + spread.numel() * _TINY)

    sizes = x.target.magnitude(), x.ticket.magnitude(), x.shift.magnitude()
    value, shift = back(out.value, weight), None
    allow(out.value, weight, unsure, sizes[0])
    bias, bias_radius = getattr(module, "bias", None), parameter_radius(module, "bias")
    offset = None if bias is None else exact(bias)
    if layer is None:
        shift = back(out.shift, weight)
        allow(out.shift, weight, unsure, sizes[2])
        _add_bias(out.value, offset, bias_radius, column, dims, total)
        return Coefficients(value, shift)
    layer = layer.on_cpu()
    _add_bias(out.value, offset, bias_radius, column, dims, total)
    _add_bias(out.shift, layer.bias, layer.bias_radius, column, dims, total)
    _add_bias(out.shift, None if offset is None else -offset, bias_radius, column, dims, total)
    if layer.taps is not None:
        image = constant_channel_image(module, layer, x.target.low)
        total.add(torch.where(out.shift > 0, out.shift * image.high, out.shift * image.low))
        total.allow(2.0 * _EPS * mass(out.shift, image.magnitude()))
    if not bool((x.ticket.low < 0).any()):
        error, radius = signed_errors(layer.positive, -weight, layer.positive_radius + unsure)
        allow(out.shift, error, radius, sizes[0])
        allow(out.shift, layer.positive, layer.positive_radius, sizes[2])
        value = value + back(out.shift, error)
        total.allow(2.0 * _EPS * mass(value, sizes[0]))
        return Coefficients(value, back(out.shift, layer.positive))
    # V⁺ relu(x̂) + V⁻ relu(-x̂) = O x̂ + Q |x̂|
    negative, negative_radius = layer.negative, layer.negative_radius
    if negative is None or negative_radius is None:
        negative, negative_radius = torch.zeros_like(weight), torch.zeros_like(weight)
    both = layer.positive_radius + negative_radius
    odd, odd_radius = signed_errors(0.5 * layer.positive, -0.5 * negative, 0.5 * both)
    even, even_radius = signed_errors(0.5 * layer.positive, 0.5 * negative, 0.5 * both)
    error, radius = signed_errors(odd, -weight, odd_radius + unsure)
    allow(out.shift, error, radius, sizes[0])
    allow(out.shift, odd, odd_radius, sizes[2])
    allow(out.shift, even, even_radius, sizes[1])
    value = value + back(out.shift, error)
    shift = back(out.shift, odd)
    sloped = _absolute(back(out.shift, even), x.ticket, total)
    value, shift = value + sloped, shift + sloped
    total.allow(4.0 * _EPS * (mass(value, sizes[0]) + mass(shift, sizes[2]) + mass(sloped, sizes[0] + sizes[2])))
    return Coefficients(value, shift)


def _add_bias(
    coefficients: Tensor,
    values: Tensor | None,
    radius: Tensor | None,
    column: Callable[[Tensor, int], Tensor],
    dims: int,
    total: Total,
) -> None:
    if values is None:
        return
    total.add(coefficients * column(values, dims))
    slack = 2.0 * _EPS * values.abs() if radius is None else 2.0 * _EPS * values.abs() + radius
    total.allow((coefficients.detach().abs() * column(slack, dims)).flatten(1).sum(1) * (1.0 + 1e-9))


def _absolute(coefficients: Tensor, x: Interval, total: Total) -> Tensor:
    """The coefficients of x̂ that bound those of |x̂|; their offset goes into the total."""
    chord = (x.high.abs() - x.low.abs()) / (x.high - x.low).clamp(min=1e-300)
    slope = torch.where(x.low >= 0, 1.0, torch.where(x.high <= 0, -1.0, chord.clamp(-1.0, 1.0)))
    sloped = coefficients * slope
    ends = [coefficients * end.abs() - sloped * end for end in (x.low, x.high)]
    crossing = (x.low < 0) & (x.high > 0)
    offset = torch.maximum(*ends)
    total.add(torch.where(crossing, offset.clamp(min=0.0), offset))
    total.allow(8.0 * _EPS * mass(coefficients, x.magnitude()))
    return sloped


def default_slopes(curve: Curve, x: Enclosure, out: Coefficients) -> Slopes:
    """Chords: of the largest and least possible difference, and of the curve; stable entries keep their slope."""
    least, most = _hull_slopes(curve, x)
    bottom, top = x.shift.low.flatten(), x.shift.high.flatten()

    def chord(at_low: Tensor, at_high: Tensor) -> Tensor:
        slope = (at_high - at_low) / (top - bottom)
        return torch.where(top > bottom, slope, most).clamp(least, most)

    over = chord(torch.maximum(least * bottom, most * bottom), torch.maximum(least * top, most * top))
    under = chord(torch.minimum(least * bottom, most * bottom), torch.minimum(least * top, most * top))
    shift = torch.where(out.shift.flatten(1) > 0, over, under)
    left, right = x.target.low.flatten(), x.target.high.flatten()
    inner = curve.slopes(x.target)
    line = (curve.value(right) - curve.value(left)) / (right - left)
    line = torch.where(right > left, line, most).clamp(inner.low.flatten(), inner.high.flatten())
    middle = curve.slope(0.5 * (left + right)).clamp(inner.low.flatten(), inner.high.flatten())
    value = torch.where(out.value.flatten(1) > 0, line, middle)
    return Slopes(value, shift)


def _hull_slopes(curve: Curve, x: Enclosure) -> tuple[Tensor, Tensor]:
    low = torch.minimum(x.target.low, x.ticket.low)
    high = torch.maximum(x.target.high, x.ticket.high)
    slopes = curve.slopes(Interval(low, high))
    return slopes.low.flatten(), slopes.high.flatten()


def curve_step(curve: Curve, x: Enclosure, out: Coefficients, slopes: Slopes, total: Total) -> Coefficients:
    """Through a continuous scalar function, with the given slopes."""
    value, shift = out.value.flatten(1), out.shift.flatten(1)
    alpha, beta = value * slopes.value, shift * slopes.shift
    if curve.exact:
        offset = _exact_offset(curve, x, (value, shift), (alpha, beta), total)
    else:
        offset = _pieces_offset(curve, x, (value, shift), (alpha, beta), total)
    total.add(offset)
    shape = (-1, *x.shape[1:])
    return Coefficients(alpha.reshape(shape), beta.reshape(shape))


def _corners(curve: Curve, x: Enclosure) -> list[tuple[Tensor, Tensor]]:
    left, right = x.target.low.flatten(), x.target.high.flatten()
    bottom, top = x.shift.low.flatten(), x.shift.high.flatten()
    points = [(z, d) for z in (left, right) for d in (bottom, top)]
    knots = sorted({position for position, _ in curve.corners})
    for knot in knots:
        at = torch.full_like(left, knot)
        points += [(at, d) for d in (bottom, top)]
        points += [(knot - d, d) for d in (bottom, top)]
        points += [(z, knot - z) for z in (left, right)]
        points += [(at, torch.full_like(left, other - knot)) for other in knots]
    return [(z.clamp(left, right), d.clamp(bottom, top)) for z, d in points]


def _exact_offset(
    curve: Curve, x: Enclosure, given: tuple[Tensor, Tensor], taken: tuple[Tensor, Tensor], total: Total
) -> Tensor:
    offset: Tensor | None = None
    for z, d in _corners(curve, x):
        before = curve.value(z)
        found = given[0] * before + given[1] * (curve.value(z + d) - before) - taken[0] * z - taken[1] * d
        offset = found if offset is None else torch.maximum(offset, found)
    assert offset is not None
    # What is stable has no offset: the two terms of it cancel exactly, and their rounding need not be allowed for.
    knots = max((abs(position) for position, _ in curve.corners), default=0.0)
    steep = max((abs(slope) for _, slope in curve.corners), default=1.0)
    size = x.target.magnitude() + x.shift.magnitude() + knots
    total.allow(32.0 * _EPS * (1.0 + steep) * (mass(given[0], size) + mass(given[1], size)))
    total.allow(32.0 * _EPS * (mass(taken[0], size) + mass(taken[1], size)))
    return offset


def _pieces_offset(
    curve: Curve, x: Enclosure, given: tuple[Tensor, Tensor], taken: tuple[Tensor, Tensor], total: Total
) -> Tensor:
    """The differences between the least and the greatest slope; the values piece by piece."""
    least, most = _hull_slopes(curve, x)
    bottom, top = x.shift.low.flatten(), x.shift.high.flatten()
    offset: Tensor | None = None
    for d in (bottom, top):
        for slope in (least, most):
            found = (given[1] * slope - taken[1]) * d
            offset = found if offset is None else torch.maximum(offset, found)
    assert offset is not None
    offset = torch.where((bottom < 0) & (top > 0), offset.clamp(min=0.0), offset)
    left, right = x.target.low.flatten(), x.target.high.flatten()
    nodes = [left + (right - left) * (index / _PIECES) for index in range(_PIECES)] + [right]
    best: Tensor | None = None
    for a, b in pairwise([node.clamp(left, right) for node in nodes]):
        at, slopes = curve.image(Interval(a, a)), curve.slopes(Interval(a, b))
        start = torch.maximum(given[0] * at.low, given[0] * at.high) - taken[0] * a
        width = (b - a) * (1.0 + 4.0 * _EPS)
        climb = torch.maximum(given[0] * slopes.low - taken[0], given[0] * slopes.high - taken[0]).clamp(min=0.0)
        found = start + climb * width
        best = found if best is None else torch.maximum(best, found)
    assert best is not None
    image = curve.image(x.target).magnitude().flatten()
    steep = torch.maximum(least.abs(), most.abs()) + 1.0
    size = image + (x.target.magnitude() + x.shift.magnitude()).flatten() * steep
    total.allow(32.0 * _EPS * sum((mass(part, size) for part in (*given, *taken)), torch.zeros(len(best))))
    return offset + best


def window_slopes(windows: Tensor, x: Enclosure, out: Coefficients) -> Slopes:
    """Shares of each entry in its window's maximum, to start from."""
    rows = out.value.flatten(1).shape[0]
    target, ticket = _candidates(windows, x.target), _candidates(windows, x.ticket)
    # Below a maximum stands any of its entries: the one that is likely the largest.
    middle = _gathered(0.5 * (x.target.low + x.target.high), windows, -torch.inf)
    likely = torch.nn.functional.one_hot(middle.argmax(1), windows.shape[1]).to(torch.float64)
    alone = target.sum(1, keepdim=True) == 1
    upper = torch.where(alone, target.to(torch.float64), 0.0)
    value = torch.where(out.value.flatten(1)[:, :, None] > 0, upper, likely)

    def spread(candidates: Tensor) -> Tensor:
        count = candidates.sum(1, keepdim=True)
        return torch.where(count <= 2, 1.0 / count, 0.0) * candidates

    shift = torch.where(out.shift.flatten(1)[:, :, None] > 0, spread(ticket), spread(target))
    return Slopes(value.expand(rows, *windows.shape), shift.expand(rows, *windows.shape))


def _gathered(values: Tensor, windows: Tensor, missing: float) -> Tensor:
    """Entries by window, float64[windows, entries]; index -1 is a missing entry."""
    return torch.where(windows >= 0, values.flatten()[windows.clamp(min=0)], missing)


def _candidates(windows: Tensor, x: Interval) -> Tensor:
    """Which entries may be the largest of their window."""
    top = _gathered(x.high, windows, -torch.inf)
    return (top >= _gathered(x.low, windows, -torch.inf).amax(1, keepdim=True)) & (windows >= 0)


def pool_step(windows: Tensor, x: Enclosure, out: Coefficients, slopes: Slopes, total: Total) -> Coefficients:
    """Through maxima over windows.

    Notes
    -----
    The maximum of the target is one of its entries k, that of the ticket one of its entries j; then
    ``δ_k <= difference <= δ_j``, so the bound is linear up to the largest value over the candidates.
    """
    value, shift = out.value.flatten(1)[:, :, None], out.shift.flatten(1)[:, :, None]
    target, ticket = _candidates(windows, x.target), _candidates(windows, x.ticket)
    low, high = _gathered(x.target.low, windows, 0.0), _gathered(x.target.high, windows, 0.0)
    bottom, top = _gathered(x.shift.low, windows, 0.0), _gathered(x.shift.high, windows, 0.0)
    shares = slopes.value * target
    # A maximum is at least every convex combination, so that needs no offset.
    whole = shares.sum(2, keepdim=True)
    fallback = target / target.sum(1, keepdim=True)
    convex = torch.where(whole > 1e-9, shares / whole.clamp(min=1e-9), fallback)
    rising, falling = value > 0, shift <= 0
    share = torch.where(rising, shares, convex)
    above = torch.where(target, (1.0 - share) * high + share * low, -torch.inf).amax(2) - (share * low).sum(2)
    total.add(torch.where(rising[:, :, 0], value[:, :, 0] * above, 0.0))
    over, under = slopes.shift * ticket, slopes.shift * target
    most = torch.where(ticket, (1.0 - over) * top + over * bottom, -torch.inf).amax(2) - (over * bottom).sum(2)
    least = torch.where(target, (1.0 - under) * bottom + under * top, torch.inf).amin(2) - (under * top).sum(2)
    total.add(shift[:, :, 0] * torch.where(falling[:, :, 0], least, most))
    weights = value * share, shift * torch.where(falling, under, over)
    sizes = torch.maximum(low.abs(), high.abs()).sum(1), torch.maximum(bottom.abs(), top.abs()).sum(1)
    slack = 8.0 * (windows.shape[1] + 8) * _EPS
    total.allow(slack * (mass(value, sizes[0]) + mass(shift, sizes[1])))
    parts = [scattered(weight.flatten(1), windows.flatten(), x.shape) for weight in weights]
    total.allow(slack * windows.shape[1] * (mass(parts[0], x.target.magnitude()) + mass(parts[1], x.shift.magnitude())))
    return Coefficients(*parts)


def scattered(coefficients: Tensor, index: Tensor, shape: torch.Size) -> Tensor:
    """Coefficients [k, m] added up at flat places of a tensor of this shape; -1 leaves one out."""
    size = shape[1:].numel()
    result = torch.zeros((len(coefficients), size + 1), dtype=torch.float64)
    places = torch.where(index < 0, size, index)
    return result.index_add(1, places, coefficients)[:, :size].reshape(-1, *shape[1:])


def moved(out: Coefficients, index: Tensor, source: Enclosure, total: Total) -> Coefficients:
    """Through an operation that takes each entry from a place of the source, as `index_move` says."""
    used = index[index >= 0]
    most = int(torch.bincount(used).max()) if used.numel() else 0
    parts = []
    for part, interval in ((out.value, source.target), (out.shift, source.shift)):
        parts.append(scattered(part.flatten(1), index, source.shape))
        if most > 1:
            again = mass(part.flatten(1)[:, index >= 0], interval.magnitude().flatten()[used])
            total.allow(2.0 * most * _EPS * again)
    return Coefficients(*parts)
