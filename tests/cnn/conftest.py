"""Networks that several tests share."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import sslth
from sslth.data.digits import Split, load_digits
from sslth.networks.small_cnn import small_cnn
from sslth.networks.training import train_classifier


@pytest.fixture(scope="session")
def digits() -> Split:
    return load_digits()


@pytest.fixture(scope="session")
def trained(digits: Split) -> nn.Module:
    """The demo's network, trained a little less."""
    return train_classifier(small_cnn, digits.train_images, digits.train_labels, epochs=8)


@pytest.fixture(scope="session")
def ticket(trained: nn.Module, digits: Split) -> sslth.Ticket:
    return sslth.extract(trained, digits.test_images[:1], width=2048, seed=1, low=0.0, high=1.0, progress=False)


class Skipping(nn.Module):
    """A forward of its own, strides, padding, dilation, a linear layer, inputs of both signs, a layer used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, stride=2, padding=1)
        self.again = nn.Conv2d(4, 4, (1, 3), padding=(0, 2), dilation=(1, 2), bias=False)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x))
        x = x + self.again(x)
        x = x + self.again(x)
        return self.head(x.mean(dim=(2, 3)))


@pytest.fixture(scope="session")
def skipping() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return Skipping().eval()
