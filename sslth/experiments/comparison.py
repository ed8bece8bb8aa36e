"""Comparing a ticket with its target on inputs: classes, and outputs in float64."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sslth.cnn.ticket import Ticket
from sslth.cnn.trace import tensors_of
from sslth.errors import InvalidInputError
from sslth.experiments.forms import wide_form_fits

__all__ = ["Comparison", "compare", "outputs_of"]

_BATCH = 16  # the wide form has thousands of channels for each of the target's


@dataclass(frozen=True)
class Comparison:
    """What was seen on the inputs; accuracies are None without labels, classes None where there are none.

    Attributes
    ----------
    target_accuracy, ticket_accuracy : float or None
        Share of right classes, in [0, 1]; both networks as they are deployed, in float32.
    agreement : float or None
        Share of inputs that both put into the same class.
    relative_output_error : float
        ‖ticket - target‖₂ / ‖target‖₂ over all outputs, in float64.
    max_output_error : float
        Largest |ticket - target|, in float64.
    form : str
        Of the ticket: "wide", the kept filters as they stand, or "merged" where those would not fit into memory.
    """

    target_accuracy: float | None
    ticket_accuracy: float | None
    agreement: float | None
    relative_output_error: float
    max_output_error: float
    form: str = "wide"


def compare(model: nn.Module, ticket: Ticket, inputs: Tensor, labels: Tensor | None = None) -> Comparison:
    """Run the target and the kept filters on the inputs [m, ...]; labels int64[m]."""
    form = "wide" if wide_form_fits(ticket) else "merged"
    pruned = ticket.to_module(model, merged=form == "merged")
    target = copy.deepcopy(model).cpu().eval()
    own = inputs.to(next(target.parameters()).dtype)
    deployed = inputs.to(torch.float64 if own.dtype == torch.float64 else torch.float32)
    classes = None
    if _gives_classes(target, own):
        classes = [outputs_of(network, x).argmax(dim=1) for network, x in ((target, own), (pruned, deployed))]
    elif labels is not None:
        raise InvalidInputError("labels were given, but the network does not give one list of numbers; leave them out")
    target_outputs = outputs_of(target.double(), inputs.double())
    difference = outputs_of(pruned.double(), inputs.double()) - target_outputs
    size = float(target_outputs.norm())
    accuracies: list[float | None] = [None, None]
    agreement = None
    if classes is not None:
        agreement = float((classes[0] == classes[1]).double().mean())
        if labels is not None:
            if labels.shape != classes[0].shape:
                raise InvalidInputError(f"{len(inputs)} inputs need as many labels, not shape {tuple(labels.shape)}")
            accuracies = [float((found == labels).double().mean()) for found in classes]
    return Comparison(
        target_accuracy=accuracies[0],
        ticket_accuracy=accuracies[1],
        agreement=agreement,
        relative_output_error=float(difference.norm()) / size if size else float(difference.norm()),
        max_output_error=float(difference.abs().max()),
        form=form,
    )


def outputs_of(network: nn.Module, inputs: Tensor) -> Tensor:
    """All outputs of a network side by side: [m, outputs], in its dtype."""
    parts = []
    with torch.no_grad():
        for start in range(0, len(inputs), _BATCH):
            tensors = tensors_of(network(inputs[start : start + _BATCH]))
            if tensors is None:
                raise InvalidInputError("the network returns something else than tensors")
            parts.append(torch.cat([tensor.reshape(len(tensor), -1) for tensor in tensors], dim=1))
    return torch.cat(parts)


def _gives_classes(network: nn.Module, inputs: Tensor) -> bool:
    """Whether its only output is one list of numbers, whose largest is a class: not so with several heads, or maps."""
    with torch.no_grad():
        tensors = tensors_of(network(inputs[:1].clone()))
    if tensors is None or len(tensors) != 1 or tensors[0].dim() < 2:
        return False
    return tensors[0].shape[1] > 1 and tensors[0].shape[2:].numel() == 1
