"""Training what a mask keeps."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from sslth.data.splits import Examples, Splits
from sslth.mining.kept import trained_under
from sslth.mining.masks import Mask
from sslth.mining.parametrized import masked, slots_of
from sslth.mining.training import Loop, Training, accuracy, train

__all__ = ["accuracies_under", "finetune", "reestimate", "with_statistics"]


def finetune(
    template: nn.Module,
    start: Mapping[str, Tensor],
    mask: Mask,
    data: Splits,
    training: Training,
    *,
    epochs: int,
    seed: int,
    device: torch.device,
    phase: str = "finetune",
    restore: Callable[[Loop], None] | None = None,
    checkpoint: Callable[[Loop, bool], None] | None = None,
    progress: Callable[[int, int, str], object] | None = None,
) -> tuple[nn.Module, list[dict[str, Any]]]:
    """Train the kept entries, and what is not masked, from the weights `start`; the test part is not looked at.

    Returns the network with zeros where nothing is kept, and the history.
    """
    network = copy.deepcopy(template)
    network.load_state_dict(dict(start))
    network.to(device)
    parameters, hooks = trained_under(network, slots_of(network, mask), mask, training)
    history = train(
        network,
        parameters,
        data.train,
        data.validation,
        training,
        phase=phase,
        epochs=epochs,
        seed=seed,
        device=device,
        hooks=hooks,
        restore=restore,
        checkpoint=checkpoint,
        progress=progress,
    )
    return network.eval(), history


def accuracies_under(network: nn.Module, mask: Mask, data: Splits, device: torch.device) -> dict[str, float]:
    """Validation and test accuracy of a network under a mask."""
    with masked(network, mask):
        return {
            "validation": accuracy(network, data.validation, device),
            "test": accuracy(network, data.test, device),
        }


def with_statistics(network: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """The batch norms that evaluate by a mean and variance of their own."""
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    return [norm for norm in norms if norm.track_running_stats]


@torch.no_grad()
def reestimate(network: nn.Module, mask: Mask | None, data: Examples, device: torch.device, batch_size: int) -> None:
    """Measure the mean and variance of every batch norm again, under a mask or not, in one pass over the data."""
    norms = with_statistics(network)
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average over batches
        norm.train()
    with nullcontext() if mask is None else masked(network, mask):
        for start in range(0, len(data), batch_size):
            if len(data) - start > 1:  # a single example has no variance
                network(data.inputs[start : start + batch_size].to(device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
