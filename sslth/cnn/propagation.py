"""Enclosures carried through a traced network, operation by operation, from a box to the outputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from sslth.cnn import bounds
from sslth.cnn.activations import curve_of
from sslth.cnn.bounds import Enclosure, UnsupportedOperation
from sslth.cnn.intervals import Interval, divide_by_number, round_down, round_up
from sslth.cnn.layers import Weighted, wiring_of
from sslth.cnn.merged import MergedLayer
from sslth.cnn.operation import window_rank
from sslth.cnn.prelu import prelu
from sslth.cnn.trace import Traced, canonical_names, operation_name, words

__all__ = ["Propagation", "propagate", "run_on"]


def propagate(traced: Traced, merged: Mapping[str, MergedLayer], low: Tensor, high: Tensor) -> tuple[Enclosure, ...]:
    """Return enclosures of every output of the target and the ticket over a batch of boxes.

    Parameters
    ----------
    traced : Traced
        The target network.
    merged : mapping from module names to MergedLayer
        What replaces its layers in the ticket; a layer that is not in there is the same in both.
    low, high : float64[boxes, ...]
        The boxes; a box with low = high is a point, whose enclosures are as narrow as rounding allows.

    Returns
    -------
    tuple of Enclosure
        One for each output tensor, rigorous for the real functions of the stored weights.

    Raises
    ------
    UnsupportedOperation
        Its ``reason`` says which operation has no rule.

    Notes
    -----
    Costs about ten float64 forward passes, always on the CPU: there, float64 convolutions are matrix
    products, while fast algorithms (Winograd, FFT) have rounding errors that the bounds would not cover.

    Examples
    --------
    >>> from sslth.cnn.trace import trace
    >>> net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU()).double()
    >>> _ = net[0].weight.data.fill_(2.0)
    >>> ones, zeros = torch.ones(1, 1).double(), torch.zeros(1, 1).double()
    >>> layer = MergedLayer(2.5 * ones, None, None, zeros, None, None)
    >>> (out,) = propagate(trace(net, ones), {"0": layer}, zeros, ones)
    >>> round(out.shift.high.item(), 9)
    0.5
    """
    zero = torch.zeros_like(low)
    box = Enclosure(Interval(low, high), Interval(low, high), Interval(zero, zero))
    return run_on(traced, merged, box, Propagation)


def run_on(
    traced: Traced,
    merged: Mapping[str, MergedLayer],
    box: Enclosure,
    rules: Callable[[fx.GraphModule, Mapping[str, MergedLayer]], Propagation],
) -> tuple[Enclosure, ...]:
    """Run the graph on the enclosure of its input; every failure becomes UnsupportedOperation."""
    if traced.graph_module is None:
        raise UnsupportedOperation(str(traced.reason))
    names = canonical_names(traced.model)
    layers = {names[name]: layer for name, layer in merged.items()}
    with torch.no_grad():
        try:
            result = rules(traced.graph_module, layers).run(box)
        except UnsupportedOperation:
            raise
        except Exception as error:
            text = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise UnsupportedOperation(f"the bounds cannot be carried through the graph: {text}") from error
    return _enclosures_of(result)


def _enclosures_of(value: Any) -> tuple[Enclosure, ...]:
    if isinstance(value, Enclosure):
        return (value,)
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return tuple(item for part in value for item in _enclosures_of(part))
    if isinstance(value, Tensor):
        return (bounds.constant(value),)
    raise UnsupportedOperation("an output is no tensor")


class Propagation(fx.Interpreter):
    """Runs the graph on enclosures instead of tensors."""

    def __init__(self, graph_module: fx.GraphModule, layers: Mapping[str, MergedLayer]) -> None:
        super().__init__(graph_module)
        self._layers = layers
        self._graph_module = graph_module

    def module_of(self, node: fx.Node) -> nn.Module | None:
        return self._graph_module.get_submodule(str(node.target)) if node.op == "call_module" else None

    def layer_of(self, node: fx.Node) -> MergedLayer | None:
        return self._layers.get(str(node.target))

    def run_node(self, n: fx.Node) -> Any:
        if n.op in ("placeholder", "output"):
            return super().run_node(n)
        arguments, keywords = self.fetch_args_kwargs_from_env(n)
        if n.op == "get_attr":
            return self._attribute(str(n.target))
        module = self.module_of(n)
        if not _holds_enclosure(arguments) and not _holds_enclosure(keywords):
            return _plain(n, super().run_node(n))
        curve = curve_of(n, module)
        if curve is not None:
            return bounds.curved(curve, _enclosure(arguments[0]))
        if module is not None:
            return self._module(str(n.target), module, arguments, keywords)
        name = operation_name(n)
        if name == "getitem" and isinstance(arguments[0], tuple | list | dict):
            return arguments[0][arguments[1]]
        rule = _RULES.get(name or "")
        if rule is not None:
            return rule(*arguments, **keywords)
        if name in _MOVES:
            return _move(n, arguments, keywords)
        raise UnsupportedOperation(f"no bound is known for the operation `{_label(n)}`")

    def _attribute(self, name: str) -> Any:
        if any(name.startswith(layer + ".") for layer in self._layers):
            raise UnsupportedOperation(
                f"the forward reads `{name}` itself, so replacing the layer would not replace it there"
            )
        value: Any = self._graph_module
        for part in name.split("."):
            value = getattr(value, part)
        # Integer and boolean tensors are indices or masks, not values.
        return bounds.constant(value) if isinstance(value, Tensor) and value.is_floating_point() else value

    def _module(self, name: str, module: nn.Module, arguments: Any, keywords: Any) -> Any:
        if keywords or len(arguments) != 1:
            raise UnsupportedOperation(f"no bound is known for `{name}` with more than one argument")
        x = _enclosure(arguments[0])
        kind = type(module)
        if isinstance(module, Weighted):
            wiring = wiring_of(module)
            if not wiring.pointwise and len(x.shape) != 2 + window_rank(wiring):
                raise UnsupportedOperation(f"`{name}` is called without a batch dimension")
            return bounds.weighted_layer(module, self._layers.get(name), x)
        if kind in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            return bounds.batch_norm(module, x)
        if isinstance(module, nn.PReLU):
            return prelu(module, x)
        if kind in _MAX_MODULES and not getattr(module, "return_indices", False):
            return bounds.maximum(module, x)
        if kind in _MEAN_MODULES and (getattr(module, "divisor_override", None) or 1) > 0:
            return bounds.averaged(module, _window(module, x), x)
        if kind in _MOVE_MODULES:
            return x.map(module)
        if kind in (nn.ConstantPad1d, nn.ConstantPad2d, nn.ZeroPad1d, nn.ZeroPad2d):
            return _pad(x, module.padding, "constant", getattr(module, "value", 0.0))
        if kind is nn.Upsample and module.mode == "nearest":
            return x.map(module)
        if kind is nn.Softmax and module.dim is not None:
            return bounds.softmax(x, int(module.dim))  # type: ignore[arg-type]
        if kind is nn.LogSoftmax and module.dim is not None:
            return bounds.log_softmax(x, int(module.dim))  # type: ignore[arg-type]
        raise UnsupportedOperation(f"no bound is known for the module `{name}` ({kind.__name__})")


_MAX_MODULES = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d
)  # fmt: skip
_MEAN_MODULES = (
    nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d
)  # fmt: skip
_MOVE_MODULES = (
    nn.Identity, nn.Flatten, nn.Unflatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d,
    nn.AlphaDropout, nn.FeatureAlphaDropout, nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle,
    nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReplicationPad1d, nn.ReplicationPad2d,
    nn.CircularPad1d, nn.CircularPad2d, nn.UpsamplingNearest2d,
)  # fmt: skip
_MOVES = words(
    """flatten unflatten view view_as reshape permute transpose swapaxes swapdims movedim moveaxis squeeze
    unsqueeze contiguous clone detach expand expand_as repeat tile t chunk split unbind narrow select flip
    roll getitem pixel_shuffle pixel_unshuffle channel_shuffle unfold"""
)
_CREATORS = (torch.zeros, torch.ones, torch.full, torch.arange, torch.tensor)


def _window(module: nn.Module, x: Enclosure) -> int:
    """Return a bound on how many entries a pooling window has."""
    kernel = getattr(module, "kernel_size", None)
    if kernel is None:
        return math.prod(x.shape[2:]) if len(x.shape) > 4 else x.shape[-1] * (x.shape[-2] if len(x.shape) > 2 else 1)
    if isinstance(kernel, int):
        return kernel**3 if isinstance(module, nn.AvgPool3d) else kernel * kernel
    result = 1
    for side in kernel:
        result *= int(side)
    return result


def _label(node: fx.Node) -> str:
    return str(node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.target))


def _plain(node: fx.Node, value: Any) -> Any:
    """Return a value computed without enclosures; tensors of it must be exact constants."""
    if isinstance(value, Tensor) and value.is_floating_point():
        if node.target in _CREATORS:
            return bounds.constant(value)
        raise UnsupportedOperation(f"no bound is known for the constant computed by `{_label(node)}`")
    return value


def _holds_enclosure(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return any(_holds_enclosure(item) for item in value)
    return isinstance(value, Enclosure)


def _enclosure(value: Any) -> Enclosure:
    if isinstance(value, Enclosure):
        return value
    if isinstance(value, bool | int | float):
        return bounds.constant(torch.tensor(float(value), dtype=torch.float64))
    if isinstance(value, Tensor) and value.dtype in (torch.bool, torch.uint8, torch.int32, torch.int64):
        return bounds.constant(value)
    raise UnsupportedOperation(f"no bound is known for an operand of type {type(value).__name__}")


def _move(node: fx.Node, arguments: Any, keywords: Any) -> Any:
    x, *rest = arguments
    if not isinstance(x, Enclosure):
        raise UnsupportedOperation(f"no bound is known for the operation `{_label(node)}` of these arguments")
    # view_as(other) and the like need only the other's shape.
    rest = [item.target.low if isinstance(item, Enclosure) else item for item in rest]
    target: Any = node.target

    def apply(tensor: Tensor) -> Any:
        function = getattr(tensor, target) if node.op == "call_method" else None
        if function is not None:
            return function(*rest, **keywords)
        return target(tensor, *rest, **keywords)

    fields = [apply(end) for end in _ends(x)]
    if isinstance(fields[0], Tensor):
        return _assembled(fields)
    return tuple(_assembled(list(part)) for part in zip(*fields, strict=True))


def _ends(x: Enclosure) -> list[Tensor]:
    return [end for interval in (x.target, x.ticket, x.shift) for end in (interval.low, interval.high)]


def _assembled(fields: list[Tensor]) -> Enclosure:
    return Enclosure(Interval(fields[0], fields[1]), Interval(fields[2], fields[3]), Interval(fields[4], fields[5]))


def _add(input: Any, other: Any, *, alpha: Any = 1) -> Enclosure:
    other = _enclosure(other)
    return bounds.summed(_enclosure(input), other if alpha == 1 else _multiply(other, alpha))


def _subtract(input: Any, other: Any, *, alpha: Any = 1) -> Enclosure:
    other = _enclosure(other)
    return bounds.summed(_enclosure(input), other if alpha == 1 else _multiply(other, alpha), -1)


def _multiply(input: Any, other: Any) -> Enclosure:
    return bounds.product(_enclosure(input), _enclosure(other))


def _divide(input: Any, other: Any) -> Enclosure:
    if isinstance(other, Enclosure):
        return bounds.product(_enclosure(input), _reciprocal(other))
    if not isinstance(other, int | float) or other == 0:
        raise UnsupportedOperation("no bound is known for a division by anything but a number or a constant")
    divisor = float(other)
    return _enclosure(input).each(lambda value: divide_by_number(value, divisor))


def _reciprocal(x: Enclosure) -> Enclosure:
    """1 / x where x is the same in both networks and its sign is known, as in a normalisation by a buffer."""
    same = (x.shift.low == 0) & (x.shift.high == 0)
    signed = (x.target.low > 0) | (x.target.high < 0)
    if not bool((same & signed).all()):
        raise UnsupportedOperation("no bound is known for a division by something that differs or may be zero")
    inverse = Interval(round_down(1.0 / x.target.high), round_up(1.0 / x.target.low))
    return Enclosure(inverse, inverse, x.shift)


def _negate(input: Any) -> Enclosure:
    return _enclosure(input).each(lambda value: value.negated())


def _concatenated(join: Callable[..., Tensor]) -> Callable[..., Enclosure]:
    def rule(tensors: Any, dim: int = 0, **keywords: Any) -> Enclosure:
        dim = int(keywords.get("axis", dim))
        parts = [_enclosure(item) for item in tensors]
        columns = zip(*(_ends(part) for part in parts), strict=True)
        return _assembled([join(list(column), dim) for column in columns])

    return rule


def _reduced(reduce: Callable[..., Tensor]) -> Callable[..., Enclosure]:
    def rule(input: Any, *arguments: Any, **keywords: Any) -> Enclosure:
        x = _enclosure(input)
        _refuse_dtype(keywords)
        return bounds.averaged(lambda t: reduce(t, *arguments, **keywords), x.target.low.numel(), x)

    return rule


def _refuse_dtype(keywords: Mapping[str, Any]) -> None:
    if keywords.get("dtype") is not None:
        raise UnsupportedOperation("no bound is known for an operation that changes the dtype")


def _extreme(reduce: Callable[..., Tensor], sign: int) -> Callable[..., Enclosure]:
    def rule(input: Any, *arguments: Any, **keywords: Any) -> Enclosure:
        x = _enclosure(input)
        if sign > 0:
            return bounds.maximum(lambda t: reduce(t, *arguments, **keywords), x)
        return _negate(bounds.maximum(lambda t: -reduce(-t, *arguments, **keywords), _negate(x)))

    return rule


def _of_two(sign: int) -> Callable[..., Enclosure]:
    def rule(input: Any, other: Any) -> Enclosure:
        pair = [_enclosure(input), _enclosure(other)]
        shape = (pair[0].target.low + pair[1].target.low).shape
        both = _concatenated(torch.stack)([item.map(lambda t: t.expand(shape)) for item in pair])
        return _extreme(torch.amax if sign > 0 else torch.amin, sign)(both, 0)

    return rule


def _max_pool(pool: Callable[..., Any]) -> Callable[..., Enclosure]:
    def rule(input: Any, *arguments: Any, **keywords: Any) -> Enclosure:
        if any(argument is True for argument in arguments[5:]) or keywords.get("return_indices"):
            raise UnsupportedOperation("no bound is known for a pooling that returns indices")
        return bounds.maximum(lambda t: pool(t, *arguments, **keywords), _enclosure(input))

    return rule


def _mean_pool(pool: Callable[..., Tensor]) -> Callable[..., Enclosure]:
    def rule(input: Any, *arguments: Any, **keywords: Any) -> Enclosure:
        x = _enclosure(input)
        if keywords.get("divisor_override") is not None or len(arguments) > 5:
            raise UnsupportedOperation("no bound is known for avg_pool2d with divisor_override")
        return bounds.averaged(lambda t: pool(t, *arguments, **keywords), x.target.low.numel(), x)

    return rule


def _soft(rule_of: Callable[[Enclosure, int], Enclosure]) -> Callable[..., Enclosure]:
    def rule(input: Any, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Enclosure:
        if dim is None or dtype is not None:
            raise UnsupportedOperation("no bound is known for a softmax without `dim` or with `dtype`")
        return rule_of(_enclosure(input), int(dim))

    return rule


def _dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Enclosure:  # noqa: ARG001
    if training:
        raise UnsupportedOperation("the forward drops out at random even in evaluation mode")
    return _enclosure(input)


def _pad(input: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Enclosure:
    x = _enclosure(input)
    sides = [int(side) for side in pad]
    if mode != "constant":
        return x.map(lambda t: F.pad(t, sides, mode=mode))
    filled = 0.0 if value is None else float(value)
    return Enclosure(
        x.target.map(lambda t: F.pad(t, sides, value=filled)),
        x.ticket.map(lambda t: F.pad(t, sides, value=filled)),
        x.shift.map(lambda t: F.pad(t, sides)),
    )


def _interpolate(input: Any, *arguments: Any, **keywords: Any) -> Enclosure:
    mode = arguments[2] if len(arguments) > 2 else keywords.get("mode", "nearest")
    if mode != "nearest":
        raise UnsupportedOperation(f"no bound is known for interpolation of mode `{mode}`")
    return _enclosure(input).map(lambda t: F.interpolate(t, *arguments, **keywords))


def _cast(input: Any, *arguments: Any, **keywords: Any) -> Enclosure:
    # Both networks are taken as functions of real numbers, in which a change of float type is nothing.
    kinds = [item for item in (*arguments, *keywords.values()) if isinstance(item, torch.dtype)]
    if any(not kind.is_floating_point for kind in kinds):
        raise UnsupportedOperation("no bound is known for a cast to integers")
    return _enclosure(input)


def _getattr(input: Any, name: str) -> Any:
    if name in ("T", "mT"):
        return _enclosure(input).map(lambda t: t.mT if name == "mT" or t.ndim == 2 else t.T)
    if name in ("shape", "ndim", "dtype", "device", "is_cuda", "requires_grad"):
        return getattr(_enclosure(input).target.low, name)
    if name == "data":
        return input
    raise UnsupportedOperation(f"no bound is known for the attribute `{name}`")


def _size_of(question: str) -> Callable[..., Any]:
    return lambda input, *a, **k: getattr(_enclosure(input).target.low, question)(*a, **k)


_RULES: dict[str, Callable[..., Any]] = {
    "add": _add,
    "sub": _subtract,
    "rsub": lambda input, other, *, alpha=1: _subtract(other, input, alpha=alpha),
    "mul": _multiply,
    "div": _divide,
    "neg": _negate,
    "cat": _concatenated(torch.cat),
    "stack": _concatenated(torch.stack),
    "mean": _reduced(torch.mean),
    "sum": _reduced(torch.sum),
    "amax": _extreme(torch.amax, 1),
    "amin": _extreme(torch.amin, -1),
    "maximum": _of_two(1),
    "minimum": _of_two(-1),
    "max_pool1d": _max_pool(F.max_pool1d),
    "max_pool2d": _max_pool(F.max_pool2d),
    "max_pool3d": _max_pool(F.max_pool3d),
    "adaptive_max_pool1d": _max_pool(F.adaptive_max_pool1d),
    "adaptive_max_pool2d": _max_pool(F.adaptive_max_pool2d),
    "adaptive_max_pool3d": _max_pool(F.adaptive_max_pool3d),
    "avg_pool1d": _mean_pool(F.avg_pool1d),
    "avg_pool2d": _mean_pool(F.avg_pool2d),
    "avg_pool3d": _mean_pool(F.avg_pool3d),
    "adaptive_avg_pool1d": _mean_pool(F.adaptive_avg_pool1d),
    "adaptive_avg_pool2d": _mean_pool(F.adaptive_avg_pool2d),
    "adaptive_avg_pool3d": _mean_pool(F.adaptive_avg_pool3d),
    "softmax": _soft(bounds.softmax),
    "log_softmax": _soft(bounds.log_softmax),
    "dropout": _dropout,
    "dropout1d": _dropout,
    "dropout2d": _dropout,
    "dropout3d": _dropout,
    "alpha_dropout": _dropout,
    "feature_alpha_dropout": _dropout,
    "pad": _pad,
    "interpolate": _interpolate,
    "float": _cast,
    "double": _cast,
    "to": _cast,
    "type_as": _cast,
    "getattr": _getattr,
    "size": _size_of("size"),
    "dim": _size_of("dim"),
    "numel": _size_of("numel"),
    "stride": _size_of("stride"),
}
