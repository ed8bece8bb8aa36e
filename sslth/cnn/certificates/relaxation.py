"""Backward linear relaxation: enclosures as in `propagation`, sharpened by linear bounds through the whole network.

Where intervals forget that neurons depend on the same inputs, a linear functional of a layer's values and differences
is carried back to the input and bounded there. That is done for the inputs of every activation and pooling whose bounds
matter, from the first to the last layer, and for the outputs; what is found is intersected with the intervals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from sslth.cnn.activations import Curve, curve_of
from sslth.cnn.certificates.bounds import Enclosure, sharpened
from sslth.cnn.certificates.coupled_maxima import Coupled
from sslth.cnn.certificates.intervals import Interval, add, intersect
from sslth.cnn.certificates.joint_nodes import joint_windows_of
from sslth.cnn.certificates.joint_windows import JointSlopes, JointWindows, joint_slopes, joint_step
from sslth.cnn.certificates.linear_bound import Coefficients, Total, greatest, mass
from sslth.cnn.certificates.propagation import Propagation, run_on
from sslth.cnn.certificates.relaxation_rules import (
    Slopes,
    adjoint,
    curve_step,
    default_slopes,
    linear_step,
    moved,
    pool_step,
    window_slopes,
)
from sslth.cnn.certificates.slope_search import Chosen, least_bound
from sslth.cnn.certificates.windows import index_move, pooling_windows, takes_mean
from sslth.cnn.layers import Weighted, wiring_of
from sslth.cnn.merged import MergedLayer
from sslth.cnn.trace import Traced, operation_name

__all__ = ["WORK", "Relaxation", "Relaxed", "propagate_relaxed"]

_EPS = 2.0**-52
# Multiply-adds that the functionals of one layer may take, in all: some seconds.
WORK = 2e9
# The same for the outputs, which are what the report is about.
_OUTPUT_WORK = 5e10
# Coefficients of all outputs' functionals up to which slopes are improved: gradients hold some hundred of each.
_LEARNED = 2**20
# What improving the slopes of an inner layer may take, beside what the layer's functionals may.
_IMPROVING = 25.0
# Entries of all functionals of one chunk at the widest node; functionals of a chunk whose slopes are improved.
_CHUNK = 2**23
_TOGETHER = 64


@dataclass(frozen=True, eq=False)
class Relaxed:
    """What the relaxation of one box found.

    Attributes
    ----------
    outputs : tuple of Enclosure
        One for each output tensor, rigorous for the real functions of the stored weights.
    engine : Relaxation
        Knows the bounds of every node, for further functionals.
    """

    outputs: tuple[Enclosure, ...]
    engine: Relaxation

    def least_margins(self, chosen: int) -> tuple[Tensor, Tensor] | None:
        """Float64[classes - 1] below ``output[chosen] - output[j]`` for every other j, in the target and the ticket.

        None unless the network has one output, a list of numbers.
        """
        if len(self.outputs) != 1 or len(self.outputs[0].shape) != 2:
            return None
        return self.engine.least_margins(chosen)


def propagate_relaxed(
    traced: Traced,
    merged: Mapping[str, MergedLayer],
    low: Tensor,
    high: Tensor,
    *,
    steps: int = 0,
    work: float = WORK,
) -> Relaxed:
    """Return enclosures of every output of both networks over one box, inside those of `propagate`.

    Parameters
    ----------
    traced, merged, low, high
        As for `propagate`, with one box: float64[1, ...].
    steps : int
        How often the slopes of the outputs' functionals are improved by a gradient step. Any slopes are sound.
    work : float
        Multiply-adds that each layer's functionals may take; a layer for which that is not enough keeps its intervals.

    Raises
    ------
    UnsupportedOperation
        Its ``reason`` says which operation has no rule.

    Notes
    -----
    An operation without a backward rule ends the way back there, at its intervals. Costs four backward passes for each
    neuron whose bounds matter, and 3·steps for each output. The difference of two networks is carried through pairs
    of slopes as in [Paulsen2020]_.

    .. [Paulsen2020] B. Paulsen, J. Wang, J. Wang, C. Wang, "NeuroDiff: scalable differential verification of neural
       networks using fine-grained approximation", ASE 2020.

    Examples
    --------
    >>> from torch import nn
    >>> from sslth.cnn.trace import trace
    >>> net = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1)).double()
    >>> _ = net[0].weight.data.fill_(1.0), net[0].bias.data.fill_(1.0)
    >>> _ = net[2].weight.data.copy_(torch.tensor([[1.0, -1.0]]))
    >>> ones, zero = torch.ones(2, 1).double(), torch.zeros(2).double()
    >>> layer = MergedLayer(1.5 * ones, None, ones[:, 0], 0 * ones, None, zero)
    >>> box = torch.zeros(1, 1).double(), torch.ones(1, 1).double()
    >>> (out,) = propagate_relaxed(trace(net, box[0]), {"0": layer}, *box).outputs
    >>> out.shift.high.item() < 1e-12  # intervals, which forget that both neurons are alike, say 0.5
    True
    """
    zero = torch.zeros_like(low)
    box = Enclosure(Interval(low, high), Interval(low, high), Interval(zero, zero))
    engines: list[Relaxation] = []

    def rules(graph: fx.GraphModule, layers: Mapping[str, MergedLayer]) -> Relaxation:
        engines.append(Relaxation(graph, layers, steps, work))
        return engines[0]

    outputs = run_on(traced, merged, box, rules)
    return Relaxed(outputs, engines[0])


class Relaxation(Propagation):
    """Runs the graph on enclosures, and sharpens them on the way."""

    def __init__(
        self, graph_module: fx.GraphModule, layers: Mapping[str, MergedLayer], steps: int, work: float
    ) -> None:
        super().__init__(graph_module, layers)
        self._steps, self._limit = steps, work
        self.known: dict[fx.Node, Enclosure] = {}
        self.order = {node: place for place, node in enumerate(graph_module.graph.nodes)}
        self._ends = set(next(node for node in graph_module.graph.nodes if node.op == "output").all_input_nodes)
        self._bent: set[fx.Node] = set()  # nodes behind an operation that is not linear: there intervals lose
        self._windows: dict[fx.Node, Tensor | None] = {}
        self._joint: dict[fx.Node, tuple[fx.Node, JointWindows] | None] = {}
        self._jointly = True
        self._coupled = Coupled(self)

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if any(source in self._bent or not self._is_straight(source) for source in n.all_input_nodes):
            self._bent.add(n)
        if not isinstance(value, Enclosure) or len(value.shape) < 1 or value.shape[0] != 1:
            return value
        self.known[n] = value
        if n in self._bent and (n in self._ends or self._matters(n, value)):
            self.known[n] = value = self._sharpened(n, value)
        return value

    # what to sharpen

    def _matters(self, node: fx.Node, value: Enclosure) -> bool:
        """Whether bounds decide how an operation after this node is relaxed."""
        if self.curve(node) is not None or not self._is_linear(node):
            return False
        return any(self.curve(user) is not None or self.pooling(user, value) is not None for user in _readers(node))

    def _is_linear(self, node: fx.Node) -> bool:
        module = self.module_of(node)
        return isinstance(module, Weighted) or operation_name(node) in ("add", "sub", "cat")

    def _is_straight(self, node: fx.Node) -> bool:
        return node.op in ("placeholder", "get_attr") or self._is_linear(node)

    def curve(self, node: fx.Node) -> Curve | None:
        """The activation that a node is."""
        return curve_of(node, self.module_of(node))

    def pooling(self, node: fx.Node, value: Enclosure) -> Tensor | None:
        """The windows of a max pooling of the value."""
        if node not in self._windows:
            self._windows[node] = pooling_windows(node, self.module_of(node), value.shape)
        return self._windows[node]

    def _cost(self, node: fx.Node) -> tuple[float, float]:
        """Multiply-adds of one functional on its way from the node to the input: in layers, and in joint windows."""
        seen, waiting, total, joint = set(), [node], 0.0, 0.0
        while waiting:
            other = waiting.pop()
            if other in seen:
                continue
            seen.add(other)
            waiting += other.all_input_nodes
            module = self.module_of(other)
            if isinstance(module, Weighted) and other in self.known:
                wiring = wiring_of(module)
                entries = self.known[other].shape[1:].numel()
                total += 4.0 * entries * wiring.inputs_per_group * math.prod(wiring.kernel_size)
            windows = self._joint_windows(other) if other in self.known else None
            joint += 0.0 if windows is None else 2.0 * windows[1].work()
        return total, joint

    def _joint_windows(self, node: fx.Node) -> tuple[fx.Node, JointWindows] | None:
        """The layer before a pooling and the pooling's windows, where both can be taken in one step."""
        if node not in self._joint:
            self._joint[node] = joint_windows_of(self, node)
        return self._joint[node]

    def _sharpened(self, node: fx.Node, value: Enclosure) -> Enclosure:
        size = value.shape[1:].numel()
        final = node in self._ends
        layers, joint = self._cost(node)
        limit = _OUTPUT_WORK if final else self._limit
        if 4 * size * layers > limit:
            return value
        self._jointly = joint > 0 and 4 * size * (layers + joint) <= _IMPROVING * limit
        entries = sum(known.shape[1:].numel() for known in self.known.values())
        steps = self._steps if final and size * entries <= _LEARNED else 0
        if self._jointly and not final:
            # A step goes back and forth, for two signs of two kinds of functionals; values need fewer steps.
            steps = min(self._steps, int(_IMPROVING * limit / (5.0 * size * (layers + joint))))
        ends: list[Tensor] = []
        for of_value, of_shift in ((1.0, 0.0), (0.0, 1.0)):
            often = steps if of_shift else 0 if final else steps // 4
            above = self._uppers(node, size, (of_value, of_shift), often)
            below = -self._uppers(node, size, (-of_value, -of_shift), often)
            ends += [below.reshape(value.shape), above.reshape(value.shape)]
        target, shift = (intersect(old, Interval(*ends[i : i + 2])) for old, i in ((value.target, 0), (value.shift, 2)))
        return sharpened(target, intersect(value.ticket, add(target, shift)), shift)

    def _uppers(self, node: fx.Node, size: int, of: tuple[float, float], steps: int) -> Tensor:
        widest = max(known.shape[1:].numel() for known in self.known.values())
        if self._jointly:
            pairs = [pair for pair in self._joint.values() if pair is not None]
            widest = max([widest, *(pair[1].spread.numel() for pair in pairs)])
        rows = max(1, _CHUNK // widest)
        if steps and self._jointly:
            rows = min(rows, _TOGETHER)
        shape = self.known[node].shape[1:]
        # Neighbours see the same windows, and the others are left out.
        order = torch.arange(size).reshape(shape[0] if len(shape) else 1, -1).T.flatten()
        found = torch.empty(size, dtype=torch.float64)
        for begin in range(0, size, rows):
            chosen = order[begin : begin + rows]
            unit = torch.zeros((len(chosen), size), dtype=torch.float64)
            unit[torch.arange(len(chosen)), chosen] = 1.0
            unit = unit.reshape(-1, *shape)
            goal = Coefficients(of[0] * unit, of[1] * unit)
            found[chosen] = self.upper(node, goal, steps)
            if of[1] and node in self._ends:
                coupled = self._coupled.upper(node, goal, steps)
                found[chosen] = found[chosen] if coupled is None else torch.minimum(found[chosen], coupled)
        return found

    def least_margins(self, chosen: int) -> tuple[Tensor, Tensor] | None:
        """As in `Relaxed`, for the graph's only output."""
        if len(self._ends) != 1:
            return None
        (node,) = self._ends
        if node not in self.known:
            return None
        classes = self.known[node].shape[1]
        goal = torch.eye(classes, dtype=torch.float64)
        goal[:, chosen] -= 1.0
        goal = goal[torch.arange(classes) != chosen]
        with torch.no_grad():
            target = self.upper(node, Coefficients(goal, torch.zeros_like(goal)), self._steps)
            ticket = self.upper(node, Coefficients(goal, goal), self._steps)
        return -target, -ticket

    # the way back

    def upper(self, node: fx.Node, goal: Coefficients, steps: int) -> Tensor:
        """The least upper bound found of every functional of the node: float64[k]."""
        return least_bound(lambda slopes: self._back(node, goal, slopes), steps)

    def _back(self, node: fx.Node, goal: Coefficients, slopes: Chosen) -> Tensor:
        total = Total(len(goal.value))
        waiting = {node: goal}
        while waiting:
            last = max(waiting, key=lambda other: self.order[other])
            share = waiting.pop(last)
            for source, part in self._step(last, share, slopes, total):
                if source in waiting:
                    self._allow_sum(source, waiting[source], part, total)
                    part = waiting[source] + part
                waiting[source] = part
        return total.upper()

    def _allow_sum(self, source: fx.Node, a: Coefficients, b: Coefficients, total: Total) -> None:
        x = self.known[source]
        for left, right, size in ((a.value, b.value, x.target), (a.shift, b.shift, x.shift)):
            total.allow(_EPS * (mass(left, size.magnitude()) + mass(right, size.magnitude())))

    def _step(
        self, node: fx.Node, out: Coefficients, slopes: Chosen, total: Total
    ) -> list[tuple[fx.Node, Coefficients]]:
        found = self.linear_step(node, out, total)
        if found is not None:
            return found
        together = self._joint_windows(node) if self._jointly else None
        if together is not None:
            return [self._joint_step(node, together, out, slopes, total)]
        source = node.args[0] if node.args and isinstance(node.args[0], fx.Node) else None
        x = self.known.get(source) if source is not None else None
        if source is not None and x is not None:
            curve = self.curve(node)
            if curve is not None and not curve.jumps:
                if node not in slopes:
                    slopes[node] = default_slopes(curve, x, out)
                taken = slopes[node]
                assert isinstance(taken, Slopes)
                return [(source, curve_step(curve, x, out, taken, total))]
            windows = self.pooling(node, x)
            if windows is not None:
                if node not in slopes:
                    slopes[node] = window_slopes(windows, x, out)
                taken = slopes[node]
                assert isinstance(taken, Slopes)
                return [(source, pool_step(windows, x, out, taken, total))]
        greatest(total, out, self.known[node])
        return []

    def _joint_step(
        self, node: fx.Node, together: tuple[fx.Node, JointWindows], out: Coefficients, slopes: Chosen, total: Total
    ) -> tuple[fx.Node, Coefficients]:
        layer, joint = together
        if node not in slopes:
            # Slopes nearer to the output may change which windows matter here.
            used = (out.value.flatten(1) != 0).any(0) | (out.shift.flatten(1) != 0).any(0)
            active = torch.arange(len(used)) if slopes else used.nonzero()[:, 0]
            slopes[node] = joint_slopes(joint, out, active, even=slopes.even)
        taken = slopes[node]
        assert isinstance(taken, JointSlopes)
        return layer, joint_step(joint, self.known[layer], self.known[node], out, taken, total)

    def linear_step(self, node: fx.Node, out: Coefficients, total: Total) -> list[tuple[fx.Node, Coefficients]] | None:
        """Through what needs no slopes; None for everything else."""
        sources = node.all_input_nodes
        if not sources or any(source not in self.known for source in sources[:1]):
            return None
        name, module, x = operation_name(node), self.module_of(node), self.known[sources[0]]
        if isinstance(module, Weighted):
            return [(sources[0], linear_step(module, self.layer_of(node), x, out, total))]
        if name in ("add", "sub"):
            return self._sum_step(node, out, -1.0 if name == "sub" else 1.0)
        move = index_move(node, module, [self.known.get(source) for source in sources], self.env)
        if move is not None:
            return [
                (source, moved(out, index, self.known[source], total))
                for source, index in zip(sources, move, strict=True)
            ]
        mean = takes_mean(node, module, x.shape)
        if mean is None:
            return None
        parts = []
        for part, size in ((out.value, x.target), (out.shift, x.shift)):
            parts.append(adjoint(mean, x.shape, part))
            gamma = 8.0 * (x.shape.numel() + 8) * _EPS
            total.allow(gamma * mass(part, mean(size.magnitude())) + part[0].numel() * 1e-290)
        return [(sources[0], Coefficients(*parts))]

    def _sum_step(self, node: fx.Node, out: Coefficients, sign: float) -> list[tuple[fx.Node, Coefficients]] | None:
        operands = node.args
        if len(operands) != 2 or node.kwargs or not all(isinstance(part, fx.Node) for part in operands):
            return None
        known = [self.known.get(part) for part in operands]  # type: ignore[arg-type]
        if any(x is None or x.shape[1:] != out.value.shape[1:] for x in known):
            return None
        a, b = operands
        if a is b:
            return None
        return [(a, out), (b, Coefficients(sign * out.value, sign * out.shift))]  # type: ignore[list-item]


def _readers(node: fx.Node) -> list[fx.Node]:
    return list(node.users)
