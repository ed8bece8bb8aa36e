"""Laws of the frozen weights that masks are looked for in."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from sslth.errors import InvalidInputError
from sslth.mining.scope import Slot
from sslth.mining.seeds import generator

__all__ = ["LAWS", "draw_weights"]

LAWS = ("as_given", "kaiming_normal", "signed_constant")


def draw_weights(slots: Mapping[str, Slot], law: str, seed: int, scale_keep: float = 1.0) -> None:
    """Fill the weights (not biases) of the slots in place.

    "kaiming_normal" is N(0, 2 / fan_in); "signed_constant" is plus or minus its standard deviation. `scale_keep`
    replaces fan_in by fan_in times the share that will be kept. "as_given" changes nothing.

    Source: [RamanujanEtAl2020]_ (see `EdgePopup`).
    """
    if law not in LAWS:
        raise InvalidInputError(f"there is no weight law {law!r}; choose one of {', '.join(LAWS)}")
    if law == "as_given":
        return
    for name, slot in slots.items():
        if slot.parameter.dim() < 2:
            continue
        scale = math.sqrt(2.0 / (slot.fan_in * scale_keep))
        drawn = torch.randn(slot.parameter.shape, generator=generator(seed, "weights", name))
        if law == "signed_constant":
            drawn = torch.where(drawn < 0, -1.0, 1.0)
        with torch.no_grad():
            slot.parameter.copy_(scale * drawn)
