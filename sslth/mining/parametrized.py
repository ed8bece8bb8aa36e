"""Masks on a model that stays the user's: every masked tensor is computed from its weights when it is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sslth.errors import InvalidInputError
from sslth.mining.scope import Slot, all_slots

__all__ = ["Masked", "Scored", "attach", "detach", "masked"]


class Masked(nn.Module):
    """Gives the weights where they are kept and 0 elsewhere; gradients reach kept weights only."""

    keep: Tensor

    def __init__(self, keep: Tensor) -> None:
        super().__init__()
        self.register_buffer("keep", keep)

    def forward(self, weight: Tensor) -> Tensor:
        """The masked weights."""
        return weight * self.keep


class Scored(nn.Module):
    """Gives the weights times the 0/1 tensor `hard`; the gradient goes straight through to the scores.

    The method that owns the scores brings `hard` up to date before each forward pass. Scores may be smaller than the
    weights, one a filter, and spread over them; on a bias the scores of the filters are one a unit.
    """

    hard: Tensor

    def __init__(self, scores: Tensor, *, absolute: bool) -> None:
        super().__init__()
        self.scores = nn.Parameter(scores)
        self.absolute = absolute
        self.register_buffer("hard", torch.ones_like(scores))

    @property
    def ranking(self) -> Tensor:
        """What is compared: the scores, or their absolute values; without a gradient."""
        scores = self.scores.detach()
        return scores.abs() if self.absolute else scores

    def forward(self, weight: Tensor) -> Tensor:
        """The weights under the present mask."""
        soft = self.scores.abs() if self.absolute else self.scores
        # soft - soft is exactly 0: the value is `hard`, the derivative is that of the scores
        gate = self.hard + (soft - soft.detach())
        return weight * (gate.flatten() if weight.dim() == 1 else gate)


def attach(slots: Iterable[Slot], parts: Mapping[str, nn.Module]) -> None:
    """Register `parts[name]` on each slot; weights that several modules share stay shared."""
    for slot in slots:
        for module, attribute in slot.owners:
            parametrize.register_parametrization(module, attribute, parts[slot.name], unsafe=True)


def detach(slots: Iterable[Slot], *, bake: bool) -> None:
    """Remove the parametrizations again, leaving the weights untouched, or with `bake` what they gave."""
    for slot in slots:
        values = None
        if bake:
            module, attribute = slot.owners[0]
            values = getattr(module, attribute).detach().clone()
        for module, attribute in slot.owners:
            parametrize.remove_parametrizations(module, attribute, leave_parametrized=False)
        if values is not None:
            with torch.no_grad():
                slot.parameter.copy_(values)


def slots_of(network: nn.Module, mask: Mapping[str, Tensor]) -> dict[str, Slot]:
    """The slots that a mask names.

    Raises
    ------
    InvalidInputError
        If the network has no parameter of a name and shape that the mask has.
    """
    known = {slot.name: slot for slot in all_slots(network)}
    for name, keep in mask.items():
        if name not in known or known[name].parameter.shape != keep.shape:
            raise InvalidInputError(f"the mask belongs to another model: this one has no {name} of {list(keep.shape)}")
    return {name: known[name] for name in mask}


@contextmanager
def masked(network: nn.Module, mask: Mapping[str, Tensor]) -> Iterator[nn.Module]:
    """Put a mask on a model for a while; the weights are untouched, bit by bit, unless they are trained meanwhile.

    Examples
    --------
    >>> layer = nn.Linear(2, 1, bias=False)
    >>> with masked(layer, {"weight": torch.tensor([[True, False]])}):
    ...     bool(layer.weight[0, 1] == 0)
    True
    >>> bool(layer.weight[0, 1] == 0)
    False
    """
    slots = slots_of(network, mask)
    attach(slots.values(), {name: Masked(mask[name].to(slot.parameter.device)) for name, slot in slots.items()})
    try:
        yield network
    finally:
        detach(slots.values(), bake=False)
