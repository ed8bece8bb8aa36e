"""SNIP: connection sensitivity at initialisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from sslth.errors import InvalidInputError
from sslth.mining.masks import Mask
from sslth.mining.run import Found, Run
from sslth.mining.seeds import generator, stream
from sslth.mining.selection import choose

__all__ = ["Snip"]


@dataclass(frozen=True)
class Snip:
    """Keeps the entries whose removal would change the loss most at initialisation, by |gradient x weight|.

    Source: [LeeEtAl2019]_.

    Attributes
    ----------
    examples : int
        Of the training part, drawn at random, on which the gradient is taken in one batch; all if there are fewer.
    budget : str
        "global" or the name of a layerwise one.

    References
    ----------
    .. [LeeEtAl2019] N. Lee, T. Ajanthan, P. H. S. Torr, "SNIP: Single-shot Network Pruning based on Connection
       Sensitivity", ICLR 2019. arXiv:1810.02340
    """

    examples: int = 128
    budget: str = "global"
    name: ClassVar[str] = "snip"

    def __post_init__(self) -> None:
        if self.examples < 1:
            raise InvalidInputError(f"examples is {self.examples}; SNIP needs at least one")

    def search(self, run: Run) -> Found:
        """One gradient."""
        rows = torch.randperm(len(run.train_part), generator=generator(run.seed, "snip"))[: self.examples]
        run.network.train()
        state = {name: value.clone() for name, value in run.network.state_dict().items()}
        parameters = [slot.parameter for slot in run.slots.values()]
        wanted = [parameter.requires_grad for parameter in parameters]
        for parameter in parameters:
            parameter.requires_grad_(True)  # what is frozen for training is scored like the rest
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream(run.seed, "snip", "dropout"))
            outputs = run.network(run.train_part.inputs[rows].to(run.device))
            loss = F.cross_entropy(outputs, run.train_part.labels[rows].to(run.device))
            gradients = torch.autograd.grad(loss, parameters)
        for parameter, choice in zip(parameters, wanted, strict=True):
            parameter.requires_grad_(choice)
        run.network.load_state_dict(state)  # running statistics are as before
        scores = {
            name: (gradient * slot.parameter).detach().abs().cpu()
            for (name, slot), gradient in zip(run.slots.items(), gradients, strict=True)
        }
        return Found(Mask(choose(scores, run.keep, self.budget, run.on_empty)), scores)
