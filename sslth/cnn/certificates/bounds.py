"""Enclosures of the target's value, the ticket's value and their difference, neuron by neuron.

Each of the three is an interval, rounded outwards, and each sharpens the others: the difference of a
merged layer comes from the identity

    ticket - target = K*δ + E⁺*relu(x̂) + E⁻*relu(-x̂) + (b̂ - b),    x̂ = x + δ,  E⁺ = K̂⁺ - K,  E⁻ = K̂⁻ + K,

so that it is small when E is, however wide the intervals of the values are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor, nn

from sslth.cnn.activations import Curve, relu_curve
from sslth.cnn.certificates.intervals import (
    Interval,
    add,
    difference,
    intersect,
    linear_image,
    multiply,
    point,
    positive_image,
    round_down,
    round_up,
)
from sslth.cnn.constant_channel import ones_for
from sslth.cnn.layers import Weighted, wiring_of
from sslth.cnn.merged import MergedLayer
from sslth.cnn.operation import apply_wiring, bias_column, pad_input

__all__ = [
    "RELU",
    "Enclosure",
    "UnsupportedOperation",
    "averaged",
    "batch_norm",
    "constant",
    "constant_channel_image",
    "curved",
    "exact",
    "layer_operation",
    "log_softmax",
    "maximum",
    "parameter_radius",
    "product",
    "sharpened",
    "signed_errors",
    "softmax",
    "summed",
    "weighted_layer",
    "with_shift",
]

_EPS = 2.0**-52
RELU = relu_curve()


class UnsupportedOperation(Exception):
    """No enclosure rule is known; ``reason`` says for what, in one sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, eq=False)
class Enclosure:
    """What is known of one tensor of both networks, over a batch of boxes.

    Attributes
    ----------
    target, ticket : Interval
        The values in the target network and in the ticket.
    shift : Interval
        ticket - target, for the same input.
    """

    target: Interval
    ticket: Interval
    shift: Interval

    @property
    def shape(self) -> torch.Size:
        return self.target.low.shape

    def map(self, operation: Callable[[Tensor], Tensor]) -> Enclosure:
        """Apply an operation that only moves, copies or selects entries."""
        return Enclosure(self.target.map(operation), self.ticket.map(operation), self.shift.map(operation))

    def each(self, operation: Callable[[Interval], Interval]) -> Enclosure:
        """Apply a linear operation."""
        return Enclosure(operation(self.target), operation(self.ticket), operation(self.shift))


def constant(value: Tensor) -> Enclosure:
    """Return the enclosure of a tensor that both networks hold alike."""
    value = exact(value)
    zero = torch.zeros_like(value)
    return Enclosure(point(value), point(value), point(zero))


def with_shift(target: Interval, shift: Interval) -> Enclosure:
    """Return the enclosure whose ticket is only known by its difference from the target."""
    return Enclosure(target, add(target, shift), shift)


def sharpened(target: Interval, ticket: Interval, shift: Interval) -> Enclosure:
    """Return the enclosure in which each interval has been cut by what the other two say."""
    ticket = intersect(ticket, add(target, shift))
    shift = intersect(shift, difference(ticket, target))
    return Enclosure(target, ticket, shift)


def curved(curve: Curve, x: Enclosure) -> Enclosure:
    """Apply a scalar function: the difference is a slope, somewhere between x and x̂, times δ."""
    hull = Interval(torch.minimum(x.target.low, x.ticket.low), torch.maximum(x.target.high, x.ticket.high))
    slopes = curve.slopes(hull)
    shift = multiply(slopes, x.shift)
    if curve.exact:
        # Slope exactly one, or a shift of exactly zero, needs no rounding.
        same = (slopes.low == 1) & (slopes.high == 1)
        flat = ((slopes.low == 0) & (slopes.high == 0)) | ((x.shift.low == 0) & (x.shift.high == 0))
        shift = Interval(
            torch.where(flat, 0.0, torch.where(same, x.shift.low, shift.low)),
            torch.where(flat, 0.0, torch.where(same, x.shift.high, shift.high)),
        )
    if curve.jumps:
        jump = curve.jump_bound(hull)
        shift = add(shift, Interval(-jump, jump))
    return sharpened(curve.image(x.target), curve.image(x.ticket), shift)


def weighted_layer(module: nn.Module, layer: MergedLayer | None, x: Enclosure) -> Enclosure:
    """Apply a weighted layer, replaced in the ticket by a merged one (None: carried over unchanged)."""
    operation, fan_in, pad, column = layer_operation(module)
    weight, weight_radius = exact(module.weight), parameter_radius(module, "weight")
    dims = len(x.shape)
    before = x.target.low
    x = x.map(pad)
    target = linear_image(operation, weight, weight_radius, x.target, fan_in)
    shift = linear_image(operation, weight, weight_radius, x.shift, fan_in)
    bias, bias_radius = getattr(module, "bias", None), parameter_radius(module, "bias")
    offset = None if bias is None else point(exact(bias), bias_radius)
    if layer is not None:
        layer = layer.on_cpu()
        shift = add(shift, _kernel_error_image(operation, weight, weight_radius, layer, x.ticket, fan_in))
        kept = None if layer.bias is None else point(layer.bias, layer.bias_radius)
        if kept is not None or offset is not None:
            zero = point(torch.zeros_like((kept or offset).low))  # type: ignore[union-attr]
            shift = add(shift, difference(kept or zero, offset or zero).map(lambda t: column(t, dims)))
        if layer.taps is not None:
            shift = add(shift, constant_channel_image(module, layer, before))
    if offset is not None:
        target = add(target, offset.map(lambda t: column(t, dims)))
    return sharpened(target, add(target, shift), shift)


def constant_channel_image(module: nn.Module, layer: MergedLayer, x: Tensor) -> Interval:
    """Return an enclosure of what the constant input channel adds for inputs of the shape of x, unpadded."""
    assert isinstance(module, Weighted)
    wiring = wiring_of(module)
    ones, constant = ones_for(x, wiring), wiring.constant_channel
    return linear_image(
        lambda values, weight: apply_wiring(values, weight, constant),
        exact(layer.taps),  # type: ignore[arg-type]
        layer.taps_radius,
        point(ones),
        math.prod(wiring.kernel_size),
    )


def parameter_radius(module: nn.Module, name: str) -> Tensor | None:
    """How far a weight may be from the real one: given where a batch norm was folded, else it is exact."""
    radius = getattr(module, f"{name}_radius", None)
    return radius if isinstance(radius, Tensor) else None


def _kernel_error_image(
    operation: Callable[[Tensor, Tensor], Tensor],
    weight: Tensor,
    weight_radius: Tensor | None,
    layer: MergedLayer,
    x: Interval,
    fan_in: int,
) -> Interval:
    """Return an enclosure of E⁺*relu(x̂) + E⁻*relu(-x̂)."""
    unsure = torch.zeros_like(weight) if weight_radius is None else weight_radius
    plus, plus_radius = signed_errors(layer.positive, -weight, layer.positive_radius + unsure)
    if not bool((x.low < 0).any()):
        return linear_image(operation, plus, plus_radius, x, fan_in)
    if layer.negative is None or layer.negative_radius is None:
        minus, minus_radius = signed_errors(torch.zeros_like(weight), weight, unsure)
    else:
        minus, minus_radius = signed_errors(layer.negative, weight, layer.negative_radius + unsure)
    apart = add(
        linear_image(operation, plus, plus_radius, x.map(torch.relu), fan_in),
        linear_image(operation, minus, minus_radius, x.negated().map(torch.relu), fan_in),
    )
    # The same as (E⁺ - E⁻)/2 * x̂ + (E⁺ + E⁻)/2 * |x̂|: tighter where x̂ may have both signs and the errors
    # agree in sign, since relu(x̂) and relu(-x̂) are never both large.
    radius = plus_radius + minus_radius
    odd, odd_radius = signed_errors(0.5 * plus, -0.5 * minus, radius)
    even, even_radius = signed_errors(0.5 * plus, 0.5 * minus, radius)
    touches = torch.where((x.low <= 0) & (x.high >= 0), 0.0, torch.minimum(x.low.abs(), x.high.abs()))
    joint = add(
        linear_image(operation, odd, odd_radius, x, fan_in),
        linear_image(operation, even, even_radius, Interval(touches, x.magnitude()), fan_in),
    )
    return intersect(apart, joint)


def signed_errors(a: Tensor, b: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """Return a + b and a bound on how far the exact sum may be from it."""
    total = a + b
    return total, (radius + _EPS * total.abs()) * (1.0 + 4.0 * _EPS)


def exact(parameter: Tensor | nn.Module) -> Tensor:
    """Return a parameter in float64, in main memory; exact, since no wider type is supported."""
    if not isinstance(parameter, Tensor):
        raise UnsupportedOperation("a layer has no weight tensor")
    return parameter.detach().to("cpu", torch.float64)


def layer_operation(
    module: nn.Module,
) -> tuple[Callable[[Tensor, Tensor], Tensor], int, Callable[[Tensor], Tensor], Callable[[Tensor, int], Tensor]]:
    """Return the layer as (bilinear operation, products per output at most, padding before it, a bias's shape)."""
    if not isinstance(module, Weighted) or type(module).forward is not _FORWARDS.get(type(module)):
        raise UnsupportedOperation(f"no bound is known for the module {type(module).__name__}")
    wiring = wiring_of(module)
    fan_in = wiring.inputs_per_group * math.prod(wiring.kernel_size)
    return (
        lambda x, weight: apply_wiring(x, weight, wiring),
        fan_in,
        lambda x: pad_input(x, wiring),
        lambda values, dims: bias_column(values, wiring, dims),
    )


_FORWARDS = {kind: kind.forward for kind in get_args(Weighted)}


def looked_up(module: nn.Embedding, x: Enclosure) -> Enclosure:
    """Rows of a table that both networks hold, by whole numbers that are the same in both."""
    table, (low, high) = exact(module.weight), (end.long() for end in (x.target.low, x.target.high))
    ranges, place = torch.unique(torch.stack([low, high], -1).reshape(-1, 2), dim=0, return_inverse=True)
    rows = [table[first : last + 1] for first, last in ranges.tolist()]
    ends = (torch.stack([part.amin(0) for part in rows]), torch.stack([part.amax(0) for part in rows]))
    value = Interval(*(end[place].reshape(*low.shape, -1) for end in ends))
    return Enclosure(value, value, point(torch.zeros_like(value.low)))


def batch_norm(module: nn.Module, x: Enclosure) -> Enclosure:
    """Apply a batch norm in evaluation mode: a fixed scale and offset for each channel."""
    mean, variance = getattr(module, "running_mean", None), getattr(module, "running_var", None)
    if mean is None or variance is None:
        raise UnsupportedOperation("no bound is known for a batch norm without running statistics")
    shape = (1, -1) + (1,) * (len(x.shape) - 2)
    epsilon = torch.tensor(float(module.eps), dtype=torch.float64)  # type: ignore[arg-type]
    spread = add(point(exact(variance)), point(epsilon))
    root = Interval(round_down(spread.low.sqrt()), round_up(spread.high.sqrt()))
    inverse = Interval(round_down(1.0 / root.high), round_up(1.0 / root.low))
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    scale = inverse if weight is None else multiply(point(exact(weight)), inverse)
    scale = scale.map(lambda t: t.reshape(shape))
    offset = torch.zeros_like(exact(mean)) if bias is None else exact(bias)

    def affine(value: Interval) -> Interval:
        centred = difference(value, point(exact(mean).reshape(shape)))
        return add(multiply(scale, centred), point(offset.reshape(shape)))

    return sharpened(affine(x.target), affine(x.ticket), multiply(scale, x.shift))


def averaged(operation: Callable[[Tensor], Tensor], terms: int, x: Enclosure) -> Enclosure:
    """Apply means or sums: linear, with equal non-negative weights, at most ``terms`` entries each."""
    return _cut(x.each(lambda value: positive_image(operation, value, terms)))


def maximum(operation: Callable[[Tensor], Tensor], x: Enclosure) -> Enclosure:
    """Apply a maximum over windows: it moves by at most the largest movement in the window."""
    shift = Interval(-operation(-x.shift.low), operation(x.shift.high))
    return sharpened(x.target.map(operation), x.ticket.map(operation), shift)


def summed(a: Enclosure, b: Enclosure, sign: int = 1) -> Enclosure:
    """Return a + b, or a - b with sign -1."""
    combine = add if sign > 0 else difference
    return _cut(Enclosure(combine(a.target, b.target), combine(a.ticket, b.ticket), combine(a.shift, b.shift)))


def product(a: Enclosure, b: Enclosure) -> Enclosure:
    """Return a·b: the difference is â·(b̂ - b) + b·(â - a)."""
    shift = add(multiply(a.ticket, b.shift), multiply(b.target, a.shift))
    return sharpened(multiply(a.target, b.target), multiply(a.ticket, b.ticket), shift)


def softmax(x: Enclosure, dim: int) -> Enclosure:
    """Apply softmax: s_i moves by s_i·(1 - s_i)·(δ_i - a mean of the other δ)."""
    target, ticket = _softmax_image(x.target, dim), _softmax_image(x.ticket, dim)
    low, high = torch.minimum(target.low, ticket.low), torch.maximum(target.high, ticket.high)
    # s(1 - s) rises up to 1/2 and falls after it.
    ends = [low * (1.0 - low), high * (1.0 - high)]
    peak = torch.where((low < 0.5) & (high > 0.5), 0.25, torch.maximum(*ends))
    slope = Interval((torch.minimum(*ends) - 8 * _EPS).clamp(min=0.0), (peak + 8 * _EPS).clamp(max=0.25))
    return sharpened(target, ticket, multiply(slope, _against_others(x.shift, dim)))


def log_softmax(x: Enclosure, dim: int) -> Enclosure:
    """Apply log-softmax: it moves by (1 - s_i)·(δ_i - a mean of the other δ)."""
    target, ticket = _log_softmax_image(x.target, dim), _log_softmax_image(x.ticket, dim)
    shares = [_softmax_image(value, dim) for value in (x.target, x.ticket)]
    low = torch.minimum(shares[0].low, shares[1].low)
    high = torch.maximum(shares[0].high, shares[1].high)
    rest = Interval((1.0 - high - 8 * _EPS).clamp(min=0.0), (1.0 - low + 8 * _EPS).clamp(max=1.0))
    return sharpened(target, ticket, multiply(rest, _against_others(x.shift, dim)))


def _against_others(shift: Interval, dim: int) -> Interval:
    """Return an enclosure of δ_i minus any weighted mean of δ along the dimension."""
    others = Interval(shift.low.amin(dim, keepdim=True), shift.high.amax(dim, keepdim=True))
    return difference(shift, others)


def _softmax_image(x: Interval, dim: int) -> Interval:
    # s_i is lowest where x_i is lowest and all others are highest.
    size = x.low.shape[dim]
    top = x.high.amax(dim, keepdim=True)
    least, most = torch.exp(x.low - top), torch.exp(x.high - top)
    slack = (size + 32) * _EPS
    # exp(a - top): the rounding of the subtraction counts |a - top| ulps, and exp itself two.
    slack_low, slack_high = slack * (1 + (top - x.low)), slack * (1 + (top - x.high))
    others_most = (most.sum(dim, keepdim=True) - most).clamp(min=0.0)
    others_least = (least.sum(dim, keepdim=True) - least).clamp(min=0.0)
    total_slack = slack * (1 + (top - x.low).amax(dim, keepdim=True)) * most.sum(dim, keepdim=True)
    low = least * (1 - slack_low).clamp(min=0.0) / (least + others_most + total_slack)
    bottom = most + (others_least - total_slack).clamp(min=0.0)
    high = torch.where(bottom > 1e-200, (most * (1 + slack_high) + 1e-290) / bottom, 1.0)
    return Interval((low * (1 - slack) - 1e-290).clamp(0.0, 1.0), (high * (1 + slack)).clamp(0.0, 1.0))


def _log_softmax_image(x: Interval, dim: int) -> Interval:
    sums = x.map(lambda t: torch.logsumexp(t, dim, keepdim=True))
    size = x.low.shape[dim]

    def slack(value: Tensor) -> Tensor:
        return (size + 64) * _EPS * (1 + value.abs().amax(dim, keepdim=True))

    sums = add(sums, Interval(-slack(x.low), slack(x.high)))
    values = difference(x, sums)
    return Interval(values.low, values.high.clamp(max=0.0))


def _cut(x: Enclosure) -> Enclosure:
    return sharpened(x.target, x.ticket, x.shift)
