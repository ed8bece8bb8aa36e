"""Where a graph's max pooling can be taken in one step with the rectifier and the layer before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, fx

from sslth.cnn.certificates.bounds import Enclosure
from sslth.cnn.certificates.intervals import Interval
from sslth.cnn.certificates.joint_windows import JointWindows, Rows, joint_windows
from sslth.cnn.certificates.linear_bound import Coefficients, Total

if TYPE_CHECKING:
    from sslth.cnn.certificates.relaxation import Relaxation

__all__ = ["joint_windows_of", "maxima_of", "rows_over_input"]

# Entries of all rows of a layer over the input, and of all windows' tables: beyond, there are no joint windows.
_MOST_ROWS = 2**24
_MOST = 2**22


def joint_windows_of(engine: Relaxation, node: fx.Node) -> tuple[fx.Node, JointWindows] | None:
    """The layer before the pooling `node`, and its windows; None for other nodes, other activations, and large ones."""
    found = maxima_of(engine, node)
    if found is None or engine.pooling(node, engine.known[node.all_input_nodes[0]]) is None:
        return None
    layer, windows, rectified = found
    x = engine.known[layer]
    if windows.numel() * windows.shape[1] * 4 > _MOST:
        return None
    joint = joint_windows(windows, x, rows_over_input(engine, layer, x), rectified=rectified)
    return (layer, joint) if joint.spread.numel() <= _MOST else None


def maxima_of(engine: Relaxation, node: fx.Node) -> tuple[fx.Node, Tensor, bool] | None:
    """The node before a max pooling, a rectifier, or both; the entries of every maximum; whether zero is among them.

    None for other nodes. The entries are int64[maxima, k], -1 for none.
    """
    source = node.args[0] if node.args and isinstance(node.args[0], fx.Node) else None
    if source is None or source not in engine.known:
        return None
    x = engine.known[source]
    if _rectifies(engine, node):
        return source, torch.arange(x.shape.numel())[:, None], True
    windows = engine.pooling(node, x)
    if windows is None:
        return None
    if engine.curve(source) is None:
        return source, windows, False
    argument = source.args[0] if source.args else None
    if not _rectifies(engine, source) or not isinstance(argument, fx.Node) or argument not in engine.known:
        return None
    return argument, windows, True


def _rectifies(engine: Relaxation, node: fx.Node) -> bool:
    curve = engine.curve(node)
    return curve is not None and curve.exact and curve.corners == ((0.0, 0.0), (0.0, 1.0))


def rows_over_input(engine: Relaxation, layer: fx.Node, x: Enclosure) -> Rows | None:
    """The layer as a linear function of the network's input, if nothing but linear operations are between."""
    size = x.shape[1:].numel()
    inputs = [node for node in engine.order if node.op == "placeholder"]
    if len(inputs) != 1 or inputs[0] not in engine.known:
        return None
    box = engine.known[inputs[0]]
    if bool((box.shift.magnitude() > 0).any()) or size * box.shape.numel() > _MOST_ROWS:
        return None
    ends: list[Tensor] = []
    slopes: list[Tensor] = []
    for sign in (1.0, -1.0):
        unit = sign * torch.eye(size, dtype=torch.float64).reshape(-1, *x.shape[1:])
        blank = torch.zeros_like(unit)
        parts = [_to_the_input(engine, layer, goal) for goal in (Coefficients(unit, blank), Coefficients(blank, unit))]
        if parts[0] is None or parts[1] is None:
            return None
        slopes.append(sign * torch.cat([parts[0][0], parts[1][0]]))
        ends.append(sign * torch.cat([parts[0][1], parts[1][1]]))
    # Both signs are rounded alike, but nothing here depends on it.
    apart = (slopes[0] - slopes[1]).abs() @ box.target.magnitude().flatten() * (1.0 + 1e-9)
    return Rows(slopes[0], Interval(ends[1] - apart, ends[0] + apart), box.target.map(torch.flatten))


def _to_the_input(engine: Relaxation, layer: fx.Node, goal: Coefficients) -> tuple[Tensor, Tensor] | None:
    """Slopes float64[k, inputs] and the constant's upper end; None where something is not linear."""
    total, waiting = Total(len(goal.value)), {layer: goal}
    while len(waiting) == 1:
        ((node, share),) = waiting.items()
        if node.op == "placeholder":
            return share.value.flatten(1), total.upper()
        step = engine.linear_step(node, share, total)
        if step is None or len(step) != 1:
            return None
        waiting = dict(step)
    return None
