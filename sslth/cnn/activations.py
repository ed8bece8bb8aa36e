"""Scalar activation functions as curves: values, slopes, and where either of them turns or jumps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from sslth.cnn.certificates.intervals import Interval, round_down, round_up
from sslth.cnn.trace import operation_name

__all__ = ["Curve", "curve_of", "relu_curve"]

_INF = math.inf
# Bounds the rounding of a few float64 elementary functions composed (each is within 2 ulp or so).
_ROUNDING = 2.0**-47
# More than what any underflow loses.
_TINY = 1e-290
_SLOPE_SLACK = 1e-12
# Positions of turning points are given to 9 digits or more; what they bound is flat there.
_POSITION_SLACK = 1e-7


@dataclass(frozen=True)
class Curve:
    """A real function of one variable, which falls left of its valley and rises right of it.

    Attributes
    ----------
    value, slope : callable (float64 tensor) -> float64 tensor
        The slope is the derivative wherever that exists.
    corners : tuple of (position, slope)
        Every local extremum of the slope; two entries with one position where it jumps.
    valley : float
        -inf for an increasing function.
    bottom, top : float
        Bounds of the values.
    jumps : tuple of (position, size)
        Where the function itself is not continuous (softplus as torch defines it, by a threshold).
    exact : bool
        Corners and slopes are exact floats, and the slope is constant between corners.
    rounding, absolute : float
        The computed value is within ``rounding·(|f| + absolute·(1 + |x|))`` of the real one.
    """

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    corners: tuple[tuple[float, float], ...] = ()
    valley: float = -_INF
    bottom: float = -_INF
    top: float = _INF
    jumps: tuple[tuple[float, float], ...] = ()
    exact: bool = False
    rounding: float = _ROUNDING
    absolute: float = 1.0

    def keeps_nonnegative(self) -> bool:
        """Tell whether f(x) >= 0 follows from x >= 0."""
        rises = self.valley <= 0 and bool(self.value(torch.zeros(1, dtype=torch.float64)) >= 0)
        return self.bottom >= 0 or (rises and not self.jumps)

    def image(self, x: Interval) -> Interval:
        """Return an enclosure of the values over the interval."""
        left, right = self.value(x.low), self.value(x.high)
        low, high = torch.minimum(left, right), torch.maximum(left, right)
        if self.valley > -_INF:
            lowest = self.value(torch.full_like(x.low, self.valley))
            low = torch.where(self._contains(x, self.valley), torch.minimum(low, lowest), low)
        for position, size in self.jumps:
            jump = self._contains(x, position).to(low.dtype) * size
            low, high = low - jump, high + jump
        if self.rounding > 0:
            reach = self.absolute * (1.0 + torch.maximum(x.low.abs(), x.high.abs()))
            low = low - self.rounding * (low.abs() + reach) - _TINY
            high = high + self.rounding * (high.abs() + reach) + _TINY
        return Interval(low.clamp(self.bottom, self.top), high.clamp(self.bottom, self.top))

    def slopes(self, x: Interval) -> Interval:
        """Return an enclosure of (f(b) - f(a)) / (b - a) over a < b in the interval, jumps left aside."""
        # Only slopes inside count: at a kink that is an end of the interval the inner one does.
        left, right = self.slope(round_up(x.low)), self.slope(round_down(x.high))
        low, high = torch.minimum(left, right), torch.maximum(left, right)
        for position, slope in self.corners:
            inside = self._contains(x, position)
            low = torch.where(inside, low.clamp(max=slope), low)
            high = torch.where(inside, high.clamp(min=slope), high)
        if not self.exact:
            low = low - _SLOPE_SLACK * (1.0 + low.abs())
            high = high + _SLOPE_SLACK * (1.0 + high.abs())
        return Interval(low, high)

    def jump_bound(self, x: Interval) -> Tensor:
        """Return a bound on what the jumps inside the interval add to a difference of values."""
        total = torch.zeros_like(x.low)
        for position, size in self.jumps:
            total = total + self._contains(x, position).to(total.dtype) * size
        return total

    def _contains(self, x: Interval, position: float) -> Tensor:
        if self.exact:
            return (x.low < position) & (x.high > position)
        slack = _POSITION_SLACK * (1.0 + abs(position))
        return (x.low < position + slack) & (x.high > position - slack)


def _piecewise(
    value: Callable[[Tensor], Tensor], knots: tuple[float, ...], slopes: tuple[float, ...], **limits: Any
) -> Curve:
    """Return a continuous function with the given slopes between the knots."""
    corners = tuple(
        (knot, slope) for knot, around in zip(knots, itertools.pairwise(slopes), strict=True) for slope in around
    )

    def slope_at(x: Tensor) -> Tensor:
        result = torch.full_like(x, slopes[0])
        for knot, slope in zip(knots, slopes[1:], strict=True):
            result = torch.where(x > knot, slope, result)
        return result

    return Curve(value, slope_at, corners, **limits)


def relu_curve(inplace: bool = False) -> Curve:  # noqa: ARG001  (torch's signature)
    """Return the curve of max(x, 0)."""
    return _piecewise(torch.relu, (0.0,), (0.0, 1.0), bottom=0.0, exact=True, rounding=0.0)


def _hardtanh(min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Curve:  # noqa: ARG001  (torch's)
    return _clamp(min_val, max_val)


def _clamp(min: float | None = None, max: float | None = None) -> Curve:
    low = -_INF if min is None else float(min)
    high = _INF if max is None else float(max)
    low = low if low < high else high  # torch lets the maximum win
    knots = [(knot, slope) for knot, slope in ((low, 1.0), (high, 0.0)) if math.isfinite(knot)]
    slopes = (0.0 if math.isfinite(low) else 1.0, *(slope for _, slope in knots))
    return _piecewise(
        lambda x: x.clamp(low, high),
        tuple(knot for knot, _ in knots),
        slopes,
        bottom=low,
        top=high,
        exact=True,
        rounding=0.0,
    )


def _clamp_min(min: float) -> Curve:
    return _clamp(min, None)


def _clamp_max(max: float) -> Curve:
    return _clamp(None, max)


def _relu6(inplace: bool = False) -> Curve:  # noqa: ARG001  (torch's signature)
    return _clamp(0.0, 6.0)


def _leaky_relu(negative_slope: float = 0.01, inplace: bool = False) -> Curve:  # noqa: ARG001
    steep = float(negative_slope)

    def value(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, steep * x)

    valley = 0.0 if steep < 0 else -_INF
    return _piecewise(value, (0.0,), (steep, 1.0), valley=valley, exact=True, absolute=0.0)


def _abs() -> Curve:
    return _piecewise(torch.abs, (0.0,), (-1.0, 1.0), valley=0.0, bottom=0.0, exact=True, rounding=0.0)


def _sigmoid() -> Curve:
    return Curve(torch.sigmoid, lambda x: torch.sigmoid(x) * torch.sigmoid(-x), ((0.0, 0.25),), bottom=0.0, top=1.0)


def _logsigmoid() -> Curve:
    return Curve(F.logsigmoid, lambda x: torch.sigmoid(-x), top=0.0)


def _tanh() -> Curve:
    return Curve(torch.tanh, lambda x: 1.0 - torch.tanh(x) ** 2, ((0.0, 1.0),), bottom=-1.0, top=1.0)


def _tanhshrink() -> Curve:
    return Curve(lambda x: x - torch.tanh(x), lambda x: torch.tanh(x) ** 2, ((0.0, 0.0),))


def _gelu(approximate: str = "none") -> Curve:
    if approximate == "none":
        # f'' = phi(x)·(2 - x²): the slope turns at ±sqrt(2); f' = 0 at the valley.
        return Curve(
            F.gelu,
            _gelu_slope,
            ((-1.41421356237, -0.1289041452), (1.41421356237, 1.1289041452)),
            -0.7517915246936,
        )
    return Curve(
        lambda x: F.gelu(x, approximate="tanh"),
        _gelu_tanh_slope,
        ((-1.41850400879, -0.1289930687), (1.41850400879, 1.1289930687)),
        -0.7524614220710,
    )


def _gelu_slope(x: Tensor) -> Tensor:
    density = torch.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
    return 0.5 * torch.erfc(-x / math.sqrt(2.0)) + torch.where(density == 0, 0.0, x * density)


def _gelu_tanh_slope(x: Tensor) -> Tensor:
    inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)
    rate = math.sqrt(2.0 / math.pi) * (1.0 + 3 * 0.044715 * x**2)
    bell = 4.0 * torch.sigmoid(2.0 * inner) * torch.sigmoid(-2.0 * inner)
    return torch.sigmoid(2.0 * inner) + 0.5 * torch.where(bell == 0, 0.0, x * rate * bell)


def _silu(inplace: bool = False) -> Curve:  # noqa: ARG001
    def slope(x: Tensor) -> Tensor:
        gate = torch.sigmoid(x)
        return gate * (1.0 + x * torch.sigmoid(-x))

    return Curve(F.silu, slope, ((-2.39935728052, -0.0998393202), (2.39935728052, 1.0998393202)), -1.2784645427611)


def _mish(inplace: bool = False) -> Curve:  # noqa: ARG001
    def slope(x: Tensor) -> Tensor:
        squashed = torch.tanh(F.softplus(x, threshold=40.0))
        return squashed + x * (1.0 - squashed**2) * torch.sigmoid(x)

    # torch computes softplus by a threshold of 20 here; tanh(20) = 1 in float64, so nothing jumps.
    return Curve(F.mish, slope, ((-2.25637639638, -0.1125261224), (1.49057117949, 1.0884981617)), -1.1924312145155)


def _elu(alpha: float = 1.0, inplace: bool = False) -> Curve:  # noqa: ARG001
    return _exponential_unit(1.0, float(alpha), 1.0)


def _selu(inplace: bool = False) -> Curve:  # noqa: ARG001
    return _exponential_unit(1.0507009873554804934193349852946, 1.6732632423543772848170429916717, 1.0)


def _celu(alpha: float = 1.0, inplace: bool = False) -> Curve:  # noqa: ARG001
    return _exponential_unit(1.0, float(alpha), 1.0 / float(alpha))


def _exponential_unit(scale: float, alpha: float, rate: float) -> Curve:
    """Return scale·x for x > 0, scale·alpha·(exp(rate·x) - 1) below."""

    def value(x: Tensor) -> Tensor:
        return scale * torch.where(x > 0, x, alpha * torch.expm1(rate * x.clamp(max=0.0)))

    def slope(x: Tensor) -> Tensor:
        return scale * torch.where(x > 0, 1.0, alpha * rate * torch.exp(rate * x.clamp(max=0.0)))

    corners = ((0.0, scale), (0.0, scale * alpha * rate))
    if alpha < 0:
        return _undefined("alpha must not be negative")
    return Curve(value, slope, corners, bottom=-scale * alpha * (1.0 + 1e-12))


def _undefined(text: str) -> Curve:
    raise ValueError(text)


def _softplus(beta: float = 1.0, threshold: float = 20.0) -> Curve:
    if beta <= 0:
        return _undefined("beta must be positive")
    jump = (threshold / beta, math.log1p(math.exp(-threshold)) / beta * (1.0 + 1e-9))
    return Curve(
        lambda x: F.softplus(x, beta, threshold),
        lambda x: torch.where(x * beta > threshold, 1.0, torch.sigmoid(beta * x)),
        ((threshold / beta, 1.0),),
        bottom=0.0,
        jumps=(jump,),
    )


def _softsign() -> Curve:
    return Curve(F.softsign, lambda x: (1.0 + x.abs()) ** -2, ((0.0, 1.0),), bottom=-1.0, top=1.0)


def _softshrink(lambd: float = 0.5) -> Curve:
    return _piecewise(lambda x: F.softshrink(x, lambd), (-lambd, lambd), (1.0, 0.0, 1.0), exact=True)


def _hardsigmoid(inplace: bool = False) -> Curve:  # noqa: ARG001
    return _piecewise(F.hardsigmoid, (-3.0, 3.0), (0.0, 1.0 / 6.0, 0.0), bottom=0.0, top=1.0)


def _hardswish(inplace: bool = False) -> Curve:  # noqa: ARG001
    def slope(x: Tensor) -> Tensor:
        return torch.where(x <= -3.0, 0.0, torch.where(x >= 3.0, 1.0, x / 3.0 + 0.5))

    return Curve(F.hardswish, slope, ((-3.0, 0.0), (-3.0, -0.5), (3.0, 1.5), (3.0, 1.0)), -1.5, bottom=-0.375)


def _exp() -> Curve:
    return Curve(torch.exp, torch.exp, bottom=0.0, absolute=0.0)


def _square() -> Curve:
    return Curve(torch.square, lambda x: 2.0 * x, valley=0.0, bottom=0.0, absolute=0.0)


_MAKERS: dict[str, Callable[..., Curve]] = {
    "relu": relu_curve,
    "relu6": _relu6,
    "leaky_relu": _leaky_relu,
    "hardtanh": _hardtanh,
    "clamp": _clamp,
    "clamp_min": _clamp_min,
    "clamp_max": _clamp_max,
    "abs": _abs,
    "sigmoid": _sigmoid,
    "logsigmoid": _logsigmoid,
    "tanh": _tanh,
    "tanhshrink": _tanhshrink,
    "gelu": _gelu,
    "silu": _silu,
    "elu": _elu,
    "mish": _mish,
    "selu": _selu,
    "celu": _celu,
    "softplus": _softplus,
    "softsign": _softsign,
    "softshrink": _softshrink,
    "hardsigmoid": _hardsigmoid,
    "hardswish": _hardswish,
    "exp": _exp,
    "square": _square,
}

_MODULES: dict[type[nn.Module], Callable[[Any], Curve]] = {
    nn.ReLU: lambda _: relu_curve(),
    nn.ReLU6: lambda _: _relu6(),
    nn.LeakyReLU: lambda m: _leaky_relu(m.negative_slope),
    nn.Hardtanh: lambda m: _hardtanh(m.min_val, m.max_val),
    nn.Sigmoid: lambda _: _sigmoid(),
    nn.LogSigmoid: lambda _: _logsigmoid(),
    nn.Tanh: lambda _: _tanh(),
    nn.Tanhshrink: lambda _: _tanhshrink(),
    nn.GELU: lambda m: _gelu(m.approximate),
    nn.SiLU: lambda _: _silu(),
    nn.ELU: lambda m: _elu(m.alpha),
    nn.Mish: lambda _: _mish(),
    nn.SELU: lambda _: _selu(),
    nn.CELU: lambda m: _celu(m.alpha),
    nn.Softplus: lambda m: _softplus(m.beta, m.threshold),
    nn.Softsign: lambda _: _softsign(),
    nn.Softshrink: lambda m: _softshrink(m.lambd),
    nn.Hardsigmoid: lambda _: _hardsigmoid(),
    nn.Hardswish: lambda _: _hardswish(),
}


def curve_of(node: fx.Node, module: nn.Module | None) -> Curve | None:
    """Return the curve that a node applies to its first argument; None if it is no such function.

    Arguments that are not plain numbers (another tensor as a clamp's limit) mean None too.
    """
    try:
        if module is not None:
            maker = _MODULES.get(type(module))
            return None if maker is None else maker(module)
        name = operation_name(node)
        if name == "pow" and len(node.args) == 2 and node.args[1] == 2 and not node.kwargs:
            return _square()
        if name not in _MAKERS:
            return None
        extra = [*node.args[1:], *node.kwargs.values()]
        if not node.args or any(not isinstance(value, int | float | str | None) for value in extra):
            return None
        return _MAKERS[name](*node.args[1:], **node.kwargs)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
