"""Which layers see inputs that cannot be negative, whatever the weights are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import fx, nn

from sslth.cnn.activations import curve_of
from sslth.cnn.trace import Traced, canonical_names, operation_name, words

__all__ = ["nonnegative_inputs"]


def nonnegative_inputs(traced: Traced, layer_names: Iterable[str], input_nonnegative: bool) -> dict[str, bool]:
    """Tell for every layer whether its input is never negative, by the structure of the graph alone.

    Parameters
    ----------
    traced : Traced
        Without a graph, every answer is False.
    layer_names : iterable of str
        Qualified module names; all names of a shared module get one answer.
    input_nonnegative : bool
        Whether the network's own inputs are never negative.

    Returns
    -------
    dict of bool
        True only if it holds in every call of the layer, for the target and for each of its tickets:
        weights are not looked at. False also for a layer that is never called.

    Notes
    -----
    Zero padding keeps non-negativity, so it does not matter. Cost O(nodes).

    Examples
    --------
    >>> import torch
    >>> from sslth.cnn.trace import trace
    >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Dropout(), nn.Linear(2, 1))
    >>> nonnegative_inputs(trace(net, torch.zeros(1, 2)), ["0", "3"], input_nonnegative=False)
    {'0': False, '3': True}
    """
    wanted = list(layer_names)
    if traced.graph_module is None:
        return dict.fromkeys(wanted, False)
    names = canonical_names(traced.model)
    signs = _Signs(traced.graph_module, input_nonnegative)
    called: dict[str, list[bool]] = {}
    for node in traced.graph_module.graph.nodes:
        if node.op == "call_module":
            plain = len(node.args) == 1 and not node.kwargs
            called.setdefault(str(node.target), []).append(plain and signs.holds(node.args[0]))
        signs.visit(node)
    answers = {name: called.get(names.get(name, name), []) for name in wanted}
    return {name: bool(calls) and all(calls) for name, calls in answers.items()}


# Operations whose result is not negative if no operand is.
_KEEPING = words(
    """max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d
    adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
    dropout dropout1d dropout2d dropout3d mean sum amax amin minimum cat stack flatten
    unflatten unfold view view_as reshape permute transpose swapaxes swapdims movedim moveaxis squeeze unsqueeze
    contiguous clone detach expand expand_as repeat tile t chunk split unbind narrow select flip roll getitem
    pixel_shuffle pixel_unshuffle channel_shuffle float double to type_as sqrt"""
)
_MEAN_POOLS = words("avg_pool1d avg_pool2d avg_pool3d")
_KEEPING_MODULES = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d,
    nn.PReLU, nn.Flatten, nn.Unflatten, nn.Identity, nn.Dropout,
    nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.ZeroPad1d, nn.ZeroPad2d, nn.ReflectionPad1d,
    nn.ReflectionPad2d, nn.ReplicationPad1d, nn.ReplicationPad2d, nn.CircularPad1d, nn.CircularPad2d,
    nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d,
)  # fmt: skip


class _Signs:
    """Non-negativity of every node visited so far."""

    def __init__(self, graph_module: fx.GraphModule, input_nonnegative: bool) -> None:
        self._graph_module = graph_module
        self._input = input_nonnegative
        self._known: dict[fx.Node, bool] = {}

    def holds(self, value: Any) -> bool:
        """Tell whether an argument (node, number, or sequence of them) is never negative."""
        if isinstance(value, fx.Node):
            return self._known.get(value, False)
        if isinstance(value, tuple | list):
            return bool(value) and all(self.holds(item) for item in value)
        return isinstance(value, bool | int | float) and value >= 0

    def visit(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            self._known[node] = self._input
        elif node.op == "call_module":
            module = self._graph_module.get_submodule(str(node.target))
            self._known[node] = len(node.args) == 1 and self._module(node, module)
        elif node.op in ("call_function", "call_method"):
            self._known[node] = bool(node.args) and self._operation(node)

    def _module(self, node: fx.Node, module: nn.Module) -> bool:
        curve = curve_of(node, module)
        before = self.holds(node.args[0])
        if curve is not None:
            return curve.bottom >= 0 or (before and curve.keeps_nonnegative())
        kind = type(module)
        if kind in (nn.Softmax, nn.Softmax2d):
            return True
        if kind in (nn.ConstantPad1d, nn.ConstantPad2d):
            return before and float(module.value) >= 0  # type: ignore[arg-type]
        if kind is nn.Upsample:
            return before and module.mode in ("nearest", "linear", "bilinear", "trilinear")
        if (getattr(module, "divisor_override", None) or 1) < 0:
            return False
        return before and kind in _KEEPING_MODULES

    def _operation(self, node: fx.Node) -> bool:
        name = operation_name(node)
        first = node.args[0]
        curve = curve_of(node, None)
        if curve is not None:
            return curve.bottom >= 0 or (self.holds(first) and curve.keeps_nonnegative())
        if name == "softmax":
            return True
        if name == "maximum":
            return len(node.args) == 2 and any(self.holds(item) for item in node.args)
        if name == "pow":
            return len(node.args) == 2 and isinstance(node.args[1], int) and node.args[1] % 2 == 0
        if name == "mul" and len(node.args) == 2 and first is node.args[1] and isinstance(first, fx.Node):
            return True
        if name in ("add", "mul", "minimum"):
            plain = len(node.args) == 2 and not node.kwargs
            return plain and all(self.holds(item) for item in node.args)
        if name == "div":
            other = node.args[1] if len(node.args) == 2 else None
            return self.holds(first) and isinstance(other, int | float) and other > 0
        if name == "pad":
            return self.holds(first) and self._padding_keeps(node)
        if name == "interpolate":
            mode = node.args[3] if len(node.args) > 3 else node.kwargs.get("mode", "nearest")
            return self.holds(first) and mode in ("nearest", "linear", "bilinear", "trilinear", "area")
        if name in _MEAN_POOLS and (len(node.args) > 6 or "divisor_override" in node.kwargs):
            return False
        return name in _KEEPING and self.holds(first)

    def _padding_keeps(self, node: fx.Node) -> bool:
        mode = node.args[2] if len(node.args) > 2 else node.kwargs.get("mode", "constant")
        value = node.args[3] if len(node.args) > 3 else node.kwargs.get("value")
        return mode != "constant" or value is None or self.holds(value)
