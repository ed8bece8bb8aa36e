"""A data set of three blobs, a small multilayer network and a small convolutional one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import nn

from sslth.data.splits import Splits, split_arrays


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small only lose by a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def blobs() -> Splits:
    """Three classes, 1x4x4 inputs, 160 to train on."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 84)
    centres = rng.normal(size=(3, 1, 4, 4))
    inputs = centres[labels] + 0.9 * rng.normal(size=(len(labels), 1, 4, 4))
    return split_arrays(inputs, labels)


def _mlp() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 12), nn.ReLU(), nn.Dropout(0.1), nn.Linear(12, 3)
    )


def _conv() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 3),
    )


@pytest.fixture
def mlp() -> Callable[[], nn.Module]:
    """Builds a multilayer network with dropout, 708 weights."""
    return _mlp


@pytest.fixture
def conv() -> Callable[[], nn.Module]:
    """Builds a convolutional network with batch norm, 582 weights."""
    return _conv
