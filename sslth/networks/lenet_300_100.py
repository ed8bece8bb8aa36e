"""LeNet-300-100: three linear layers."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

__all__ = ["lenet_300_100"]


def lenet_300_100(inputs: int = 64, classes: int = 10) -> nn.Sequential:
    """Linear layers to 300, 100 and `classes` units, with bias and ReLU between them.

    For images of `inputs` pixels, 8x8 unless said otherwise, float32[batch, ...]; returns logits
    float32[batch, classes]. With 784 inputs it is the network of [LeCunEtAl1998]_ (see `lenet5_tanh`).

    Examples
    --------
    >>> sum(weights.numel() for weights in lenet_300_100(784).parameters())
    266610
    """
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            linear1=nn.Linear(inputs, 300),
            relu1=nn.ReLU(),
            linear2=nn.Linear(300, 100),
            relu2=nn.ReLU(),
            linear3=nn.Linear(100, classes),
        )
    )
