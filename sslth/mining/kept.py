"""Training what a mask keeps: what it drops is 0 in the weights themselves, before the first step and after each."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sslth.mining.scope import Slot
from sslth.mining.training import Hooks, Training

__all__ = ["ELEMENTWISE", "holding_zeros"]

# The optimizers of torch whose step of an entry depends on that entry, its gradient and its own past alone.
ELEMENTWISE = frozenset({"ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "SGD"})


def holding_zeros(slots: Mapping[str, Slot], keep: Mapping[str, Tensor], training: Training) -> Hooks:
    """Set to 0 what `keep` drops, and return the hooks that hold it there while `training` moves the rest.

    The kept entries take the same steps as those of weights that are multiplied by the mask when they are read, as
    `Masked` does, bit by bit where the optimizer is one of `ELEMENTWISE`: a network sees the same weights, and the step
    of an entry never looks at others. The product is taken once a step instead of twice, in place. It is taken of the
    weights and not of their gradients because Adam would then draw roots of zeros, which takes several times as long
    on some processors. Other optimizers get the masked gradients as well.

    The weights that are dropped are lost: train a copy where they matter.

    Parameters
    ----------
    slots : mapping of Slot
        The masked parameters.
    keep : mapping of bool tensors
        Of the same names and shapes, True for kept.

    Examples
    --------
    >>> from sslth.mining.scope import Scope, masked_slots
    >>> layer = torch.nn.Linear(2, 1)
    >>> hooks = holding_zeros(masked_slots(layer, Scope()), {"weight": torch.tensor([[True, False]])}, Training())
    >>> bool(layer.weight[0, 1] == 0)
    True
    """
    weights = [slot.parameter for slot in slots.values()]
    # 0.0 and 1.0: multiplying by bool takes three times as long
    kept = [keep[name].to(slot.parameter) for name, slot in slots.items()]

    @torch.no_grad()
    def zero_weights(*_step: int) -> None:
        for weight, ones in zip(weights, kept, strict=True):
            weight.mul_(ones)

    @torch.no_grad()
    def zero_gradients() -> None:
        for weight, ones in zip(weights, kept, strict=True):
            if weight.grad is not None:
                weight.grad.mul_(ones)

    zero_weights()
    return Hooks(after_backward=None if training.optimizer in ELEMENTWISE else zero_gradients, after_step=zero_weights)
