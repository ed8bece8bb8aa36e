"""LeNet-5 with ReLU, for 28x28 images."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

__all__ = ["lenet5"]


def lenet5(classes: int = 10) -> nn.Sequential:
    """Two padded 5x5 convolutions, 1 -> 6 -> 16 channels, each with ReLU and 2x2 max pooling, and three linear layers.

    For inputs float32[batch, 1, 28, 28]; returns logits float32[batch, classes]. The convolutions have 2,550 weights
    and 22 biases, the 2,572 parameters of [daCunhaEtAl2022]_.

    References
    ----------
    .. [daCunhaEtAl2022] A. da Cunha, E. Natale, L. Viennot, "Proving the Lottery Ticket Hypothesis for Convolutional
       Neural Networks", ICLR 2022.

    Examples
    --------
    >>> network = lenet5()
    >>> sum(values.numel() for layer in (network.conv1, network.conv2) for values in layer.parameters())
    2572
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 6, 5, padding=2),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(6, 16, 5, padding=2),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            linear1=nn.Linear(784, 120),
            relu3=nn.ReLU(),
            linear2=nn.Linear(120, 84),
            relu4=nn.ReLU(),
            linear3=nn.Linear(84, classes),
        )
    )
