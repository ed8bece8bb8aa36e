"""VGG-11 with batch norm, as torchvision names it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["VGG", "vgg11_bn"]

_POOL = 0
_VGG11 = (1, _POOL, 2, _POOL, 4, 4, _POOL, 8, 8, _POOL, 8, 8, _POOL)  # channels, in units of the width


class VGG(nn.Module):
    """3x3 convolutions with batch norm and ReLU, 2x2 max pooling between them, and three linear layers.

    Parameters
    ----------
    width : int
        Channels of the first convolution; the last ones have eight times as many.
    hidden : int
        Units of the two hidden linear layers.
    pooled : int
        Side of the image that the linear layers see.
    classes, channels : int
        Outputs, and channels of the input.
    """

    def __init__(self, width: int, hidden: int, pooled: int, classes: int, channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential()
        inputs = channels
        for factor in _VGG11:
            if factor == _POOL:
                self.features.append(nn.MaxPool2d(2))
                continue
            outputs = factor * width
            for layer in (nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()):
                self.features.append(layer)
            inputs = outputs
        self.avgpool = nn.AdaptiveAvgPool2d(pooled)
        self.classifier = nn.Sequential(
            *(nn.Linear(inputs * pooled**2, hidden), nn.ReLU(), nn.Dropout()),
            *(nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout()),
            nn.Linear(hidden, classes),
        )

    def forward(self, input: Tensor) -> Tensor:
        """float[batch, channels, height, width], sides of at least 32, to logits [batch, classes]."""
        logits: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(input)), 1))
        return logits


def vgg11_bn(classes: int = 1000, width: int = 64, hidden: int = 4096, pooled: int = 7, channels: int = 3) -> VGG:
    """Return VGG-11 [SimonyanZisserman2015]_ with batch norm and torchvision's parameter names.

    References
    ----------
    .. [SimonyanZisserman2015] K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
       Recognition", ICLR 2015. arXiv:1409.1556

    Examples
    --------
    >>> with torch.device("meta"):  # half a gigabyte otherwise
    ...     network = vgg11_bn()
    >>> sum(values.numel() for values in network.parameters())
    132868840
    """
    return VGG(width, hidden, pooled, classes, channels)
