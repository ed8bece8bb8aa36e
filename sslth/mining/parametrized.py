"""Masks on a model that stays the user's: every masked tensor is computed from its weights when it is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sslth.errors import InvalidInputError
from sslth.mining.scope import Slot, all_slots

__all__ = ["Masked", "Scored", "attach", "detach", "masked"]


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
        hard, scores = (self.hard, self.scores) if weight.dim() > 1 else (self.hard.flatten(), self.scores.flatten())
        gated: Tensor = _StraightThrough.apply(weight, hard, scores, self.absolute)  # type: ignore[no-untyped-call]
        return gated


class _StraightThrough(torch.autograd.Function):
    """weight * hard, whose derivative by the scores is that of weight * scores, or of weight * |scores|."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, hard: Tensor, scores: Tensor, absolute: bool) -> Tensor:
        ctx.save_for_backward(weight, hard, scores)
        ctx.absolute = absolute
        return weight * hard

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, Tensor | None, None]:
        weight, hard, scores = ctx.saved_tensors
        to_weight = gradient * hard if ctx.needs_input_grad[0] else None
        to_scores = None
        if ctx.needs_input_grad[2]:
            to_scores = (gradient * weight).sum_to_size(scores.shape)
            to_scores = to_scores * scores.sign() if ctx.absolute else to_scores
        return to_weight, None, to_scores, None


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
