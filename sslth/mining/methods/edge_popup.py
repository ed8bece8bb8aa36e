"""Edge-popup: scores of frozen random weights, learned straight through the top k."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from sslth.errors import InvalidInputError
from sslth.mining.masks import Mask
from sslth.mining.parametrized import Scored, attach, detach, slots_of
from sslth.mining.run import Found, Run
from sslth.mining.scope import Slot
from sslth.mining.seeds import generator
from sslth.mining.selection import choose
from sslth.mining.training import Hooks, Training

__all__ = ["EdgePopup"]


_SCORES = Training("SGD", 1.0, momentum=0.9, weight_decay=1e-4)  # the rate: see `GemMiner`; the paper's is .1


@dataclass(frozen=True)
class EdgePopup:
    """Learns a score for each frozen random weight, or filter, and keeps the highest absolute ones.

    The forward pass uses the top k of the absolute scores; the gradient goes straight through to the scores
    [RamanujanEtAl2020]_. Weights never change before finetuning.

    Attributes
    ----------
    weights : str
        "signed_constant", "kaiming_normal" or "as_given".
    scale_keep : bool
        Divide the variance of the weights by `keep`, as their paper does for sparse masks.
    structured : bool
        One score a filter, which is kept or dropped whole with its bias; the last weight stays dense, because its
        filters are the outputs. `keep` is then the share of filters.
    budget : str
        "uniform", another layerwise budget, or "global".
    training : Training
        Of the scores.

    References
    ----------
    .. [RamanujanEtAl2020] V. Ramanujan, M. Wortsman, A. Kembhavi, A. Farhadi, M. Rastegari, "What's Hidden in a
       Randomly Weighted Neural Network?", CVPR 2020. doi:10.1109/CVPR42600.2020.01191
    """

    weights: str = "signed_constant"
    scale_keep: bool = False
    structured: bool = False
    budget: str = "uniform"
    training: Training = _SCORES
    name: ClassVar[str] = "edge_popup"

    def search(self, run: Run) -> Found:
        """Train the scores for the run's epochs."""
        slots = _filters(run.slots) if self.structured else run.slots
        run.freeze()
        parts: dict[str, Scored] = {}
        for name, slot in slots.items():
            shape = tuple(slot.parameter.shape)
            if self.structured:
                shape = tuple(side if place == slot.filter_dim else 1 for place, side in enumerate(shape))
            bound = 1 / math.sqrt(slot.fan_in)
            drawn = torch.rand(shape, generator=generator(run.seed, "scores", name))
            parts[name] = Scored(bound * (2 * drawn - 1), absolute=True).to(run.device)
        biases = _biases(run.network, slots) if self.structured else {}
        attach(slots.values(), parts)
        attach(biases.values(), {bias.name: parts[name] for name, bias in biases.items()})
        kept: dict[str, Tensor] = {}

        def refresh() -> None:
            ranking = {name: part.ranking for name, part in parts.items()}
            for name, chosen in choose(ranking, run.keep, self.budget, run.on_empty).items():
                kept[name] = chosen
                parts[name].hard.copy_(chosen)

        refresh()
        scores: list[nn.Parameter] = [part.scores for part in parts.values()]
        run.train([*scores, *run.along()], self.training, phase="scores", hooks=Hooks(before_forward=refresh))
        refresh()
        detach([*slots.values(), *biases.values()], bake=False)
        entries = {name: chosen.expand(slots[name].parameter.shape).cpu() for name, chosen in kept.items()}
        ranked = {name: parts[name].ranking.expand(slot.parameter.shape).cpu() for name, slot in slots.items()}
        for name, bias in biases.items():
            entries[bias.name] = kept[name].flatten().cpu()
            ranked[bias.name] = parts[name].ranking.flatten().cpu()
        return Found(Mask(entries), ranked)


def _filters(slots: dict[str, Slot]) -> dict[str, Slot]:
    """The weights whose filters may go: all but the last."""
    weights = [name for name, slot in slots.items() if slot.parameter.dim() >= 2]
    for name in weights[:-1]:
        module = slots[name].owners[0][0]
        if slots[name].filter_dim == 1 and getattr(module, "groups", 1) > 1:
            raise InvalidInputError(f"{name} is a grouped transposed convolution: its filters are not one dimension")
    if len(weights) < 2:
        raise InvalidInputError("structured edge-popup needs two weights: the last one stays dense")
    return {name: slots[name] for name in weights[:-1]}


def _biases(network: nn.Module, slots: dict[str, Slot]) -> dict[str, Slot]:
    """For each weight the bias of the same module, where it has one."""
    found = {}
    for name, slot in slots.items():
        bias = getattr(slot.owners[0][0], "bias", None)
        if isinstance(bias, nn.Parameter):
            path = f"{name.rpartition('.')[0]}.bias".lstrip(".")
            found[name] = slots_of(network, {path: bias})[path]
    return found
