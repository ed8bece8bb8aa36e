"""What each function and tensor method does to enclosures; names as in torch, arguments as torch takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from sslth.cnn.certificates import bounds
from sslth.cnn.certificates.bounds import Enclosure, UnsupportedOperation
from sslth.cnn.certificates.intervals import Interval, divide_by_number, round_down, round_up
from sslth.cnn.trace import words

__all__ = ["MOVES", "RULES", "as_enclosure", "label", "moved", "padded"]


MOVES = words(
    """flatten unflatten view view_as reshape permute transpose swapaxes swapdims movedim moveaxis squeeze
    unsqueeze contiguous clone detach expand expand_as repeat tile t chunk split unbind narrow select flip
    roll getitem pixel_shuffle pixel_unshuffle channel_shuffle unfold"""
)


def label(node: fx.Node) -> str:
    return str(node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.target))


def as_enclosure(value: Any) -> Enclosure:
    if isinstance(value, Enclosure):
        return value
    if isinstance(value, bool | int | float):
        return bounds.constant(torch.tensor(float(value), dtype=torch.float64))
    if isinstance(value, Tensor) and value.dtype in (torch.bool, torch.uint8, torch.int32, torch.int64):
        return bounds.constant(value)
    raise UnsupportedOperation(f"no bound is known for an operand of type {type(value).__name__}")


def moved(node: fx.Node, arguments: Any, keywords: Any) -> Any:
    x, *rest = arguments
    if not isinstance(x, Enclosure):
        raise UnsupportedOperation(f"no bound is known for the operation `{label(node)}` of these arguments")
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
    other = as_enclosure(other)
    return bounds.summed(as_enclosure(input), other if alpha == 1 else _multiply(other, alpha))


def _subtract(input: Any, other: Any, *, alpha: Any = 1) -> Enclosure:
    other = as_enclosure(other)
    return bounds.summed(as_enclosure(input), other if alpha == 1 else _multiply(other, alpha), -1)


def _multiply(input: Any, other: Any) -> Enclosure:
    return bounds.product(as_enclosure(input), as_enclosure(other))


def _divide(input: Any, other: Any) -> Enclosure:
    if isinstance(other, Enclosure):
        return bounds.product(as_enclosure(input), _reciprocal(other))
    if not isinstance(other, int | float) or other == 0:
        raise UnsupportedOperation("no bound is known for a division by anything but a number or a constant")
    divisor = float(other)
    return as_enclosure(input).each(lambda value: divide_by_number(value, divisor))


def _reciprocal(x: Enclosure) -> Enclosure:
    """1 / x where x is the same in both networks and its sign is known, as in a normalisation by a buffer."""
    same = (x.shift.low == 0) & (x.shift.high == 0)
    signed = (x.target.low > 0) | (x.target.high < 0)
    if not bool((same & signed).all()):
        raise UnsupportedOperation("no bound is known for a division by something that differs or may be zero")
    inverse = Interval(round_down(1.0 / x.target.high), round_up(1.0 / x.target.low))
    return Enclosure(inverse, inverse, x.shift)


def _negate(input: Any) -> Enclosure:
    return as_enclosure(input).each(lambda value: value.negated())


def _concatenated(join: Callable[..., Tensor]) -> Callable[..., Enclosure]:
    def rule(tensors: Any, dim: int = 0, **keywords: Any) -> Enclosure:
        dim = int(keywords.get("axis", dim))
        parts = [as_enclosure(item) for item in tensors]
        columns = zip(*(_ends(part) for part in parts), strict=True)
        return _assembled([join(list(column), dim) for column in columns])

    return rule


def _reduced(reduce: Callable[..., Tensor]) -> Callable[..., Enclosure]:
    def rule(input: Any, *arguments: Any, **keywords: Any) -> Enclosure:
        x = as_enclosure(input)
        _refuse_dtype(keywords)
        return bounds.averaged(lambda t: reduce(t, *arguments, **keywords), x.target.low.numel(), x)

    return rule


def _refuse_dtype(keywords: Mapping[str, Any]) -> None:
    if keywords.get("dtype") is not None:
        raise UnsupportedOperation("no bound is known for an operation that changes the dtype")


def _extreme(reduce: Callable[..., Tensor], sign: int) -> Callable[..., Enclosure]:
    def rule(input: Any, *arguments: Any, **keywords: Any) -> Enclosure:
        x = as_enclosure(input)
        if sign > 0:
            return bounds.maximum(lambda t: reduce(t, *arguments, **keywords), x)
        return _negate(bounds.maximum(lambda t: -reduce(-t, *arguments, **keywords), _negate(x)))

    return rule


def _of_two(sign: int) -> Callable[..., Enclosure]:
    def rule(input: Any, other: Any) -> Enclosure:
        pair = [as_enclosure(input), as_enclosure(other)]
        shape = (pair[0].target.low + pair[1].target.low).shape
        both = _concatenated(torch.stack)([item.map(lambda t: t.expand(shape)) for item in pair])
        return _extreme(torch.amax if sign > 0 else torch.amin, sign)(both, 0)

    return rule


def _max_pool(pool: Callable[..., Any]) -> Callable[..., Enclosure]:
    def rule(input: Any, *arguments: Any, **keywords: Any) -> Enclosure:
        if any(argument is True for argument in arguments[5:]) or keywords.get("return_indices"):
            raise UnsupportedOperation("no bound is known for a pooling that returns indices")
        return bounds.maximum(lambda t: pool(t, *arguments, **keywords), as_enclosure(input))

    return rule


def _mean_pool(pool: Callable[..., Tensor]) -> Callable[..., Enclosure]:
    def rule(input: Any, *arguments: Any, **keywords: Any) -> Enclosure:
        x = as_enclosure(input)
        if keywords.get("divisor_override") is not None or len(arguments) > 5:
            raise UnsupportedOperation("no bound is known for avg_pool2d with divisor_override")
        return bounds.averaged(lambda t: pool(t, *arguments, **keywords), x.target.low.numel(), x)

    return rule


def _soft(rule_of: Callable[[Enclosure, int], Enclosure]) -> Callable[..., Enclosure]:
    def rule(input: Any, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Enclosure:
        if dim is None or dtype is not None:
            raise UnsupportedOperation("no bound is known for a softmax without `dim` or with `dtype`")
        return rule_of(as_enclosure(input), int(dim))

    return rule


def _dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Enclosure:  # noqa: ARG001
    if training:
        raise UnsupportedOperation("the forward drops out at random even in evaluation mode")
    return as_enclosure(input)


def padded(input: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Enclosure:
    x = as_enclosure(input)
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
    return as_enclosure(input).map(lambda t: F.interpolate(t, *arguments, **keywords))


def _cast(input: Any, *arguments: Any, **keywords: Any) -> Enclosure:
    # Both networks are taken as functions of real numbers, in which a change of float type is nothing.
    kinds = [item for item in (*arguments, *keywords.values()) if isinstance(item, torch.dtype)]
    if torch.bool in kinds:
        raise UnsupportedOperation("no bound is known for a cast to bool")
    return as_enclosure(input) if all(kind.is_floating_point for kind in kinds) else _whole(input)


def _whole(input: Any) -> Enclosure:
    """What both networks hold alike, cut to whole numbers."""
    x = as_enclosure(input)
    if bool(x.shift.low.any()) or bool(x.shift.high.any()):
        raise UnsupportedOperation("no bound is known for a cast to integers of what differs in the two networks")
    value = x.target.map(torch.trunc)
    return bounds.Enclosure(value, value, x.shift)


def _getattr(input: Any, name: str) -> Any:
    if name in ("T", "mT"):
        return as_enclosure(input).map(lambda t: t.mT if name == "mT" or t.ndim == 2 else t.T)
    if name in ("shape", "ndim", "dtype", "device", "is_cuda", "requires_grad"):
        return getattr(as_enclosure(input).target.low, name)
    if name == "data":
        return input
    raise UnsupportedOperation(f"no bound is known for the attribute `{name}`")


def _size_of(question: str) -> Callable[..., Any]:
    return lambda input, *a, **k: getattr(as_enclosure(input).target.low, question)(*a, **k)


RULES: dict[str, Callable[..., Any]] = {
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
    "pad": padded,
    "interpolate": _interpolate,
    "float": _cast,
    "double": _cast,
    "to": _cast,
    "type_as": _cast,
    "long": _whole,
    "int": _whole,
    "getattr": _getattr,
    "size": _size_of("size"),
    "dim": _size_of("dim"),
    "numel": _size_of("numel"),
    "stride": _size_of("stride"),
}
