"""Training a classifier in the ordinary way, to have a target network."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["train_classifier"]


def train_classifier(
    make_network: Callable[[], nn.Module],
    images: Tensor,
    labels: Tensor,
    *,
    epochs: int = 40,
    batch_size: int = 32,
    learning_rate: float = 3e-3,
    seed: int = 0,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    progress: Callable[[int, int, str], object] | None = None,
) -> nn.Module:
    """Build a network and train it with Adam, a one-cycle rate and cross-entropy; returned in evaluation mode.

    images float32[m, ...], labels int64[m]. The same seed gives the same network on one machine; the global random
    state is left as it was. `augment(batch, generator)` may change every batch of images.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = make_network()
    shuffle = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    steps = -(-len(images) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=epochs * steps)
    network.train()
    for epoch in range(epochs):
        if progress is not None:
            progress(epoch, epochs, "training")
        order = torch.randperm(len(images), generator=shuffle)
        for start in range(0, len(images), batch_size):
            batch = order[start : start + batch_size]
            optimizer.zero_grad()
            inputs = images[batch] if augment is None else augment(images[batch], shuffle)
            loss = F.cross_entropy(network(inputs), labels[batch])
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return network.eval()
