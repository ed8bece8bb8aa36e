"""Which tensors of a network are masked, and what becomes of the others while scores are learned."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sslth.errors import InvalidInputError

__all__ = ["Scope", "Slot", "all_slots", "masked_slots", "trained_along", "zero_biases"]

_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


@dataclass(frozen=True)
class Scope:
    """What is masked. Weights are parameters with at least two dimensions; the rest is by explicit choice.

    The budget counts masked tensors only. All that is not masked is finetuned with the rest, except zero biases.

    Attributes
    ----------
    biases : str
        While scores are learned: "frozen" as they are, "trained" along with them, "masked" and counted, or "zero":
        set to 0 and left there, in finetuning too.
    norms : str
        The parameters of normalisation layers: "frozen", "trained" or "masked".
    first, last : str
        The first and the last weight, in the order in which the network registers them: "masked", or "dense".
    exclude : tuple of str
        Names of parameters to leave dense.
    reestimate : bool
        Whether batch norms measure their mean and variance again, in one pass over the training part, before a
        masked network is evaluated; otherwise they keep the running ones.
    """

    biases: Literal["frozen", "trained", "masked", "zero"] = "frozen"
    norms: Literal["frozen", "trained", "masked"] = "frozen"
    first: Literal["masked", "dense"] = "masked"
    last: Literal["masked", "dense"] = "masked"
    exclude: tuple[str, ...] = ()
    reestimate: bool = False

    def __post_init__(self) -> None:
        allowed = {
            "biases": ("frozen", "trained", "masked", "zero"),
            "norms": ("frozen", "trained", "masked"),
            "first": ("masked", "dense"),
            "last": ("masked", "dense"),
        }
        for field, values in allowed.items():
            if getattr(self, field) not in values:
                raise InvalidInputError(f"{field} is {getattr(self, field)!r}; choose one of {', '.join(values)}")


@dataclass(frozen=True, eq=False)
class Slot:
    """A parameter, and every (module, attribute) that holds it."""

    name: str
    parameter: nn.Parameter
    owners: tuple[tuple[nn.Module, str], ...]

    @property
    def filter_dim(self) -> int:
        """The dimension that counts filters: 1 in transposed convolutions, 0 everywhere else."""
        return int(isinstance(self.owners[0][0], nn.modules.conv._ConvTransposeNd))

    @property
    def fan_in(self) -> int:
        """Inputs of one unit; for a bias its length."""
        shape = self.parameter.shape
        if len(shape) < 2:
            return shape[0] if shape else 1
        return shape[1 - self.filter_dim] * math.prod(shape[2:])


def masked_slots(network: nn.Module, scope: Scope) -> dict[str, Slot]:
    """The parameters that the scope masks, by name, in the order of the network.

    Raises
    ------
    InvalidInputError
        If none is left, `exclude` names what is not there, or a weight is parametrized already.
    """
    slots, weights = {}, []
    for slot in all_slots(network):
        module, attribute = slot.owners[0]
        if parametrize.is_parametrized(module) or isinstance(module, parametrize.ParametrizationList):
            owner = slot.name.rpartition(".")[0].partition(".parametrizations")[0] or "the model"
            raise InvalidInputError(f"a tensor of {owner} is parametrized already; remove that parametrization first")
        if isinstance(module, _NORMS):
            wanted = scope.norms == "masked"
        elif slot.parameter.dim() >= 2:
            wanted = True
            weights.append(slot.name)
        else:
            wanted = _is_bias(attribute) and scope.biases == "masked"
        if wanted:
            slots[slot.name] = slot
    unknown = sorted(set(scope.exclude) - {name for name, _ in network.named_parameters()})
    if unknown:
        raise InvalidInputError(f"exclude names {unknown[0]!r}, which the network does not have")
    dense = set(scope.exclude)
    if weights and scope.first == "dense":
        dense.add(weights[0])
    if weights and scope.last == "dense":
        dense.add(weights[-1])
    slots = {name: slot for name, slot in slots.items() if name not in dense}
    if not slots:
        raise InvalidInputError("nothing is left to mask: the scope leaves every weight of the network dense")
    return slots


def trained_along(network: nn.Module, scope: Scope, slots: dict[str, Slot]) -> list[nn.Parameter]:
    """The parameters that a search of frozen weights trains besides the scores."""
    found = []
    for slot in all_slots(network):
        module, attribute = slot.owners[0]
        choice = scope.norms if isinstance(module, _NORMS) else scope.biases if _is_bias(attribute) else "frozen"
        if choice == "trained" and slot.name not in slots:
            found.append(slot.parameter)
    return found


def zero_biases(network: nn.Module, scope: Scope) -> list[nn.Parameter]:
    """Set the biases to 0 where the scope says so, and return them: they are never trained."""
    if scope.biases != "zero":
        return []
    found = []
    for slot in all_slots(network):
        module, attribute = slot.owners[0]
        if _is_bias(attribute) and not isinstance(module, _NORMS):
            with torch.no_grad():
                slot.parameter.zero_()
            found.append(slot.parameter)
    return found


def _is_bias(attribute: str) -> bool:
    return attribute == "bias" or attribute.endswith("_bias") or attribute.startswith("bias_")


def all_slots(network: nn.Module) -> list[Slot]:
    """Every parameter, once, with all modules that hold it."""
    owners: dict[int, list[tuple[nn.Module, str]]] = {}
    names: dict[int, tuple[str, Tensor]] = {}
    for path, module in network.named_modules():
        for attribute, parameter in module.named_parameters(recurse=False):
            name = f"{path}.{attribute}" if path else attribute
            names.setdefault(id(parameter), (name, parameter))
            owners.setdefault(id(parameter), []).append((module, attribute))
    slots = []
    for key, (name, parameter) in names.items():
        assert isinstance(parameter, nn.Parameter)
        slots.append(Slot(name, parameter, tuple(owners[key])))
    return slots
