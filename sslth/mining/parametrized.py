"""Masks on a model that stays the user's: every masked tensor is computed from its weights when it is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sslth.errors import InvalidInputError
from sslth.mining.scope import Slot, all_slots

__all__ = ["Masked", "attach", "detach", "masked"]


class Masked(nn.Module):
    """Gives the weights where they are kept and 0 elsewhere; gradients reach kept weights only.

    `keep`, bool, is stored as 0.0 and 1.0: four bytes an entry instead of one, but multiplying by bool takes three
    times as long.
    """

    keep: Tensor

    def __init__(self, keep: Tensor) -> None:
        super().__init__()
        self.register_buffer("keep", keep.to(torch.get_default_dtype()))

    def forward(self, weight: Tensor) -> Tensor:
        """The masked weights."""
        return weight * self.keep.to(weight.dtype)


def attach(slots: Iterable[Slot], parts: Mapping[str, nn.Module]) -> None:
    """Register `parts[name]` on each slot; weights that several modules share stay shared."""
    for slot in slots:
        for module, attribute in slot.owners:
            parametrize.register_parametrization(module, attribute, parts[slot.name], unsafe=True)


def detach(slots: Iterable[Slot]) -> None:
    """Remove the parametrizations again, leaving the weights untouched."""
    for slot in slots:
        for module, attribute in slot.owners:
            parametrize.remove_parametrizations(module, attribute, leave_parametrized=False)


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
        detach(slots.values())
