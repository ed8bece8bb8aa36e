"""How far evaluating the merged ticket in float32 can be from the ticket as a function of real numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from sslth.cnn.activations import curve_of
from sslth.cnn.certificates import bounds
from sslth.cnn.certificates.bounds import Enclosure, UnsupportedOperation
from sslth.cnn.certificates.intervals import Interval, add, linear_image, point
from sslth.cnn.certificates.propagation import Propagation, run_on
from sslth.cnn.layers import Weighted
from sslth.cnn.merged import MergedLayer
from sslth.cnn.trace import Traced, operation_name, words

__all__ = ["float32_error"]

# Twice the unit roundoff of float32, so that k of them bound gamma_k; and more than any underflow loses.
_EPS = 2.0**-23
_TINY = 1e-37
_LARGEST = 3e38
# The part of a bound that computing the bound itself (in float64) may have lost.
_MARGIN = 1.0 + 1e-6
# An activation is a few elementary functions, each within a few units in the last place.
_ELEMENTARY = 16.0


def float32_error(traced: Traced, merged: Mapping[str, MergedLayer], low: Tensor, high: Tensor) -> float:
    """Return a bound on |float32 evaluation - real function| of the merged ticket; inf if none is known.

    Parameters
    ----------
    traced : Traced
        The target network.
    merged : mapping from module names to MergedLayer
    low, high : float64[1, *input_shape]
        The box; inputs are rounded to float32 too.

    Returns
    -------
    float
        Over all inputs of the box and all outputs.

    Notes
    -----
    The standard model of rounding: sums and dot products in any order, elementary functions within a few
    units in the last place. TF32 and fast convolutions (Winograd, FFT) are outside it. Cost: about ten
    float64 forward passes.
    """
    box = Interval(low, high)
    entry = _EPS * box.magnitude() + _TINY
    start = bounds.with_shift(box, Interval(-entry, entry))
    try:
        outputs = run_on(traced, merged, start, _Float32Propagation)
    except UnsupportedOperation:
        return math.inf
    errors = [output.shift.magnitude() for output in outputs]
    worst = max(float(error.max()) if error.numel() else 0.0 for error in errors)
    reach = max(float(output.ticket.magnitude().max()) if output.shape.numel() else 0.0 for output in outputs)
    return worst if reach < _LARGEST else math.inf


_EXACT = words(
    """flatten unflatten view view_as reshape permute transpose swapaxes swapdims movedim moveaxis squeeze
    unsqueeze contiguous clone detach expand expand_as repeat tile t chunk split unbind narrow select flip
    roll getitem getattr unfold pixel_shuffle pixel_unshuffle channel_shuffle cat stack neg maximum minimum amax amin
    max_pool1d max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d dropout dropout1d
    dropout2d dropout3d alpha_dropout feature_alpha_dropout pad interpolate float double type_as size dim numel
    stride"""
)
_SUMS = words("mean sum avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d")
_SUM_MODULES = (
    nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d
)  # fmt: skip


class _Float32Propagation(Propagation):
    """Here "target" is the ticket as a real function, and "ticket" its evaluation in float32."""

    def run_node(self, n: fx.Node) -> Any:
        module = self.module_of(n)
        if n.op == "get_attr":
            value = super().run_node(n)
            return _noisy(value, _EPS * value.target.magnitude()) if isinstance(value, Enclosure) else value
        if isinstance(module, Weighted):
            arguments, _ = self.fetch_args_kwargs_from_env(n)
            x = arguments[0]
            if len(arguments) != 1 or not isinstance(x, Enclosure):
                raise UnsupportedOperation("a layer is called with something else than one tensor")
            return _weighted(module, self.layer_of(n), x)
        result = super().run_node(n)
        if n.op in ("placeholder", "output") or not isinstance(result, Enclosure):
            return result
        arguments, keywords = self.fetch_args_kwargs_from_env(n)
        return _noisy(result, _noise(n, module, result, arguments, keywords))


def _noisy(x: Enclosure, noise: Tensor) -> Enclosure:
    if not bool((x.ticket.magnitude() < _LARGEST).all()):
        raise UnsupportedOperation("float32 overflows")
    noise = (noise * _MARGIN).expand(x.shape)
    return bounds.with_shift(x.target, add(x.shift, Interval(-noise, noise)))


def _noise(node: fx.Node, module: nn.Module | None, result: Enclosure, arguments: Any, keywords: Any) -> Tensor:
    """Return a bound on what rounding in this operation adds, for operands as they are in float32."""
    size = result.ticket.magnitude()
    name = operation_name(node)
    first = arguments[0] if arguments and isinstance(arguments[0], Enclosure) else None
    curve = curve_of(node, module)
    if curve is not None and first is not None:
        if curve.rounding == 0.0:
            return _EPS * size  # only a limit that is no float32 number rounds
        before = first.ticket.magnitude()
        return _ELEMENTARY * _EPS * (size + curve.absolute * (1.0 + before)) + _TINY
    if name in _EXACT or (name == "to" and module is None):
        return _EPS * size if name in ("pad", "getattr", "to") else torch.zeros_like(size)
    if name in ("mul", "div"):
        return 4.0 * _EPS * size + _TINY
    if name in ("add", "sub", "rsub"):
        scale = max(1.0, abs(float(keywords.get("alpha", 1.0))))
        return 4.0 * _EPS * (size + scale * sum((_size(item) for item in arguments), torch.zeros(())))
    if first is None:
        raise UnsupportedOperation("no float32 error is known for an operation on several tensors")
    before = first.ticket.magnitude()
    if name in _SUMS or isinstance(module, _SUM_MODULES):
        # Means are at most the largest entry, sums at most the number of entries times it.
        terms = before.numel()
        return (terms + 8) * _EPS * before.max() * (terms if name == "sum" else 1.0) + terms * _TINY
    if isinstance(module, nn.PReLU):
        return 4.0 * _EPS * size + _TINY  # the slope rounds once, the product once
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
        return _batch_norm_noise(module, before)
    if name in ("softmax", "log_softmax") or isinstance(module, nn.Softmax | nn.LogSoftmax):
        return (before.numel() + 64) * _EPS * (1.0 + 4.0 * before.max()) + torch.zeros_like(size) + _TINY
    if module is not None and not list(module.parameters()) and not list(module.buffers()):
        # What is left of the supported modules only moves, selects and pads.
        return _EPS * size
    raise UnsupportedOperation("no float32 error is known for an operation")


def _size(value: Any) -> Tensor:
    if isinstance(value, Enclosure):
        return value.ticket.magnitude()
    return torch.as_tensor(value, dtype=torch.float64).abs()


def _batch_norm_noise(module: nn.Module, before: Tensor) -> Tensor:
    shape = (1, -1) + (1,) * (before.ndim - 2)

    def column(name: str, default: float) -> Tensor:
        value = getattr(module, name)
        full = torch.full((before.shape[1],), default) if value is None else value.detach().cpu()
        return full.double().reshape(shape)

    spread = (column("running_var", 1.0) + float(getattr(module, "eps", 0.0))).sqrt()
    scale = (column("weight", 1.0) / spread).abs()
    reach = scale * (before + column("running_mean", 0.0).abs()) + column("bias", 0.0).abs()
    return 16.0 * _EPS * reach + _TINY


def _weighted(module: nn.Module, layer: MergedLayer | None, x: Enclosure) -> Enclosure:
    """Apply the merged kernels; their rounding to float32 and the dot product's are the noise."""
    operation, fan_in, pad, column = bounds.layer_operation(module)
    dims = len(x.shape)
    before = x.target.low
    x = x.map(pad)
    bias: Interval | None = None
    parts: list[tuple[Tensor, Tensor | None, Enclosure]] = []
    if layer is None:
        parts.append((bounds.exact(module.weight), None, x))
        if module.bias is not None:
            bias = point(bounds.exact(module.bias))
    else:
        layer = layer.on_cpu()
        parts.append((layer.positive, layer.positive_radius, _positive_part(x)))
        if layer.negative is not None:
            parts.append((layer.negative, layer.negative_radius, _positive_part(x.each(Interval.negated))))
        if layer.bias is not None:
            bias = point(layer.bias, layer.bias_radius)
    value: Interval | None = None
    shift: Interval | None = None
    noise = torch.zeros(())
    for kernel, radius, part in parts:
        image = linear_image(operation, kernel, radius, part.target, fan_in)
        moved = linear_image(operation, kernel, radius, part.shift, fan_in)
        value = image if value is None else add(value, image)
        shift = moved if shift is None else add(shift, moved)
        spread = (fan_in + 8) * _EPS * kernel.abs() + (0.0 if radius is None else radius)
        noise = noise + operation(part.ticket.magnitude(), spread) + fan_in * _TINY
    if value is None or shift is None:
        raise UnsupportedOperation("a layer has no kernel")
    if layer is not None and layer.taps is not None:  # a sum of at most one product a tap, and one addition
        constant = bounds.constant_channel_image(module, layer, before)
        fixed = replace(layer, taps=layer.taps.abs())
        spread = bounds.constant_channel_image(module, fixed, before).magnitude()
        value = add(value, constant)
        noise = noise + (fan_in + 12) * _EPS * spread + (constant.high - constant.low) + fan_in * _TINY
    if bias is not None:
        offset = bias.map(lambda t: column(t, dims))
        value = add(value, offset)
        noise = noise + 4.0 * _EPS * offset.magnitude() + (offset.high - offset.low)
    return _noisy(bounds.with_shift(value, shift), noise)


def _positive_part(x: Enclosure) -> Enclosure:
    return bounds.curved(bounds.RELU, x)
