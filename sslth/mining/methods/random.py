"""Random pruning: a mask without any look at weights or data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from sslth.mining.masks import Mask
from sslth.mining.run import Found, Run
from sslth.mining.seeds import generator
from sslth.mining.selection import choose

__all__ = ["Random"]


@dataclass(frozen=True)
class Random:
    """Keeps random entries, a count in each layer by a budget.

    Attributes
    ----------
    budget : str
        "erdos_renyi_kernel", "uniform", "smart_ratio" (see `layer_counts`), or "global".
    """

    budget: str = "erdos_renyi_kernel"
    name: ClassVar[str] = "random"

    def search(self, run: Run) -> Found:
        """Draw one number an entry, and keep the highest of each layer."""
        scores = {
            name: torch.rand(slot.parameter.shape, generator=generator(run.seed, "random", name))
            for name, slot in run.slots.items()
        }
        return Found(Mask(choose(scores, run.keep, self.budget, run.on_empty)), scores)
