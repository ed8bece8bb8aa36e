"""Residual networks: ResNet-18 as torchvision names it, and ResNet-20, the form for small images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["BasicBlock", "ResNet", "ZeroPadded", "resnet18", "resnet20"]


class ZeroPadded(nn.Module):
    """A shortcut without weights: every stride-th pixel, and channels of zeros behind the others (option A)."""

    def __init__(self, more_channels: int, stride: int) -> None:
        super().__init__()
        self.more_channels = more_channels
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        """float[batch, channels, height, width] to [batch, channels + more_channels, height / stride, ...]."""
        return F.pad(input[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more_channels))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, added to the input or to its shortcut, and a ReLU after the sum."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = shortcut

    def forward(self, input: Tensor) -> Tensor:
        """float[batch, inputs, height, width] to [batch, outputs, height / stride, width / stride]."""
        shortcut = input if self.downsample is None else self.downsample(input)
        inner = self.relu(self.bn1(self.conv1(input)))
        out: Tensor = self.relu(self.bn2(self.conv2(inner)) + shortcut)
        return out


class ResNet(nn.Module):
    """A stem, stages of basic blocks that double the channels and halve the image, a mean and a linear layer.

    Parameters
    ----------
    blocks : sequence of int
        Blocks of every stage.
    width : int
        Channels of the first stage.
    classes, channels : int
        Outputs, and channels of the input.
    small_images : bool
        A 3x3 stem without pooling and shortcuts without weights; otherwise a 7x7 stem with stride 2 and pooling, and
        shortcuts by a 1x1 convolution with batch norm.
    """

    def __init__(
        self, blocks: Sequence[int], width: int, classes: int, *, channels: int = 3, small_images: bool = False
    ) -> None:
        super().__init__()
        size, stride, padding = (3, 1, 1) if small_images else (7, 2, 3)
        self.conv1 = nn.Conv2d(channels, width, size, stride, padding, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.maxpool = nn.Identity() if small_images else nn.MaxPool2d(3, 2, padding=1)
        self.stages = [f"layer{number}" for number in range(1, len(blocks) + 1)]
        inputs = width
        for number, (name, count) in enumerate(zip(self.stages, blocks, strict=True)):
            outputs, stride = width << number, 1 if number == 0 else 2
            stage = nn.Sequential()
            for _ in range(count):
                shortcut = _shortcut(inputs, outputs, stride, small_images)
                stage.append(BasicBlock(inputs, outputs, stride, shortcut))
                inputs, stride = outputs, 1
            self.add_module(name, stage)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, input: Tensor) -> Tensor:
        """float[batch, channels, height, width] to logits [batch, classes]."""
        out = self.maxpool(self.relu(self.bn1(self.conv1(input))))
        for name in self.stages:
            out = self.get_submodule(name)(out)
        logits: Tensor = self.fc(torch.flatten(self.avgpool(out), 1))
        return logits


def _shortcut(inputs: int, outputs: int, stride: int, small_images: bool) -> nn.Module | None:
    if inputs == outputs and stride == 1:
        return None
    if small_images:
        return ZeroPadded(outputs - inputs, stride)
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def resnet18(classes: int = 1000, width: int = 64, channels: int = 3) -> ResNet:
    """Return ResNet-18 [HeEtAl2016]_ with torchvision's parameter names; images of at least 32x32.

    References
    ----------
    .. [HeEtAl2016] K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016.
       doi:10.1109/CVPR.2016.90

    Examples
    --------
    >>> sum(values.numel() for values in resnet18().parameters())
    11689512
    """
    return ResNet((2, 2, 2, 2), width, classes, channels=channels)


def resnet20(classes: int = 10, width: int = 16, channels: int = 3) -> ResNet:
    """Return ResNet-20, the form of [HeEtAl2016]_ for CIFAR, with shortcuts without weights; images of any size.

    The paper's table gives .27 million parameters. Names follow those of `resnet18`.

    References
    ----------
    .. [HeEtAl2016] K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016.
       doi:10.1109/CVPR.2016.90

    Examples
    --------
    >>> sum(values.numel() for values in resnet20().parameters())
    269722
    """
    return ResNet((3, 3, 3), width, classes, channels=channels, small_images=True)
