"""Scales of channels that a forward multiplies by itself, such as a weighted shortcut's, made layers of their own."""

from __future__ import annotations

from collections.abc import Collection
from itertools import count
from typing import Any

import torch
from torch import Tensor, fx, nn

from sslth.cnn.channel_affine import ChannelAffine
from sslth.cnn.joined import mark_joined, shapes_taken
from sslth.cnn.layers import bare_parameters, find_layers, refusal
from sslth.cnn.trace import operation_name, trace

__all__ = ["with_scales_as_layers"]


def with_scales_as_layers(
    model: nn.Module,
    example: Tensor | tuple[Tensor, ...],
    carry_over: Collection[str] = (),
    with_offsets: Collection[str] = (),
) -> nn.Module:
    """The model's graph, in which parameters that only scale channels are `ChannelAffine` modules of their names.

    What is computed from such a parameter alone (a view, an exponential, a product with a number) is its value. A model
    without parameters outside its layers is returned as it is.

    Parameters
    ----------
    model : nn.Module
        Not changed. Layers that its forward never calls stay in what is returned, after the others.
    example : Tensor[batch, ...], or a tuple of them
        For the shapes; a tuple where the forward takes several inputs, as the graph then does.
    carry_over : names
        Modules that stay as they are.
    with_offsets : names
        Scales that have an offset of zeros, as in tickets that were written when all had one.

    Raises
    ------
    UnsupportedModuleError
        If a parameter does anything else, or nothing, or if the forward cannot be traced, which the message explains.

    Notes
    -----
    Cost: two forward passes where there is such a parameter.
    """
    bare = bare_parameters(model, carry_over)
    unknown = set(carry_over) - {name for name, _ in model.named_modules(remove_duplicate=False)}
    if not bare or unknown or any(parameter.is_meta for parameter in model.parameters()):
        return model  # whoever reads its layers refuses the last two
    traced = trace(model, example, carry_over)
    if traced.graph_module is None:
        _refuse_untraced(model, next(iter(bare)), str(traced.reason))
        return model
    graph_module = traced.graph_module
    read = {str(node.target) for node in graph_module.graph.nodes if node.op == "get_attr"}
    if not bare.keys() <= read:  # of a module that is called as a whole, or that is never called
        _refuse_others(model, carry_over, [parameter for name, parameter in bare.items() if name in read])
        return model
    run = fx.Interpreter(graph_module, garbage_collect_values=False)
    with torch.no_grad():
        run.run(*(part.clone() for part in (example if isinstance(example, tuple) else (example,))))
    sources = _sources(graph_module, set(bare))
    found = [(node, _scaled(node, sources, run.env)) for node in graph_module.graph.nodes]
    products = [(node, *parts) for node, parts in found if parts is not None]
    names: dict[tuple[fx.Node, int], str] = {}
    layers: dict[tuple[int, int], str] = {}  # a forward that is called twice computes the same scale twice
    ways = _ways(sources)
    taken = {name for name, _ in traced.model.named_modules(remove_duplicate=False)}
    for _, constant, scale in products:
        key = ways[constant], scale.numel()  # not its values: the same names, whatever weights the network has
        if key not in layers:
            layers[key] = _free_name(min(sources[constant]), taken, read)
            taken.add(layers[key])
        names[constant, scale.numel()] = layers[key]
    _replace(
        graph_module,
        [(node, constant, names[constant, scale.numel()], scale) for node, constant, scale in products],
        bare,
        with_offsets,
    )
    for node in reversed(sources):
        if node.users:  # a parameter does something else as well
            _refuse_others(model, carry_over, [bare[name] for name in bare.keys() - sources[node]])
            return model
        graph_module.graph.erase_node(node)
    for node in graph_module.graph.nodes:
        node.type = None  # annotations that are texts cannot be pickled
    _add_uncalled(graph_module, traced.model, carry_over)
    graph_module.recompile()
    shapes = shapes_taken(model)
    if shapes is not None:
        mark_joined(graph_module, shapes)
    return graph_module.eval()


def _replace(
    graph_module: fx.GraphModule,
    products: Collection[tuple[fx.Node, fx.Node, str, Tensor]],
    bare: Collection[str],
    with_offsets: Collection[str],
) -> None:
    """Put layers in the place of products: (node, what is computed from parameters, the layer's name, the scale)."""
    for name in bare:  # a module cannot have a name that a parameter has
        owner, _, label = name.rpartition(".")
        delattr(graph_module.get_submodule(owner), label)
    for _, _, name, scale in products:
        offset = torch.zeros_like(scale) if name in with_offsets else None
        graph_module.add_submodule(name, ChannelAffine(scale, offset))
    for node, constant, name, _ in products:
        (x,) = (source for source in node.all_input_nodes if source is not constant)  # which may be new by now
        with graph_module.graph.inserting_before(node):
            node.replace_all_uses_with(graph_module.graph.call_module(name, (x,)))
        graph_module.graph.erase_node(node)


def _add_uncalled(graph_module: fx.GraphModule, model: nn.Module, carry_over: Collection[str]) -> None:
    """Layers that the forward does not call, and what is carried over: they belong to the network as to any other."""
    bare = set(bare_parameters(model, carry_over).values())
    names = {name for name, _ in graph_module.named_modules(remove_duplicate=False)}
    present = set(graph_module.modules())
    for name, module in model.named_modules(remove_duplicate=False):
        inside = set(module.modules())
        uncalled = inside.isdisjoint(present) and bare.isdisjoint(module.parameters())
        if uncalled or (name in carry_over and name not in names):  # one may be called under another name
            graph_module.add_submodule(name, module)
            present |= inside


def _refuse_untraced(model: nn.Module, name: str, reason: str) -> None:
    """Say why this parameter is not replaced; one of a module of torch would not be replaced in any graph."""
    owner, _, label = name.rpartition(".")
    module = model.get_submodule(owner)
    if not type(module).__module__.startswith("torch.nn"):
        because = (
            ", which are replaced only where torch.fx can trace the forward and the graph shows that they scale "
            f"channels, but {reason}; change that, or name a module that holds them in carry_over"
        )
        raise refusal(owner, module, [label], because)


def _refuse_others(model: nn.Module, carry_over: Collection[str], scales: Collection[nn.Parameter]) -> None:
    """Refuse the model for what else is wrong with it than these parameters."""
    find_layers(model, carry_over, allow_norms=True, scales=scales)


def _sources(graph_module: fx.GraphModule, bare: Collection[str]) -> dict[fx.Node, frozenset[str]]:
    """Nodes that are made of parameters and of nothing else, and of which."""
    found: dict[fx.Node, frozenset[str]] = {}
    for node in graph_module.graph.nodes:
        if node.op == "get_attr" and node.target in bare:
            found[node] = frozenset([str(node.target)])
        elif node.op in ("call_function", "call_method") and {*node.all_input_nodes, node} <= {*found, node}:
            found[node] = frozenset().union(*(found[source] for source in node.all_input_nodes))
    return found


def _scaled(
    node: fx.Node, sources: dict[fx.Node, frozenset[str]], values: dict[fx.Node, Any]
) -> tuple[fx.Node, Tensor] | None:
    """For a product of an activation and a scale of its channels: the scale's node, and the scale by channel."""
    if operation_name(node) != "mul" or node in sources or len(node.args) != 2 or node.kwargs:
        return None
    first, second = node.args
    if not isinstance(first, fx.Node) or not isinstance(second, fx.Node) or (first in sources) == (second in sources):
        return None
    x, constant = (second, first) if first in sources else (first, second)
    activation, scale = values[x], values[constant]
    if not isinstance(activation, Tensor) or not isinstance(scale, Tensor) or activation.dim() < 2:
        return None
    channels = activation.shape[1]
    shape = (1,) * (activation.dim() - scale.dim()) + tuple(scale.shape)
    ones = shape[:1] + shape[2:]
    if scale.dim() > activation.dim() or set(ones) - {1} or shape[1] not in (1, channels):
        return None
    return constant, scale.detach().reshape(-1).expand(channels).clone()


def _ways(sources: dict[fx.Node, frozenset[str]]) -> dict[fx.Node, int]:
    """A number for each of these nodes, equal where the same is computed from the same parameters."""
    found: dict[tuple[str, str, str], int] = {}
    ways: dict[fx.Node, int] = {}
    for node in sources:
        arguments = fx.node.map_arg((node.args, node.kwargs), lambda source: f"way {ways[source]}")
        ways[node] = found.setdefault((node.op, str(node.target), repr(arguments)), len(found))
    return ways


def _free_name(name: str, taken: Collection[str], read: Collection[str]) -> str:
    """The parameter's own name, or one with a number behind it where it gives several scales."""
    numbered = (f"{name}_{number}" for number in count(2))
    return name if name not in taken else next(free for free in numbered if free not in {*taken, *read})
