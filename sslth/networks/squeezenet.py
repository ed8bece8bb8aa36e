"""SqueezeNet, as torchvision names it: fire modules, whose two halves are concatenated."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["Fire", "SqueezeNet", "squeezenet1_0", "squeezenet1_1"]

# fire modules by their squeezing channels, for a width of 64; each half has four times as many; 0 is pooling
_POOL = 0
_LAYOUTS = {
    "1_0": (_POOL, 16, 16, 32, _POOL, 32, 48, 48, 64, _POOL, 64),
    "1_1": (_POOL, 16, 16, _POOL, 32, 32, _POOL, 48, 48, 64, 64),
}


class Fire(nn.Module):
    """A 1x1 convolution to few channels, then 1x1 and 3x3 convolutions side by side, ReLU after each."""

    def __init__(self, inputs: int, squeezed: int, half: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.squeeze_activation = nn.ReLU()
        self.expand1x1 = nn.Conv2d(squeezed, half, 1)
        self.expand1x1_activation = nn.ReLU()
        self.expand3x3 = nn.Conv2d(squeezed, half, 3, padding=1)
        self.expand3x3_activation = nn.ReLU()

    def forward(self, input: Tensor) -> Tensor:
        """float[batch, inputs, height, width] to [batch, 2 * half, height, width]."""
        few = self.squeeze_activation(self.squeeze(input))
        left = self.expand1x1_activation(self.expand1x1(few))
        return torch.cat([left, self.expand3x3_activation(self.expand3x3(few))], 1)


class SqueezeNet(nn.Module):
    """A convolution, fire modules with pooling between them, a 1x1 convolution to the classes, ReLU and the mean.

    Parameters
    ----------
    version : "1_0" or "1_1"
    width : int
        64 for the published sizes; all other channels follow, at least one each.
    classes, channels : int
        Outputs, and channels of the input.
    """

    def __init__(self, version: Literal["1_0", "1_1"], width: int, classes: int, channels: int = 3) -> None:
        super().__init__()
        inputs, size = (max(1, 96 * width // 64), 7) if version == "1_0" else (width, 3)
        self.features = nn.Sequential(nn.Conv2d(channels, inputs, size, stride=2), nn.ReLU())
        for published in _LAYOUTS[version]:
            if published == _POOL:
                self.features.append(nn.MaxPool2d(3, 2, ceil_mode=True))
                continue
            squeezed = max(1, published * width // 64)
            self.features.append(Fire(inputs, squeezed, 4 * squeezed))
            inputs = 8 * squeezed
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Conv2d(inputs, classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d((1, 1))
        )
        for module in self.modules():  # without batch norm the usual small weights would fade out layer by layer
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, input: Tensor) -> Tensor:
        """float[batch, channels, height, width] to scores [batch, classes], which are not negative."""
        return torch.flatten(self.classifier(self.features(input)), 1)


def squeezenet1_0(classes: int = 1000, width: int = 64, channels: int = 3) -> SqueezeNet:
    """Return SqueezeNet 1.0 [IandolaEtAl2016]_ with torchvision's parameter names.

    References
    ----------
    .. [IandolaEtAl2016] F. N. Iandola, S. Han, M. W. Moskewicz, K. Ashraf, W. J. Dally, K. Keutzer, "SqueezeNet:
       AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size", 2016. arXiv:1602.07360

    Examples
    --------
    >>> sum(values.numel() for values in squeezenet1_0().parameters())
    1248424
    """
    return SqueezeNet("1_0", width, classes, channels)


def squeezenet1_1(classes: int = 1000, width: int = 64, channels: int = 3) -> SqueezeNet:
    """Return SqueezeNet 1.1, which pools earlier than [IandolaEtAl2016]_, with torchvision's parameter names.

    References
    ----------
    .. [IandolaEtAl2016] F. N. Iandola, S. Han, M. W. Moskewicz, K. Ashraf, W. J. Dally, K. Keutzer, "SqueezeNet:
       AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size", 2016. arXiv:1602.07360

    Examples
    --------
    >>> sum(values.numel() for values in squeezenet1_1().parameters())
    1235496
    """
    return SqueezeNet("1_1", width, classes, channels)
