"""The graph of a network's forward: traced on a copy, checked against the network, or the reason why not."""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from sslth.cnn.channel_affine import ChannelAffine

__all__ = ["Traced", "canonical_names", "operation_name", "tensors_of", "trace", "words"]


@dataclass(frozen=True, eq=False)
class Traced:
    """A network's graph, or the reason why there is none.

    Attributes
    ----------
    model : nn.Module
        The network in evaluation mode: a copy, unless copying is what failed.
    graph_module : torch.fx.GraphModule or None
        Its forward as a graph that calls the copy's modules.
    reason : str or None
        One sentence; given exactly when there is no graph.
    """

    model: nn.Module
    graph_module: fx.GraphModule | None
    reason: str | None

    def __post_init__(self) -> None:
        if (self.graph_module is None) == (self.reason is None):
            raise ValueError("a trace has either a graph or a reason")


def trace(model: nn.Module, example_input: Tensor | tuple[Tensor, ...], whole: Collection[str] = ()) -> Traced:
    """Trace a copy of the model in evaluation mode and check the graph at the example.

    Parameters
    ----------
    model : nn.Module
        It is not changed; torch.nn's modules become single nodes of the graph, others are traced through.
    example_input : tensor [batch, ...], or a tuple of them
        In the model's own dtype and on its device. Of a tuple, the graph takes as many inputs as it has.
    whole : names
        Modules that stay single nodes, with all that is in them.

    Returns
    -------
    Traced
        Without a graph where tracing fails (control flow that depends on the input), where the output is
        not made of finite tensors, where a value is overwritten in place and read again, and where the
        graph computes something else than the model.

    Examples
    --------
    >>> trace(nn.Sequential(nn.Linear(2, 1), nn.ReLU()), torch.zeros(1, 2)).reason is None
    True
    >>> trace(nn.Sequential(nn.Linear(2, 1), nn.ReLU()), torch.zeros(1, 3)).graph_module is None
    True
    """
    hidden = _hidden_behaviour(model)
    if hidden is not None:
        return Traced(model, None, hidden)
    try:
        twin = copy.deepcopy(model).eval()
    except Exception as error:
        return Traced(model, None, f"the model cannot be copied: {_one_line(error)}")
    several = isinstance(example_input, tuple)
    inputs = example_input if isinstance(example_input, tuple) else (example_input,)
    try:
        with torch.no_grad():
            expected = tensors_of(twin(*(part.clone() for part in inputs)))
    except Exception as error:
        return Traced(twin, None, f"the model fails at the example input: {_one_line(error)}")
    if expected is None:
        return Traced(twin, None, "the model returns something else than tensors, or tuples or dicts of them")
    if not all(torch.isfinite(tensor).all() for tensor in expected):
        return Traced(twin, None, "the model's output at the example input is not finite")
    try:
        graph_module = fx.GraphModule(twin, _Tracer(whole, len(inputs) if several else None).trace(twin))
        with torch.no_grad():
            found = tensors_of(graph_module(*(part.clone() for part in inputs)))
    except Exception as error:
        return Traced(twin, None, f"the forward cannot be traced: {_one_line(error)}")
    same = found is not None and len(found) == len(expected)
    same = same and all(
        a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-6 * float(b.abs().max()))
        for a, b in zip(found or (), expected, strict=False)
        if b.numel() > 0
    )
    if not same:
        return Traced(twin, None, "the traced graph computes something else than the model at the example")
    overwritten = _overwritten_node(graph_module)
    if overwritten is not None:
        return Traced(twin, None, f"`{overwritten}` overwrites in place a value that is read again later")
    return Traced(twin, graph_module, None)


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class _Tracer(fx.Tracer):
    """Our own weighted module is one node of the graph, like those of torch.nn; others may be named."""

    # without arguments where a graph is unpickled
    def __init__(self, whole: Collection[str] = (), inputs: int | None = None) -> None:
        super().__init__()
        self._whole = frozenset(whole)
        self._inputs = inputs

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Any, list[Any]]:
        """As many inputs as there are, under the forward's names: others keep their defaults, `*inputs` come apart."""
        if self._inputs is None:
            return super().create_args_for_root(root_fn, is_module, concrete_args)
        taken = list(inspect.signature(root_fn).parameters.values())[1:]
        names = [parameter.name for parameter in taken if parameter.kind in _POSITIONAL]
        names += [f"input_{number}" for number in range(len(names), self._inputs)]
        return root_fn, [self.root, *(self.create_proxy("placeholder", name, (), {}) for name in names[: self._inputs])]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        named = module_qualified_name in self._whole
        return named or isinstance(m, ChannelAffine) or super().is_leaf_module(m, module_qualified_name)


def tensors_of(value: Any) -> tuple[Tensor, ...] | None:
    """Return the tensors of nested tuples, lists and dicts in order; None if anything else is in there."""
    if isinstance(value, Tensor):
        return (value,)
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, tuple | list) or not value:
        return None
    found: list[Tensor] = []
    for item in value:
        inner = tensors_of(item)
        if inner is None:
            return None
        found.extend(inner)
    return tuple(found)


def canonical_names(model: nn.Module) -> dict[str, str]:
    """Map every qualified module name to the first name of the same module, which is what graphs use."""
    first: dict[int, str] = {}
    names: dict[str, str] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names[name] = first.setdefault(id(module), name)
    return names


def words(text: str) -> frozenset[str]:
    """Return the words of a text: the readable way to write long sets of operation names."""
    return frozenset(text.split())


# The operations that signs and bounds know, by the name that torch, torch.nn.functional, Tensor or
# operator gives them. Rules look operations up by identity through this table, so that a user's
# function that happens to be called `relu` is never mistaken for torch's.
_NAMES = words(
    """
    relu relu6 leaky_relu hardtanh sigmoid logsigmoid tanh gelu silu elu selu celu softplus softsign hardswish
    hardsigmoid hardshrink softshrink tanhshrink mish abs square pow exp sqrt clamp clip clamp_min clamp_max
    softmax log_softmax max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d dropout dropout1d dropout2d dropout3d alpha_dropout
    feature_alpha_dropout mean sum amax amin maximum minimum add sub mul div truediv neg negative
    cat concat concatenate stack flatten unflatten view view_as reshape permute transpose swapaxes swapdims
    movedim moveaxis squeeze unsqueeze contiguous clone detach expand expand_as repeat t chunk split unbind
    narrow select flip roll getitem getattr pad interpolate pixel_shuffle pixel_unshuffle channel_shuffle
    float double long int to size dim numel stride type_as rsub multiply divide subtract true_divide absolute tile
    unfold"""
)
_VIEWS = words(
    """flatten unflatten view view_as reshape permute transpose swapaxes swapdims movedim moveaxis squeeze
    unsqueeze contiguous detach expand expand_as t chunk split unbind narrow select getitem getattr unfold
    float double to type_as dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout"""
)
_VIEW_MODULES = (nn.Identity, nn.Flatten, nn.Unflatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_SYNONYMS = {
    "clip": "clamp",
    "concat": "cat",
    "concatenate": "cat",
    "negative": "neg",
    "truediv": "div",
    "divide": "div",
    "true_divide": "div",
    "multiply": "mul",
    "subtract": "sub",
    "absolute": "abs",
    "iadd": "add",
    "isub": "sub",
    "imul": "mul",
    "itruediv": "div",
}


def _function_names() -> dict[Any, str]:
    table: dict[Any, str] = {getattr: "getattr"}
    for name in _NAMES:
        for space in (operator, torch, F, Tensor):
            for spelling in (name, name + "_"):
                function = getattr(space, spelling, None)
                if callable(function):
                    table[function] = _SYNONYMS.get(name, name)
    for name in ("iadd", "isub", "imul", "itruediv"):
        table[getattr(operator, name)] = _SYNONYMS[name]
    return table


_FUNCTIONS = _function_names()


def operation_name(node: fx.Node) -> str | None:
    """Return the plain name of a node's function or method, synonyms and in-place forms unified.

    None for modules and for functions that are not torch's or are not known here.
    """
    if node.op == "call_function":
        return _FUNCTIONS.get(node.target)
    if node.op == "call_method" and isinstance(node.target, str):
        name = node.target if node.target.startswith("__") else node.target.removesuffix("_")
        return _SYNONYMS.get(name, name) if name in _NAMES else None
    return None


def _is_in_place(node: fx.Node, graph_module: fx.GraphModule) -> bool:
    if node.op == "call_module":
        return bool(getattr(graph_module.get_submodule(str(node.target)), "inplace", False))
    if node.op == "call_method":
        written = str(node.target).endswith("_") and not str(node.target).endswith("__")
    elif node.op == "call_function":
        target: Callable[..., Any] = node.target  # type: ignore[assignment]
        name = str(getattr(target, "__name__", ""))
        augmented = getattr(target, "__module__", "") == "_operator" and name in _AUGMENTED
        written = augmented or (name.endswith("_") and not name.endswith("__"))
    else:
        return False
    # `inplace` may also be positional (F.relu(x, True)): any True in such a call is suspect enough.
    return written or bool(node.kwargs.get("inplace")) or "out" in node.kwargs or _has_true(node)


_TAKES_INPLACE = words(
    """relu relu6 leaky_relu hardtanh elu selu celu silu hardswish hardsigmoid mish dropout dropout1d
    dropout2d dropout3d alpha_dropout feature_alpha_dropout"""
)
_AUGMENTED = words("iadd isub imul itruediv ifloordiv imod ipow imatmul iand ior ixor ilshift irshift")


def _has_true(node: fx.Node) -> bool:
    known = operation_name(node)
    suspect = known is None or known in _TAKES_INPLACE
    return suspect and node.op == "call_function" and any(argument is True for argument in node.args[1:])


def _overwritten_node(graph_module: fx.GraphModule) -> str | None:
    """Return an in-place node after which an older view of the same memory is read; None if there is none."""
    memory: dict[fx.Node, int] = {}  # nodes with the same number may share memory
    order: dict[fx.Node, int] = {}
    writes: list[tuple[fx.Node, int]] = []
    for position, node in enumerate(graph_module.graph.nodes):
        order[node] = position
        inputs: Iterable[fx.Node] = node.all_input_nodes
        for other, group in writes:
            if any(memory[source] == group and order[source] < order[other] for source in inputs):
                return str(other.target)
        memory[node] = position
        if not node.all_input_nodes:
            continue
        source = node.all_input_nodes[0]
        in_place = _is_in_place(node, graph_module)
        views = operation_name(node) in _VIEWS or (
            node.op == "call_module" and isinstance(graph_module.get_submodule(str(node.target)), _VIEW_MODULES)
        )
        if in_place or views:
            memory[node] = memory[source]
        if in_place:
            writes.append((node, memory[source]))
    return None


def _hidden_behaviour(model: nn.Module) -> str | None:
    """Return why a leaf of the graph may not be what its type says: hooks, or a forward of its own."""
    for name, module in model.named_modules():
        if "forward" in vars(module):
            return f"the forward of `{name}` was replaced on the object"
        if module._forward_hooks or module._forward_pre_hooks:
            return f"`{name}` has forward hooks, which a graph does not show"
    return None


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
