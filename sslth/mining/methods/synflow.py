"""SynFlow: iterative pruning that conserves synaptic flow, without data."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sslth.errors import InvalidInputError
from sslth.mining.masks import Mask
from sslth.mining.parametrized import slots_of
from sslth.mining.run import Found, Run
from sslth.mining.selection import choose

__all__ = ["SynFlow"]


@dataclass(frozen=True)
class SynFlow:
    """Keeps the entries that carry most of the flow through the network of absolute weights, in many small rounds.

    R is the sum of the outputs for an input of ones when every parameter is replaced by its absolute value; the score
    of an entry is |entry x dR/d entry|. Round r of `rounds` keeps the share keep^(r / rounds). Data is not looked at,
    only the shape of an input. Computed in float64, batch norms by their running statistics. Source:
    [TanakaEtAl2020]_.

    Attributes
    ----------
    rounds : int
        1 is pruning in one shot, which can empty a layer where more rounds do not.
    budget : str
        "global" or the name of a layerwise one.

    References
    ----------
    .. [TanakaEtAl2020] H. Tanaka, D. Kunin, D. L. K. Yamins, S. Ganguli, "Pruning neural networks without any data by
       iteratively conserving synaptic flow", NeurIPS 2020. arXiv:2006.05467
    """

    rounds: int = 100
    budget: str = "global"
    name: ClassVar[str] = "synflow"

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise InvalidInputError(f"rounds is {self.rounds}; SynFlow needs at least one")

    def search(self, run: Run) -> Found:
        """As many gradients as rounds."""
        network = copy.deepcopy(run.network).double().eval()
        with torch.no_grad():
            for values in [*network.parameters(), *network.buffers()]:
                if values.is_floating_point():
                    values.abs_()
        names = dict.fromkeys(run.slots)
        slots = slots_of(network, {name: torch.ones_like(run.slots[name].parameter) for name in names})
        ones = torch.ones((1, *run.train_part.inputs.shape[1:]), dtype=torch.float64, device=run.device)
        scores: dict[str, Tensor] = {}
        chosen: dict[str, Tensor] | None = None
        for number in range(1, self.rounds + 1):
            parameters = [slot.parameter for slot in slots.values()]
            for parameter in parameters:
                parameter.requires_grad_(True)
            gradients = torch.autograd.grad(network(ones).sum(), parameters)
            flow = {
                name: (gradient * slot.parameter).detach().abs().cpu()
                for (name, slot), gradient in zip(slots.items(), gradients, strict=True)
            }
            largest = max(float(values.max()) for values in flow.values()) or 1.0
            for name, values in flow.items():
                # an entry keeps the score of the last round that it lived in, and later rounds rank higher
                fresh = number - 1 + values / (2 * largest)
                scores[name] = fresh if chosen is None else torch.where(chosen[name], fresh, scores[name])
            chosen = choose(flow, run.keep, self.budget, run.on_empty, allowed=chosen, fraction=number / self.rounds)
            with torch.no_grad():
                for name, slot in slots.items():
                    slot.parameter.mul_(chosen[name].to(slot.parameter.device))
        assert chosen is not None
        return Found(Mask(chosen), scores)
