"""Climbing from cell to cell: inside one linear piece of both networks the difference is maximised exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import linprog
from torch import Tensor, fx

from sslth.cnn.activations import curve_of
from sslth.cnn.certificates.windows import pooling_windows
from sslth.cnn.trace import Traced, tensors_of

__all__ = ["climb_cells"]

FloatArray = npt.NDArray[np.float64]

# Entries of the inequalities of one program: more would take minutes.
_LARGEST = 2e7
# Numbers that may be in memory at once while a cell is unfolded: most conditions do not depend on most inputs.
_UNFOLDED = 1e8
# How far over the border of a cell the next one is looked for, as shares of the box's sides.
_OVER = (1e-6, 1e-4, 1e-2)
_GAIN = 1e-7
_SLACK = 1e-9


@dataclass(frozen=True, eq=False)
class _Cell:
    """One network near a point: outputs and all that must not change sign, as affine functions of a step."""

    value: FloatArray  # [outputs]
    slope: FloatArray  # [outputs, inputs]
    margin: FloatArray  # [conditions]: at least 0 at the point
    normal: FloatArray  # [conditions, inputs]


class _NotPiecewiseLinear(Exception):
    pass


class _Unfolding(fx.Interpreter):
    """Runs a graph on a point and its neighbours along every input, all in the linear piece of the point."""

    def __init__(self, graph_module: fx.GraphModule) -> None:
        super().__init__(graph_module)
        self._graph_module = graph_module
        self.conditions: list[Tensor] = []  # [1 + inputs, conditions]
        self.widest = 0

    def run_node(self, n: fx.Node) -> Any:
        value = self._unfolded(n)
        if isinstance(value, Tensor):
            if not value.is_floating_point():
                raise _NotPiecewiseLinear  # a cast to whole numbers: neighbours would be looked up somewhere else
            self.widest = max(self.widest, value.numel())
        return value

    def _unfolded(self, n: fx.Node) -> Any:
        if n.op in ("placeholder", "output", "get_attr"):
            return super().run_node(n)
        module = self._graph_module.get_submodule(str(n.target)) if n.op == "call_module" else None
        first = self.env.get(n.args[0]) if n.args and isinstance(n.args[0], fx.Node) else None
        if not isinstance(first, Tensor) or first.ndim == 0:
            return super().run_node(n)
        curve = curve_of(n, module)
        if curve is not None:
            if not curve.exact:
                raise _NotPiecewiseLinear
            slope = curve.slope(first[:1])
            for knot in sorted({position for position, _ in curve.corners}):
                side = torch.where(first[:1] > knot, 1.0, -1.0)
                self.conditions.append((side * (first - knot)).flatten(1))
            return curve.value(first[:1]) + slope * (first - first[:1])
        windows = pooling_windows(n, module, first[:1].shape)
        if windows is None:
            return super().run_node(n)
        entries = torch.where(windows >= 0, first.flatten(1)[:, windows.clamp(min=0)], -torch.inf)
        chosen = entries[:1].argmax(2, keepdim=True).expand(len(entries), -1, 1)
        best = entries.gather(2, chosen)
        lead = torch.where(windows >= 0, best - entries, 0.0)
        self.conditions.append(lead.flatten(1))
        shape = super().run_node(n).shape
        return best.reshape(shape)


def _entries(graph: fx.GraphModule, point: Tensor) -> int:
    """Numbers that unfolding the graph at the point takes, seen by running the point alone."""
    unfolding = _Unfolding(graph)
    with torch.no_grad():
        unfolding.run(point[None])
    conditions = sum(part.numel() for part in unfolding.conditions)
    return (1 + point.numel()) * (conditions + unfolding.widest)


def _cell(graph: fx.GraphModule, point: Tensor) -> _Cell:
    count = point.numel()
    rows = torch.cat([point[None], point[None] + torch.eye(count, dtype=torch.float64).reshape(count, *point.shape)])
    unfolding = _Unfolding(graph)
    with torch.no_grad():
        outputs = tensors_of(unfolding.run(rows))
    if outputs is None:
        raise _NotPiecewiseLinear
    values = torch.cat([out.reshape(len(rows), -1) for out in outputs], dim=1)
    conditions = torch.cat(unfolding.conditions, dim=1) if unfolding.conditions else torch.zeros(len(rows), 0)
    slopes, normals = (values[1:] - values[:1]).T, (conditions[1:] - conditions[:1]).T
    keep = normals.abs().amax(1) > 0 if normals.numel() else torch.zeros(0, dtype=torch.bool)
    return _Cell(values[0].numpy(), slopes.numpy(), conditions[0][keep].numpy(), normals[keep].numpy())


def climb_cells(
    target: Traced,
    ticket: Traced,
    box: tuple[Tensor, Tensor],
    starts: Tensor,
    value_of: Callable[[Tensor], Tensor],
    hops: int,
) -> Tensor | None:
    """The best point found from each start by linear programs, cell after cell; None where that is impossible.

    Parameters
    ----------
    target, ticket : Traced
        Both in float64.
    box : pair of float64[*input_shape]
    starts : float64[k, *input_shape]
    value_of : callable
        The largest |ticket - target| of every input of a batch.
    hops : int
        The most programs from each start.

    Returns
    -------
    float64[k, *input_shape] or None
        None for networks that are not piecewise linear, have no graph, or are too large for it. No point is worse than
        its start.

    Notes
    -----
    Each program maximises the difference of one output over the cell of the current point, cut by the box. Its optimum
    lies on a border; the next program is set up in the cells just behind it or, where none is better, in one nearby.
    Nothing here needs to be exact: what is reported of a point is recomputed from the networks.
    """
    if target.graph_module is None or ticket.graph_module is None or hops < 1 or not len(starts):
        return None
    graphs = (target.graph_module, ticket.graph_module)
    try:
        if max(_entries(graph, starts[0]) for graph in graphs) > _UNFOLDED:
            return None
        cells = [_cell(graph, starts[0]) for graph in graphs]
    except (_NotPiecewiseLinear, RuntimeError, KeyError, TypeError, ValueError):
        return None
    if sum(cell.normal.size for cell in cells) > _LARGEST:
        return None
    return torch.stack([_climb(target.graph_module, ticket.graph_module, box, at, value_of, hops) for at in starts])


def _climb(
    target: fx.GraphModule,
    ticket: fx.GraphModule,
    box: tuple[Tensor, Tensor],
    start: Tensor,
    value_of: Callable[[Tensor], Tensor],
    hops: int,
) -> Tensor:
    best, value = start, float(value_of(start[None])[0])
    trials: list[Tensor] = [start]
    rng = torch.Generator().manual_seed(0)
    while hops > 0:
        if not trials:  # no cell behind this border is better: one somewhere near may be
            share = 0.5 ** (1.0 + 5.0 * torch.rand(1, generator=rng, dtype=torch.float64))
            push = share * (box[1] - box[0]) * torch.randn(best.shape, generator=rng, dtype=torch.float64)
            trials.append(torch.clamp(best + push, *box))
        at = trials.pop(0)
        hops -= 1
        found = _best_of_cell(target, ticket, box, at)
        if found is None:
            continue
        reached = float(value_of(found[None])[0])
        if reached <= value * (1.0 + _GAIN):
            continue
        way = (found - at).abs().max()
        way = (found - at) / way.clamp(min=1e-300)
        best, value = found, reached
        trials = [torch.clamp(found + over * (box[1] - box[0]) * way, *box) for over in _OVER]
    return best


def _best_of_cell(
    target: fx.GraphModule, ticket: fx.GraphModule, box: tuple[Tensor, Tensor], at: Tensor
) -> Tensor | None:
    one, two = _cell(target, at), _cell(ticket, at)
    difference = two.value - one.value
    output = int(np.abs(difference).argmax())
    sign = 1.0 if difference[output] >= 0 else -1.0
    gradient = sign * (two.slope[output] - one.slope[output])
    normal, margin = np.concatenate([one.normal, two.normal]), np.concatenate([one.margin, two.margin])
    size = np.abs(normal).max(axis=1)
    low, high = ((end - at).flatten().numpy() for end in box)
    # Conditions that no step inside the box can break are left out.
    reach = np.where(normal > 0, normal * low, normal * high).sum(axis=1)
    near = margin + reach < 0
    scale = np.abs(gradient).max()
    if not scale > 0:
        return None
    answer = linprog(
        -gradient / scale,
        A_ub=-normal[near] / size[near, None] if near.any() else None,
        b_ub=np.maximum(margin[near], 0.0) / size[near] + _SLACK if near.any() else None,
        bounds=np.stack([np.minimum(low, 0.0), np.maximum(high, 0.0)], axis=1),
        method="highs",
    )
    if answer.x is None:
        return None
    step = torch.from_numpy(np.asarray(answer.x)).reshape(at.shape)
    return torch.clamp(at + step, *box)
