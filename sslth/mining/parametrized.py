"""Masks on a model that stays the user's: every masked tensor is computed from its weights when it is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sslth.errors import InvalidInputError
from sslth.mining.scope import Slot, all_slots

__all__ = ["Masked", "OnlyKept", "attach", "detach", "masked"]


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


class OnlyKept(nn.Module):
    """Makes weights of the kept entries and 0 elsewhere; the parameter of a module is the vector of the kept ones.

    `Masked` leaves the dropped weights on the model, and the optimizer goes over them with gradients of 0, of which
    Adam draws roots. Here they are gone: time and memory of an optimizer are those of the kept entries. Entries take
    the same steps, where a step of one does not depend on others.

    Examples
    --------
    >>> layer = nn.Linear(2, 1, bias=False)
    >>> weight = layer.weight.detach().clone()
    >>> _ = parametrize.register_parametrization(layer, "weight", OnlyKept(torch.tensor([[False, True]])), unsafe=True)
    >>> [tuple(parameter.shape) for parameter in layer.parameters()]
    [(1,)]
    >>> bool((layer.weight == weight * torch.tensor([[0.0, 1.0]])).all())
    True
    """

    places: Tensor

    def __init__(self, keep: Tensor) -> None:
        super().__init__()
        self.shape, self._size = keep.shape, keep.numel()
        self.register_buffer("places", keep.flatten().nonzero().flatten())

    def forward(self, kept: Tensor) -> Tensor:
        """The weights."""
        return kept.new_zeros(self._size).scatter_(0, self.places, kept).view(self.shape)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The kept entries of weights; those of a shared parameter have been taken when the next module asks."""
        if weight.shape != self.shape and weight.shape == self.places.shape:
            return weight
        return weight.flatten()[self.places]


def attach(slots: Iterable[Slot], parts: Mapping[str, nn.Module], shown: Mapping[str, Tensor] | None = None) -> None:
    """Register `parts[name]` on each slot; weights that several modules share stay shared.

    Parameters
    ----------
    slots : iterable of Slot
    parts : mapping of Module
        By the names of the slots.
    shown : mapping of Tensor, optional
        What the parts return, where it is the same tensor whatever they are given: modules then read it at once, in a
        hundredth of the time, which small networks notice.
    """
    for slot in slots:
        for module, attribute in slot.owners:
            parametrize.register_parametrization(module, attribute, parts[slot.name], unsafe=True)
            if shown is not None:
                _show(module, attribute, shown[slot.name])


def detach(slots: Iterable[Slot]) -> None:
    """Remove the parametrizations again, leaving the weights untouched."""
    for slot in slots:
        for module, attribute in slot.owners:
            parametrize.remove_parametrizations(module, attribute, leave_parametrized=False)
            module.__dict__.pop(_place(attribute), None)


def _show(module: nn.Module, attribute: str, tensor: Tensor) -> None:
    place = _place(attribute)

    def read(self: nn.Module) -> Tensor:
        tensor: Tensor = getattr(self, place)
        return tensor

    setattr(module, place, tensor)
    # the class is the module's own: torch made it for its property, which this one replaces
    setattr(type(module), attribute, property(read))


def _place(attribute: str) -> str:
    return f"_shown_{attribute}"


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
