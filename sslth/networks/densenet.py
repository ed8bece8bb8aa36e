"""DenseNet, as torchvision names it: batch norm and ReLU before every convolution, all earlier maps concatenated."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["DenseBlock", "DenseLayer", "DenseNet", "densenet121"]

_BOTTLENECK = 4  # the 1x1 convolution of a layer has this many times the growth


class DenseLayer(nn.Module):
    """Batch norm, ReLU, a 1x1 convolution, and the same again with a 3x3 one: `growth` new channels."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        inner = _BOTTLENECK * growth
        self.norm1 = nn.BatchNorm2d(inputs)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(inner)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(inner, growth, 3, padding=1, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """float[batch, inputs, height, width] to [batch, growth, height, width]."""
        inner = self.conv1(self.relu1(self.norm1(input)))
        out: Tensor = self.conv2(self.relu2(self.norm2(inner)))
        return out


class DenseBlock(nn.Module):
    """Layers of which each reads the block's input and what all layers before it have added."""

    def __init__(self, inputs: int, growth: int, layers: int) -> None:
        super().__init__()
        for number in range(layers):
            self.add_module(f"denselayer{number + 1}", DenseLayer(inputs + number * growth, growth))

    def forward(self, input: Tensor) -> Tensor:
        """float[batch, inputs, height, width] to [batch, inputs + layers * growth, height, width]."""
        maps = [input]
        for layer in self.children():
            maps.append(layer(torch.cat(maps, 1)))
        return torch.cat(maps, 1)


class DenseNet(nn.Module):
    """A stem with pooling, dense blocks with halving transitions between them, batch norm, the mean, a linear layer.

    Parameters
    ----------
    layers : sequence of int
        Layers of every block.
    growth : int
        Channels that a layer adds; the stem has twice as many.
    classes, channels : int
        Outputs, and channels of the input.
    """

    def __init__(self, layers: Sequence[int], growth: int, classes: int, channels: int = 3) -> None:
        super().__init__()
        size = 2 * growth
        stem = nn.Conv2d(channels, size, 7, 2, padding=3, bias=False)
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=stem, norm0=nn.BatchNorm2d(size), relu0=nn.ReLU(), pool0=nn.MaxPool2d(3, 2, padding=1)
        )
        for number, count in enumerate(layers, start=1):
            parts[f"denseblock{number}"] = DenseBlock(size, growth, count)
            size += count * growth
            if number < len(layers):
                half = nn.Conv2d(size, size // 2, 1, bias=False)
                transition = OrderedDict(norm=nn.BatchNorm2d(size), relu=nn.ReLU(), conv=half, pool=nn.AvgPool2d(2))
                parts[f"transition{number}"] = nn.Sequential(transition)
                size //= 2
        parts[f"norm{len(layers) + 1}"] = nn.BatchNorm2d(size)
        self.features = nn.Sequential(parts)
        self.classifier = nn.Linear(size, classes)

    def forward(self, input: Tensor) -> Tensor:
        """float[batch, channels, height, width], sides of at least 32 for four blocks, to logits [batch, classes]."""
        pooled = F.adaptive_avg_pool2d(F.relu(self.features(input)), (1, 1))
        logits: Tensor = self.classifier(torch.flatten(pooled, 1))
        return logits


def densenet121(
    classes: int = 1000, growth: int = 32, layers: Sequence[int] = (6, 12, 24, 16), channels: int = 3
) -> DenseNet:
    """Return DenseNet-121 [HuangEtAl2017]_ with torchvision's parameter names, or a smaller one of its kind.

    References
    ----------
    .. [HuangEtAl2017] G. Huang, Z. Liu, L. van der Maaten, K. Q. Weinberger, "Densely Connected Convolutional
       Networks", CVPR 2017. doi:10.1109/CVPR.2017.243

    Examples
    --------
    >>> sum(values.numel() for values in densenet121().parameters())
    7978856
    """
    return DenseNet(layers, growth, classes, channels)
