"""A convolutional network for signals of one axis."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["CNN1d", "cnn1d"]


class CNN1d(nn.Module):
    """Three convolutions, with stride, dilation and groups, batch norm before and after ReLU, functional pooling."""

    def __init__(self, classes: int, width: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(channels, width, 9, stride=2, padding=4)
        self.bn1 = nn.BatchNorm1d(width)
        self.conv2 = nn.Conv1d(width, 2 * width, 5, dilation=2, padding=4)
        self.bn2 = nn.BatchNorm1d(2 * width)  # after the ReLU: it cannot be folded
        self.conv3 = nn.Conv1d(2 * width, 2 * width, 3, groups=2, padding=1, bias=False)
        self.bn3 = nn.BatchNorm1d(2 * width)
        self.fc = nn.Linear(8 * width, classes)

    def forward(self, input: Tensor) -> Tensor:
        """float[batch, channels, samples], at least 16 samples, to logits [batch, classes]."""
        out = F.max_pool1d(F.relu(self.bn1(self.conv1(input))), 3, 2, ceil_mode=True)
        out = self.bn2(F.relu(self.conv2(out)))
        out = F.leaky_relu(self.bn3(self.conv3(out)), 0.1)
        logits: Tensor = self.fc(torch.flatten(F.adaptive_avg_pool1d(out, 4), 1))
        return logits


def cnn1d(classes: int = 10, width: int = 16, channels: int = 1) -> CNN1d:
    """Return a 1-D CNN; one of its batch norms follows a ReLU and so stays a layer of its own in a ticket.

    Examples
    --------
    >>> sum(values.numel() for values in cnn1d().parameters())
    5738
    """
    return CNN1d(classes, width, channels)
