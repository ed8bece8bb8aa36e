"""Conv-2, Conv-4 and Conv-6: VGG in small, for images of CIFAR's shape."""

from __future__ import annotations

from torch import nn

__all__ = ["conv2", "conv4", "conv6"]


def conv2(classes: int = 10, width: int = 64, hidden: int = 256, side: int = 32, channels: int = 3) -> nn.Sequential:
    """Two padded 3x3 convolutions with ReLU, 2x2 max pooling, and three linear layers [FrankleCarbin2019]_ (see `Imp`).

    For inputs float32[batch, channels, side, side]; returns logits float32[batch, classes].

    Parameters
    ----------
    classes : int
    width : int
        Channels of the first convolution.
    hidden : int
        Units of the two hidden linear layers.
    side, channels : int
        Of the images; each pooling halves the side, odd ones rounded down.

    Examples
    --------
    >>> sum(values.numel() for values in conv2().parameters() if values.dim() > 1)
    4300992
    """
    return _conv(1, classes, width, hidden, side, channels)


def conv4(classes: int = 10, width: int = 64, hidden: int = 256, side: int = 32, channels: int = 3) -> nn.Sequential:
    """The same with two such pairs of convolutions, the second of twice the width, each with pooling.

    Examples
    --------
    >>> sum(values.numel() for values in conv4().parameters() if values.dim() > 1)
    2425024
    """
    return _conv(2, classes, width, hidden, side, channels)


def conv6(classes: int = 10, width: int = 64, hidden: int = 256, side: int = 32, channels: int = 3) -> nn.Sequential:
    """The same with three pairs, of once, twice and four times the width.

    Examples
    --------
    >>> sum(values.numel() for values in conv6().parameters() if values.dim() > 1)
    2261184
    """
    return _conv(3, classes, width, hidden, side, channels)


def _conv(pairs: int, classes: int, width: int, hidden: int, side: int, channels: int) -> nn.Sequential:
    network = nn.Sequential()
    inputs = channels
    for pair in range(pairs):
        outputs = width << pair
        for number in (2 * pair + 1, 2 * pair + 2):
            network.add_module(f"conv{number}", nn.Conv2d(inputs, outputs, 3, padding=1))
            network.add_module(f"relu{number}", nn.ReLU())
            inputs = outputs
        network.add_module(f"pool{pair + 1}", nn.MaxPool2d(2))
    network.add_module("flatten", nn.Flatten())
    sizes = (inputs * (side >> pairs) ** 2, hidden, hidden, classes)
    for number in (1, 2, 3):
        network.add_module(f"linear{number}", nn.Linear(sizes[number - 1], sizes[number]))
        if number < 3:
            network.add_module(f"relu{2 * pairs + number}", nn.ReLU())
    return network
