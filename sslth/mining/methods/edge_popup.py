"""Edge-popup: scores of frozen random weights, learned straight through the top k."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from sslth.errors import InvalidInputError
from sslth.mining.budgets import layer_counts
from sslth.mining.masks import Mask
from sslth.mining.parametrized import slots_of
from sslth.mining.run import Found, Run
from sslth.mining.scope import Slot
from sslth.mining.scores import Scores
from sslth.mining.seeds import generator
from sslth.mining.selection import choose
from sslth.mining.top_k import MovingTopK
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
        search = PopupSearch(self, run)
        run.train([search.scores.vector, *run.along()], self.training, phase="scores", hooks=search.hooks)
        return search.found()


class PopupSearch:
    """One search: gated weights on the network of a run, and the top k that a step begins with."""

    def __init__(self, method: EdgePopup, run: Run) -> None:
        self.method, self.run = method, run
        self._slots = _filters(run.slots) if method.structured else run.slots
        run.freeze()
        start = {}
        for name, slot in self._slots.items():
            shape = tuple(slot.parameter.shape)
            if method.structured:
                shape = tuple(side if place == slot.filter_dim else 1 for place, side in enumerate(shape))
            bound = 1 / math.sqrt(slot.fan_in)
            start[name] = bound * (2 * torch.rand(shape, generator=generator(run.seed, "scores", name)) - 1)
        self._biases = _biases(run.network, self._slots) if method.structured else {}
        self.scores = Scores(self._slots, start, absolute=True, along=self._biases)
        shapes = {name: tuple(values.shape) for name, values in start.items()}
        counts = layer_counts(shapes, run.keep, method.budget, run.on_empty) if method.budget != "global" else {}
        plain, hard = self.scores.plain, self.scores.hard_by_name
        values = self.scores.by_name if plain else self.scores.rank()
        self._cuts = [
            MovingTopK(values[name], hard[name], count, absolute=plain, shown=self.scores.shown(name))
            for name, count in counts.items()
        ]
        self._refresh()

    @property
    def hooks(self) -> Hooks:
        """The choice of the top k, and gradients straight through it."""
        return Hooks(before_forward=self._refresh, after_backward=self.scores.collect)

    def found(self) -> Found:
        """The mask of the highest scores, with the network's weights left as they were."""
        self._refresh()
        self.scores.detach()
        kept, ranking = self.scores.parts(self.scores.hard > 0), self.scores.rank()
        entries = {name: kept[name].expand(slot.parameter.shape).cpu() for name, slot in self._slots.items()}
        ranked = {name: ranking[name].expand(slot.parameter.shape).cpu() for name, slot in self._slots.items()}
        for name, bias in self._biases.items():
            entries[bias.name] = kept[name].flatten().cpu()
            ranked[bias.name] = ranking[name].flatten().cpu()
        return Found(Mask(entries), ranked)

    def _refresh(self) -> None:
        one_by_one = self._cuts and self.scores.plain
        ranking = {} if one_by_one else self.scores.rank()
        for cut in self._cuts:
            cut.update()
        if not self._cuts:
            for name, chosen in choose(ranking, self.run.keep, "global", self.run.on_empty).items():
                self.scores.hard_by_name[name].copy_(chosen)
        if not one_by_one:
            self.scores.gate()


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
