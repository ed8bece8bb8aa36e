"""Enclosures carried through a traced network, operation by operation, from a box to the outputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from sslth.cnn.activations import curve_of
from sslth.cnn.certificates import bounds
from sslth.cnn.certificates.bounds import Enclosure, UnsupportedOperation
from sslth.cnn.certificates.intervals import Interval
from sslth.cnn.certificates.prelu import prelu
from sslth.cnn.certificates.propagation_rules import MOVES, RULES, as_enclosure, label, moved, padded
from sslth.cnn.layers import Weighted, wiring_of
from sslth.cnn.merged import MergedLayer
from sslth.cnn.operation import window_rank
from sslth.cnn.trace import Traced, canonical_names, operation_name

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
            return bounds.curved(curve, as_enclosure(arguments[0]))
        if module is not None:
            return self._module(str(n.target), module, arguments, keywords)
        name = operation_name(n)
        if name == "getitem" and isinstance(arguments[0], tuple | list | dict):
            return arguments[0][arguments[1]]
        rule = RULES.get(name or "")
        if rule is not None:
            return rule(*arguments, **keywords)
        if name in MOVES:
            return moved(n, arguments, keywords)
        raise UnsupportedOperation(f"no bound is known for the operation `{label(n)}`")

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
        x = as_enclosure(arguments[0])
        kind = type(module)
        if isinstance(module, Weighted):
            wiring = wiring_of(module)
            if not wiring.pointwise and len(x.shape) != 2 + window_rank(wiring):
                raise UnsupportedOperation(f"`{name}` is called without a batch dimension")
            return bounds.weighted_layer(module, self._layers.get(name), x)
        if kind in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            return bounds.batch_norm(module, x)
        if kind is nn.Embedding:
            return self._looked_up(name, module, x)
        if isinstance(module, nn.PReLU):
            return prelu(module, x)
        if kind in _MAX_MODULES and not getattr(module, "return_indices", False):
            return bounds.maximum(module, x)
        if kind in _MEAN_MODULES and (getattr(module, "divisor_override", None) or 1) > 0:
            return bounds.averaged(module, _window(module, x), x)
        if kind in _MOVE_MODULES:
            return x.map(module)
        if kind in (nn.ConstantPad1d, nn.ConstantPad2d, nn.ZeroPad1d, nn.ZeroPad2d):
            return padded(x, module.padding, "constant", getattr(module, "value", 0.0))
        if kind is nn.Upsample and module.mode == "nearest":
            return x.map(module)
        if kind is nn.Softmax and module.dim is not None:
            return bounds.softmax(x, int(module.dim))  # type: ignore[arg-type]
        if kind is nn.LogSoftmax and module.dim is not None:
            return bounds.log_softmax(x, int(module.dim))  # type: ignore[arg-type]
        raise UnsupportedOperation(f"no bound is known for the module `{name}` ({kind.__name__})")

    def _looked_up(self, name: str, module: nn.Module, x: Enclosure) -> Enclosure:
        assert isinstance(module, nn.Embedding)
        if bool(x.shift.low.any()) or bool(x.shift.high.any()) or module.max_norm is not None:
            raise UnsupportedOperation(
                f"no bound is known for `{name}` (Embedding) of what differs in the two networks"
            )
        rows = module.num_embeddings
        if not (float(x.target.low.min()) >= 0 and float(x.target.high.max()) <= rows - 1):
            raise UnsupportedOperation(f"the box of inputs reaches beyond the {rows} rows of `{name}`")
        return bounds.looked_up(module, x)


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


def _plain(node: fx.Node, value: Any) -> Any:
    """Return a value computed without enclosures; tensors of it must be exact constants."""
    if isinstance(value, Tensor) and value.is_floating_point():
        if node.target in _CREATORS:
            return bounds.constant(value)
        raise UnsupportedOperation(f"no bound is known for the constant computed by `{label(node)}`")
    return value


def _holds_enclosure(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return any(_holds_enclosure(item) for item in value)
    return isinstance(value, Enclosure)
