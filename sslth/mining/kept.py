"""Training what a mask keeps: what it drops is 0 in the weights themselves, before the first step and after each."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sslth.mining.scope import Slot
from sslth.mining.training import Hooks, Training

__all__ = ["ELEMENTWISE", "trained_under"]

# The optimizers of torch whose step of an entry depends on that entry, its gradient and its own past alone.
ELEMENTWISE = frozenset({"ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "SGD"})

# Kept entries are copied out and back where they are at most this share of so many: it takes some 4 ns for each, and
# to multiply and to go through the optimizer 1 ns for every entry there is, or 3 with Adam.
_SHARE, _LARGE = 0.25, 1 << 14


def trained_under(
    network: nn.Module, slots: Mapping[str, Slot], keep: Mapping[str, Tensor], training: Training
) -> tuple[list[nn.Parameter], Hooks]:
    """Set to 0 what `keep` drops; return what an optimizer trains, and the hooks that leave the rest as it is.

    The kept entries take the same steps as those of weights that are multiplied by the mask when they are read, as
    `Masked` does, bit by bit where the optimizer is one of `ELEMENTWISE`: a network sees the same weights, and the step
    of an entry never looks at others. Of a large weight that keeps little, the optimizer gets the vector of its kept
    entries, so that its time and memory are theirs. Other weights it gets as they are, and what is dropped is set to 0
    again after each step. Optimizers that look at more than an entry get whole weights and masked gradients.

    The weights that are dropped are lost: train a copy where they matter.

    Parameters
    ----------
    network : Module
    slots : mapping of Slot
        The masked parameters of the network.
    keep : mapping of bool tensors
        Of the same names and shapes, True for kept.
    training : Training
        It builds the optimizer.

    Examples
    --------
    >>> from sslth.mining.scope import Scope, masked_slots
    >>> layer = torch.nn.Linear(2, 1)
    >>> slots, mask = masked_slots(layer, Scope()), {"weight": torch.tensor([[True, False]])}
    >>> parameters, hooks = trained_under(layer, slots, mask, Training())
    >>> bool(layer.weight[0, 1] == 0), len(parameters)
    (True, 2)
    """
    by_entry = training.optimizer in ELEMENTWISE
    few, many = {}, []
    for name, slot in slots.items():
        weight, kept = slot.parameter, keep[name].to(slot.parameter.device)
        little = int(kept.count_nonzero()) <= _SHARE * kept.numel() and kept.numel() >= _LARGE
        with torch.no_grad():
            weight.mul_(kept)
        if by_entry and little and weight.requires_grad and weight.is_contiguous():
            few[weight] = _Few(weight, kept)
        else:
            # 0.0 and 1.0: multiplying by bool takes three times as long
            many.append((weight, kept.to(weight)))

    @torch.no_grad()
    def after_backward() -> None:
        for part in few.values():
            part.take()
        if not by_entry:
            for weight, ones in many:
                if weight.grad is not None:
                    weight.grad.mul_(ones)

    @torch.no_grad()
    def after_step(*_step: int) -> None:
        for part in few.values():
            part.put()
        for weight, ones in many:
            weight.mul_(ones)

    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    parameters = [few[parameter].vector if parameter in few else parameter for parameter in trained]
    return parameters, Hooks(after_backward=after_backward, after_step=after_step)


class _Few:
    """The kept entries of a weight, trained as a vector of their own."""

    def __init__(self, weight: nn.Parameter, kept: Tensor) -> None:
        self._weight, self._places = weight, kept.flatten().nonzero().flatten()
        self.vector = nn.Parameter(weight.detach().view(-1)[self._places])

    def take(self) -> None:
        """The entries and their gradients, after the backward pass; a checkpoint may have written the weight."""
        gradient, self._weight.grad = self._weight.grad, None
        torch.index_select(self._weight.view(-1), 0, self._places, out=self.vector)
        self.vector.grad = None if gradient is None else gradient.view(-1).index_select(0, self._places)

    def put(self) -> None:
        """The entries back, after the step."""
        self._weight.view(-1).index_copy_(0, self._places, self.vector)
