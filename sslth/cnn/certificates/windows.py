"""Operations on entries as index tensors: which entries a window holds, and where a move takes each entry from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from sslth.cnn.certificates.bounds import Enclosure
from sslth.cnn.trace import operation_name, words

__all__ = ["index_move", "pooling_windows", "takes_mean"]

_MOVE_MODULES = (
    nn.Identity, nn.Flatten, nn.Unflatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout,
    nn.FeatureAlphaDropout, nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle, nn.ReflectionPad1d,
    nn.ReflectionPad2d, nn.ReplicationPad1d, nn.ReplicationPad2d, nn.CircularPad1d, nn.CircularPad2d, nn.ZeroPad1d,
    nn.ZeroPad2d, nn.UpsamplingNearest2d,
)  # fmt: skip
_MOVES = words(
    """flatten unflatten view reshape permute transpose swapaxes swapdims movedim moveaxis squeeze unsqueeze
    contiguous clone detach narrow select flip roll pixel_shuffle pixel_unshuffle channel_shuffle cat"""
)
_MEAN_MODULES = (nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)
_MEANS = words("mean sum avg_pool1d avg_pool2d adaptive_avg_pool1d adaptive_avg_pool2d")
_KEPT = words("dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout float double")


def index_move(
    node: fx.Node, module: nn.Module | None, known: list[Enclosure | None], values: Mapping[fx.Node, Any]
) -> list[Tensor] | None:
    """Where a node that only moves entries takes them from: for every input int64[outputs], -1 for none of it.

    None if the node does anything else.
    """
    if any(x is None for x in known):
        return None
    shapes = [x.shape for x in known if x is not None]
    if operation_name(node) in _KEPT:
        return [torch.arange(shapes[0].numel())]
    numbered = [torch.arange(1.0, shape.numel() + 1, dtype=torch.float64).reshape(shape) for shape in shapes]
    blank = [torch.zeros_like(number) for number in numbered]
    found = []
    for chosen in range(len(shapes)):
        tensors = [numbered[i] if i == chosen else blank[i] for i in range(len(shapes))]
        moved = _applied(node, module, tensors, values)
        if moved is None:
            return None
        found.append(moved.flatten().to(torch.int64) - 1)
    return found


def _applied(
    node: fx.Node, module: nn.Module | None, tensors: list[Tensor], values: Mapping[fx.Node, Any]
) -> Tensor | None:
    if module is not None:
        result = module(tensors[0]) if type(module) in _MOVE_MODULES and len(tensors) == 1 else None
        return result if isinstance(result, Tensor) else None
    if operation_name(node) not in _MOVES:
        return None
    tensor_of = dict(zip(node.all_input_nodes, tensors, strict=True))

    def value(item: fx.Node) -> Any:
        return tensor_of[item] if item in tensor_of else values[item]

    arguments = fx.node.map_arg(node.args, value)
    keywords = fx.node.map_arg(node.kwargs, value)
    target: Any = node.target
    if node.op == "call_method":
        first, *rest = arguments
        result = getattr(first, target)(*rest, **keywords)
    else:
        result = target(*arguments, **keywords)
    return result if isinstance(result, Tensor) else None


def takes_mean(node: fx.Node, module: nn.Module | None, shape: torch.Size) -> Callable[[Tensor], Tensor] | None:
    """The node as a function of a batch, if it adds or averages entries of each input of the batch apart; else None."""
    if module is not None:
        if type(module) not in _MEAN_MODULES or (getattr(module, "divisor_override", None) or 1) < 0:
            return None
        apply: Callable[[Tensor], Tensor] = module
    elif operation_name(node) in _MEANS and len(node.all_input_nodes) == 1 and node.args:
        rest, keywords, target = node.args[1:], dict(node.kwargs), node.target

        def apply(x: Tensor) -> Tensor:
            if isinstance(target, str):
                return getattr(x, target)(*rest, **keywords)  # type: ignore[no-any-return]
            return target(x, *rest, **keywords)  # type: ignore[no-any-return]
    else:
        return None
    # A mean over the batch axis, too, would mix functionals: two inputs side by side tell.
    pair = torch.rand((2, *shape[1:]), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    try:
        both, one = apply(pair), apply(pair[:1])
    except (RuntimeError, TypeError, ValueError, IndexError):
        return None
    if both.shape[:1] != (2,) or both.shape[1:] != one.shape[1:] or not torch.allclose(both[:1], one):
        return None
    return apply


def pooling_windows(node: fx.Node, module: nn.Module | None, shape: torch.Size) -> Tensor | None:
    """The entries of every window of a max pooling, int64[windows, entries], -1 for none; None for other nodes."""
    if isinstance(module, nn.MaxPool1d | nn.MaxPool2d):
        if module.return_indices:
            return None
        rank = 1 if isinstance(module, nn.MaxPool1d) else 2
        settings = [module.kernel_size, module.stride, module.padding, module.dilation, module.ceil_mode]
    else:
        rank = {"max_pool1d": 1, "max_pool2d": 2}.get(operation_name(node) or "", 0)
        if not rank or node.op != "call_function" or any(isinstance(part, fx.Node) for part in node.args[1:]):
            return None
        names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
        given: dict[str, Any] = {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False}
        given |= dict(zip(names, node.args[1:], strict=False)) | dict(node.kwargs)
        if "kernel_size" not in given or given.get("return_indices"):
            return None
        settings = [given[name] for name in names]
    if len(shape) != rank + 2:
        return None
    settings[1] = settings[1] or settings[0]
    kernel, stride, padding, dilation = (_tuple(value, rank) for value in settings[:4])
    return _windows(shape, kernel, stride, padding, dilation, bool(settings[4]))


def _tuple(value: Any, rank: int) -> tuple[int, ...]:
    parts = (value,) if isinstance(value, int) else tuple(value)
    return tuple(int(part) for part in parts) * (rank if len(parts) == 1 else 1)


def _windows(
    shape: torch.Size,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    ceil: bool,
) -> Tensor:
    rank = len(kernel)
    numbers = torch.arange(shape.numel(), dtype=torch.float64).reshape(shape)
    pool: Callable[..., Tensor] = (F.max_pool1d, F.max_pool2d)[rank - 1]
    out = pool(numbers, kernel, stride, padding, dilation, ceil).shape[2:]
    # Every output position and every place in its window, axis by axis.
    grids = []
    for axis in range(rank):
        place = torch.arange(out[axis])[:, None] * stride[axis] + torch.arange(kernel[axis]) * dilation[axis]
        place = place - padding[axis]
        grids.append(torch.where((place >= 0) & (place < shape[2 + axis]), place, -1))
    if rank == 1:
        inside = grids[0]
    else:
        rows, columns = grids[0][:, None, :, None], grids[1][None, :, None, :]
        inside = torch.where((rows >= 0) & (columns >= 0), rows * shape[3] + columns, -1)
        inside = inside.reshape(out[0] * out[1], kernel[0] * kernel[1])
    plane = shape[2:].numel()
    offsets = torch.arange(shape[1])[:, None, None] * plane
    return torch.where(inside[None] >= 0, inside[None] + offsets, -1).reshape(-1, inside.shape[1])
