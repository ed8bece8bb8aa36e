"""Scores of frozen weights: one vector for a network, gates before its weights, gradients straight through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from sslth.mining.kernels import passed_on
from sslth.mining.parametrized import attach, detach
from sslth.mining.scope import Slot
from sslth.mining.sides import Shown, in_numpy

__all__ = ["Gate", "Scores"]


class Gate(nn.Module):
    """The parametrization of one frozen weight: the model reads the weight where it is kept now, and 0 elsewhere.

    `gated` is a leaf of the graph: the backward pass leaves its gradient there, and `Scores` carries it on. Buffers
    are what a checkpoint needs; they are parts of the vectors that `Scores` holds.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = (weight.detach(),)  # in a tuple, or it would be saved twice
        self.gated = weight.detach().clone().requires_grad_()

    def forward(self, weight: Tensor) -> Tensor:  # noqa: ARG002 - frozen: `gated` was made of it
        """The weight under the present mask."""
        return self.gated


class Scores:
    """Scores on the frozen weights of a network, and the 0/1 vector `hard` that says what is kept at present.

    Scores are one vector, so that what a step does to them, the optimizer too, is one operation and not one a layer.
    A step is: bring `hard` up to date, `gate()`, forward, backward, `collect()`, step. The gradient of a score is that
    of weight * score, or of weight * |score| (with the slope 1 at 0), whatever `hard` is. Scores may be smaller than
    the weights, one a filter, and spread over them; on a bias the scores of the filters are one a unit.

    Attributes
    ----------
    vector : Parameter
        float[n]: what is trained.
    hard : Tensor
        float[n] of 0 and 1.
    by_name, hard_by_name : dict of Tensor
        The same, layer by layer: views.
    plain : bool
        Whether there is a score for each entry, all of one type, on the CPU, so that kernels take them as they are.

    Parameters
    ----------
    start : mapping of Tensor
        The scores of each slot.
    along : mapping of Slot
        Biases to gate as well, by the name of the weight whose scores they share.

    Examples
    --------
    >>> from sslth.mining.scope import Scope, masked_slots
    >>> layer = nn.Linear(2, 1, bias=False).requires_grad_(False)
    >>> scores = Scores(masked_slots(layer, Scope()), {"weight": torch.tensor([[0.7, 0.2]])}, absolute=False)
    >>> scores.hard.copy_(scores.vector.detach() >= 0.5)
    tensor([1., 0.])
    >>> scores.gate()
    >>> layer(torch.ones(1, 2)).sum().backward()
    >>> scores.collect()
    >>> bool((scores.vector.grad == scores.gates[0].weight[0]).all())
    True
    """

    def __init__(
        self,
        slots: Mapping[str, Slot],
        start: Mapping[str, Tensor],
        *,
        absolute: bool,
        along: Mapping[str, Slot] | None = None,
    ) -> None:
        self._absolute = absolute
        self._slots: Sequence[Slot] = [*slots.values(), *(along or {}).values()]
        device = self._slots[0].parameter.device
        self._shapes = {name: values.shape for name, values in start.items()}
        self.vector = nn.Parameter(torch.cat([values.flatten() for values in start.values()]).to(device))
        self.hard = torch.ones_like(self.vector.detach())
        self._type = np.float64 if self.vector.dtype == torch.float64 else np.float32
        self._gradient = torch.zeros_like(self.hard)
        self.by_name, self.hard_by_name = self.parts(self.vector.detach()), self.parts(self.hard)
        self._ranking = torch.empty_like(self.hard) if absolute else self.vector.detach()
        self._ranking_by_name = self.parts(self._ranking)
        names = [*slots, *(along or {})]
        self.gates = [Gate(slot.parameter) for slot in self._slots]
        self._owners = dict(zip(slots, self.gates, strict=False))
        values, gradients = self.parts(self.vector.detach()), self.parts(self._gradient)
        self._ways = [
            _Way(
                name,
                gate,
                *(_facing(gate, part[name]) for part in (values, self.hard_by_name, gradients)),
                alone=names.count(name) == 1 and gate.gated.shape == self._shapes[name],
            )
            for gate, name in zip(self.gates, names, strict=True)
        ]
        self.plain = all(way.plain for way in self._ways)
        self.remember("scores", self.vector.detach())
        self.remember("hard", self.hard)
        gates = {slot.name: gate for slot, gate in zip(self._slots, self.gates, strict=True)}
        attach(self._slots, gates, shown={name: gate.gated for name, gate in gates.items()})
        self.gate()

    def parts(self, vector: Tensor) -> dict[str, Tensor]:
        """Views of a vector of the length of the scores, layer by layer in their shapes."""
        pieces = torch.split(vector, [shape.numel() for shape in self._shapes.values()])
        return {name: piece.view(shape) for piece, (name, shape) in zip(pieces, self._shapes.items(), strict=True)}

    def remember(self, name: str, vector: Tensor) -> Tensor:
        """Put a vector of the length of the scores into checkpoints, and give it back."""
        for layer, part in self.parts(vector).items():
            self._owners[layer].register_buffer(name, part)
        return vector

    @torch.no_grad()
    def rank(self) -> dict[str, Tensor]:
        """What is compared now, layer by layer: the scores, or their absolute values; overwritten by the next call."""
        if self._absolute:
            torch.abs(self.vector, out=self._ranking)
        return self._ranking_by_name

    def shown(self, name: str) -> Shown | None:
        """A weight and what the model reads of it, flat, for who writes both `hard` and this; None if not `plain`."""
        return next(way.shown for way in self._ways if way.name == name) if self.plain else None

    @torch.no_grad()
    def gate(self) -> None:
        """Show the model the weights that `hard` keeps."""
        for way in self._ways:
            torch.mul(way.gate.weight[0], way.hard, out=way.gate.gated)
            if way.shown is not None:
                way.shown.turn(way.scores, absolute=self._absolute)

    def collect(self, pull: float = 0.0) -> None:
        """Make the gradient that the backward pass left at the gates that of the scores, plus pull * score."""
        for way in self._ways:
            if not way.alone:
                way.gradient.zero_()
        for way in self._ways:
            arrived, way.gate.gated.grad = way.gate.gated.grad, None
            if arrived is None:
                arrived = torch.zeros_like(way.gate.gated)  # the model did not use this weight
            if self.plain and way.shown is not None:
                numbers = arrived.numpy().reshape(-1)
                passed_on(numbers, way.shown.factor, way.shown.turned, way.scores, self._type(pull), way.output)
            elif way.alone:
                torch.mul(arrived, way.gate.weight[0], out=way.gradient)
            else:
                way.gradient += (arrived * way.gate.weight[0]).sum_to_size(way.gradient.shape)
        if not self.plain:
            values = self.vector.detach()
            if self._absolute:
                # the sign, in a place whose content has been used by now
                self._gradient.mul_(torch.lt(values, 0, out=self._ranking).mul_(-2).add_(1))
            if pull:
                self._gradient.add_(values * pull)
        self.vector.grad = self._gradient

    def detach(self) -> None:
        """Take the gates off the network, whose weights are as they were."""
        detach(self._slots)


class _Way:
    """Between a gate and its parts of the vectors, which may be its alone, entry by entry."""

    def __init__(self, name: str, gate: Gate, scores: Tensor, hard: Tensor, gradient: Tensor, *, alone: bool) -> None:
        self.name, self.gate, self.hard, self.gradient, self.alone = name, gate, hard, gradient, alone
        parts = (gate.weight[0], gate.gated, scores)
        # whether kernels take them as they are
        self.plain = alone and all(
            in_numpy(part) and part.is_contiguous() and part.dtype == scores.dtype for part in parts
        )
        self.shown = Shown(gate.weight[0].view(-1), gate.gated.detach().view(-1)) if self.plain else None
        if self.plain:
            self.scores, self.output = scores.view(-1).numpy(), gradient.view(-1).numpy()


def _facing(gate: Gate, part: Tensor) -> Tensor:
    """A part as the gate needs it: scores of filters are one a unit on a bias."""
    return part if gate.gated.dim() > 1 else part.flatten()
