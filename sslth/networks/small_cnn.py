"""A small convolutional network for 8x8 images."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

__all__ = ["small_cnn"]


def small_cnn(classes: int = 10) -> nn.Sequential:
    """Two 3x3 convolutions, 1 -> 8 -> 16 channels, with bias, ReLU and pooling, and a linear layer.

    For inputs float32[batch, 1, 8, 8]; returns logits float32[batch, classes]. 1,898 weights for ten classes.

    Examples
    --------
    >>> sum(weights.numel() for weights in small_cnn().parameters())
    1898
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 8, 3, padding=1),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(8, 16, 3, padding=1),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            linear=nn.Linear(64, classes),
        )
    )
