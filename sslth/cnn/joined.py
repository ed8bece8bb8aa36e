"""Several inputs as one: networks whose forward takes more than one tensor, seen as functions of a single vector.

Everything that searches, propagates and proves knows one input. A network of several is given to it as a network of
their entries one after another, which cuts the vector up again in its first operations.
"""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from sslth.errors import InvalidInputError

__all__ = [
    "Shapes",
    "corners_of",
    "input_shapes",
    "join_batches",
    "join_corners",
    "join_rows",
    "joined",
    "mark_joined",
    "shapes_taken",
    "split_rows",
    "taken_by",
]

FloatArray = npt.NDArray[np.float64]
Shapes = tuple[tuple[int, ...], ...]

_SHAPES = "sslth.joined_shapes"  # in what a graph knows of itself: a class of its own would not survive a copy


def input_shapes(example_input: Any) -> Shapes | None:
    """The shapes of the inputs, without the batch, of a tuple of tensors; None for one tensor, or anything else."""
    if not isinstance(example_input, tuple | list) or not all(isinstance(part, Tensor) for part in example_input):
        return None
    return tuple(tuple(part.shape[1:]) for part in example_input) or None


def shapes_taken(model: nn.Module) -> Shapes | None:
    """The shapes that a network made by `joined` cuts its input into; None for any other network."""
    if isinstance(model, fx.GraphModule) and _SHAPES in model.meta:
        shapes: Shapes = model.meta[_SHAPES]
        return shapes
    return getattr(type(model), "_joined_shapes", None)


def taken_by(model: nn.Module, entries: Tensor, shapes: Shapes | None) -> Tensor | tuple[Tensor, ...]:
    """Rows of entries as the network takes them: cut into `shapes`, or whole where it is joined or takes one input."""
    return entries if shapes is None or shapes_taken(model) is not None else split_rows(entries, shapes)


def joined(model: nn.Module, shapes: Shapes) -> nn.Module:
    """A copy of the network that takes its inputs' entries one after another, [batch, sum of their sizes].

    Modules keep their names. The forward is the model's own. A network that is already joined stays as it is.

    Examples
    --------
    >>> both = joined(nn.Bilinear(2, 1, 1), ((2,), (1,)))
    >>> tuple(both(torch.zeros(5, 3)).shape)
    (5, 1)
    """
    twin = copy.deepcopy(model)
    if shapes_taken(model) is not None:
        return twin
    if isinstance(twin, fx.GraphModule):
        return _joined_graph(twin, shapes)
    own: Any = type(model)

    def forward(self: nn.Module, entries: Tensor) -> Any:
        return own.forward(self, *split_rows(entries, shapes))

    twin.__class__ = type(
        own.__name__, (own,), {"forward": forward, "__module__": own.__module__, "_joined_shapes": shapes}
    )
    return twin


def _joined_graph(graph_module: fx.GraphModule, shapes: Shapes) -> fx.GraphModule:
    """The same for a graph, which is changed in place: its code is generated, so that no class can be put before it."""
    graph = graph_module.graph
    every = [node for node in graph.nodes if node.op == "placeholder"]
    if len(every) < len(shapes):
        raise InvalidInputError(f"the model takes {len(every)} inputs, but example_input holds {len(shapes)}")
    with graph.inserting_before(every[0]):
        entries = graph.placeholder("entries")
    with graph.inserting_after(every[-1]):
        parts = graph.call_function(split_rows, (entries, shapes))
    for number, node in enumerate(every[: len(shapes)]):
        with graph.inserting_after(parts):
            node.replace_all_uses_with(graph.call_function(operator.getitem, (parts, number)))
        graph.erase_node(node)
    graph_module.recompile()
    mark_joined(graph_module, shapes)
    return graph_module


def mark_joined(graph_module: fx.GraphModule, shapes: Shapes) -> None:
    """Note of a graph, in place, that it takes its inputs joined."""
    graph_module.meta[_SHAPES] = shapes


def split_rows(entries: Tensor, shapes: Shapes) -> tuple[Tensor, ...]:
    """Cut [batch, sum of sizes] into tensors [batch, *shape], in their order.

    Examples
    --------
    >>> [tuple(part.shape) for part in split_rows(torch.zeros(5, 7), ((2, 3), (1,)))]
    [(5, 2, 3), (5, 1)]
    """
    parts, start = [], 0
    for shape in shapes:
        size = math.prod(shape)
        part = entries.narrow(1, start, size)
        parts.append(torch.unflatten(part, 1, shape) if shape else part.squeeze(1))
        start += size
    return tuple(parts)


def join_rows(inputs: Any, shapes: Shapes, name: str) -> Tensor:
    """Put the entries of each row one after another: Tensors [batch, *shape] as one [batch, sum of sizes].

    Raises
    ------
    InvalidInputError
        For another number of tensors, other shapes, or batches that differ; `name` says in what.
    """
    if not isinstance(inputs, tuple | list) or len(inputs) < len(shapes):
        found = f"{len(inputs)} tensors" if isinstance(inputs, tuple | list) else f"a {type(inputs).__name__}"
        raise InvalidInputError(f"{name} is {found}; the network takes {len(shapes)} inputs, so give a tuple of them")
    rows = inputs[: len(shapes)]
    for part, shape in zip(rows, shapes, strict=True):
        if not isinstance(part, Tensor):
            raise InvalidInputError(f"{name} holds a {type(part).__name__}; its inputs must be tensors")
        if tuple(part.shape[1:]) != shape or part.dim() == 0:
            raise InvalidInputError(
                f"{name} has an input of shape {tuple(part.shape)}; one of that input has the shape {shape}"
            )
    if len({len(part) for part in rows}) != 1:
        raise InvalidInputError(f"{name} has batches of {' and '.join(str(len(part)) for part in rows)} inputs")
    return torch.cat([part.reshape(len(part), -1) for part in rows], dim=1)


def join_batches(inputs: Any, shapes: Shapes, name: str) -> Iterator[Tensor]:
    """Joined rows of a tuple of tensors, or of each batch of an iterable, whose items may go on with labels."""
    if isinstance(inputs, Tensor):
        yield inputs
    elif input_shapes(inputs) is not None:
        yield join_rows(inputs, shapes, name)
    elif isinstance(inputs, Iterable) and not isinstance(inputs, str | bytes):
        for batch in inputs:
            yield join_rows(batch, shapes, name)
    else:
        raise InvalidInputError(
            f"{name} is a {type(inputs).__name__}; it must be a tuple of tensors, or batches of them"
        )


def corners_of(low: Any, high: Any, shapes: Shapes | None) -> tuple[Any, Any]:
    """The corners of the box for the network as it is seen: joined for several inputs, as they are for one."""
    if shapes is None:
        return low, high
    return join_corners(low, shapes, "low"), join_corners(high, shapes, "high")


def join_corners(corner: Any, shapes: Shapes, name: str) -> FloatArray:
    """A corner of the box as float64[sum of sizes]: from one number, or from a tuple of a number or array an input."""
    parts: Sequence[Any] = corner if isinstance(corner, tuple | list) else [corner] * len(shapes)
    if not isinstance(corner, tuple | list) and np.size(corner) == sum(math.prod(shape) for shape in shapes) > 1:
        return np.asarray(corner, dtype=np.float64).ravel()  # already joined
    if len(parts) != len(shapes):
        raise InvalidInputError(f"{name} has {len(parts)} entries, but the network takes {len(shapes)} inputs")
    found: list[FloatArray] = []
    for part, shape in zip(parts, shapes, strict=True):
        try:
            found.append(np.broadcast_to(np.asarray(part, dtype=np.float64), shape).ravel())
        except (ValueError, TypeError):
            raise InvalidInputError(
                f"{name} does not fit an input of shape {shape}; give a number or such an array for each input"
            ) from None
    return np.concatenate(found)
