"""Scales of channels that a forward multiplies by itself, such as a weighted shortcut's, made layers of their own."""

from __future__ import annotations

from collections.abc import Collection
from itertools import count
from typing import Any

import torch
from torch import Tensor, fx, nn

from sslth.cnn.channel_affine import ChannelAffine
from sslth.cnn.layers import bare_parameters
from sslth.cnn.trace import operation_name, trace

__all__ = ["with_scales_as_layers"]


def with_scales_as_layers(model: nn.Module, example: Tensor, carry_over: Collection[str] = ()) -> nn.Module:
    """The model's graph, in which parameters that only scale channels are `ChannelAffine` modules of their names.

    What is computed from such a parameter alone (a view, an exponential, a product with a number) is its value. A model
    without parameters outside its layers, or with one that does anything else, is returned as it is, and whoever reads
    its layers refuses it by name.

    Parameters
    ----------
    model : nn.Module
        Of one input; not changed. Weights of layers are shared with what is returned.
    example : Tensor[batch, ...]
        For the shapes.
    carry_over : names
        Modules that stay as they are.

    Notes
    -----
    Cost: two forward passes where there is such a parameter.
    """
    bare = bare_parameters(model, carry_over)
    if not bare or any(parameter.is_meta for parameter in model.parameters()):
        return model
    traced = trace(model, example, carry_over)
    if traced.graph_module is None:
        return model
    graph_module = traced.graph_module
    read = {str(node.target) for node in graph_module.graph.nodes if node.op == "get_attr"}
    if not bare.keys() <= read:  # of a module that is called as a whole, or that is never called
        return model
    run = fx.Interpreter(graph_module, garbage_collect_values=False)
    with torch.no_grad():
        run.run(example.clone())
    sources = _sources(graph_module, set(bare))
    found = [(node, _scaled(node, sources, run.env)) for node in graph_module.graph.nodes]
    products = [(node, *parts) for node, parts in found if parts is not None]
    names: dict[tuple[fx.Node, int], str] = {}
    layers: dict[tuple[int, int], str] = {}  # a forward that is called twice computes the same scale twice
    ways = _ways(sources)
    taken = {name for name, _ in graph_module.named_modules()}
    for _, constant, scale in products:
        key = ways[constant], scale.numel()  # not its values: the same names, whatever weights the network has
        if key not in layers:
            layers[key] = _free_name(min(sources[constant]), taken, read)
            taken.add(layers[key])
        names[constant, scale.numel()] = layers[key]
    for name in bare:  # a module cannot have a name that a parameter has
        owner, _, label = name.rpartition(".")
        delattr(graph_module.get_submodule(owner), label)
    for _, constant, scale in products:
        graph_module.add_submodule(names[constant, scale.numel()], ChannelAffine(scale, torch.zeros_like(scale)))
    for node, constant, scale in products:
        (x,) = (source for source in node.all_input_nodes if source is not constant)  # which may be new by now
        with graph_module.graph.inserting_before(node):
            node.replace_all_uses_with(graph_module.graph.call_module(names[constant, scale.numel()], (x,)))
        graph_module.graph.erase_node(node)
    for node in reversed(sources):
        if node.users:  # a parameter does something else as well
            return model
        graph_module.graph.erase_node(node)
    for node in graph_module.graph.nodes:
        node.type = None  # annotations that are texts cannot be pickled
    present = dict(graph_module.named_modules(remove_duplicate=False))
    for name, module in traced.model.named_modules(remove_duplicate=False):
        if name in carry_over and name not in present:  # never called, or under another name
            graph_module.add_submodule(name, module)
    graph_module.recompile()
    return graph_module.eval()


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
