"""MobileNetV2, as torchvision names it: depthwise convolutions, ReLU6, linear bottlenecks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["InvertedResidual", "MobileNetV2", "mobilenet_v2"]

# expansion, channels, blocks, stride of the first block: table 2 of the paper
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def _with_norm(inputs: int, outputs: int, size: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU6())


class InvertedResidual(nn.Module):
    """A 1x1 convolution to more channels, a depthwise 3x3 one, and a 1x1 one back, without activation after it."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.adds_input = stride == 1 and inputs == outputs
        self.conv = nn.Sequential()
        if expansion != 1:
            self.conv.append(_with_norm(inputs, hidden))
        self.conv.append(_with_norm(hidden, hidden, 3, stride, groups=hidden))
        self.conv.append(nn.Conv2d(hidden, outputs, 1, bias=False))
        self.conv.append(nn.BatchNorm2d(outputs))

    def forward(self, input: Tensor) -> Tensor:
        """float[batch, inputs, height, width] to [batch, outputs, height / stride, width / stride]."""
        out: Tensor = self.conv(input)
        return input + out if self.adds_input else out


class MobileNetV2(nn.Module):
    """A convolution, stages of inverted residual blocks, a 1x1 convolution, the mean and a linear layer.

    Parameters
    ----------
    stages : sequence of (expansion, channels, blocks, stride)
    first, last : int
        Channels of the first and the last convolution.
    classes, channels : int
        Outputs, and channels of the input.
    """

    def __init__(
        self, stages: Sequence[tuple[int, int, int, int]], first: int, last: int, classes: int, channels: int = 3
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(_with_norm(channels, first, 3, stride=2))
        inputs = first
        for expansion, outputs, count, stage_stride in stages:
            for number in range(count):
                stride = stage_stride if number == 0 else 1
                self.features.append(InvertedResidual(inputs, outputs, stride, expansion))
                inputs = outputs
        self.features.append(_with_norm(inputs, last))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))

    def forward(self, input: Tensor) -> Tensor:
        """float[batch, channels, height, width] to logits [batch, classes]."""
        pooled = F.adaptive_avg_pool2d(self.features(input), (1, 1))
        logits: Tensor = self.classifier(torch.flatten(pooled, 1))
        return logits


def mobilenet_v2(
    classes: int = 1000, width: float = 1.0, channels: int = 3, *, divisor: int = 8, blocks: int | None = None
) -> MobileNetV2:
    """Return MobileNetV2 [SandlerEtAl2018]_ with torchvision's parameter names.

    `width` scales all channels, which are rounded to a multiple of `divisor`; `blocks` is the most blocks of a stage.

    References
    ----------
    .. [SandlerEtAl2018] M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen, "MobileNetV2: Inverted Residuals and
       Linear Bottlenecks", CVPR 2018. doi:10.1109/CVPR.2018.00474

    Examples
    --------
    >>> sum(values.numel() for values in mobilenet_v2().parameters())
    3504872
    """

    def scaled(count: int) -> int:
        return max(divisor, round(count * width / divisor) * divisor)

    stages = [
        (expansion, scaled(outputs), count if blocks is None else min(count, blocks), stride)
        for expansion, outputs, count, stride in _STAGES
    ]
    return MobileNetV2(stages, scaled(32), scaled(1280), classes, channels)
