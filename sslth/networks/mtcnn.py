"""The three networks of the face detector MTCNN: proposals, refinement, output."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["ONet", "PNet", "RNet", "mtcnn"]


class PNet(nn.Module):
    """Proposes faces: a score and four box offsets for every 12x12 window, two pixels apart.

    For inputs float32[batch, 3, height, width] in about [-1, 1], 12 pixels at least; returns logits
    float32[batch, 2, rows, columns] (no face, face) and offsets float32[batch, 4, rows, columns]. 6,632 parameters.
    The names of the parameters are those of the converted weights that travel with `facenet-pytorch`.

    References
    ----------
    .. [ZhangEtAl2016] K. Zhang, Z. Zhang, Z. Li, Y. Qiao, "Joint Face Detection and Alignment Using Multitask Cascaded
       Convolutional Networks", IEEE Signal Processing Letters 23, 2016. doi:10.1109/LSP.2016.2603342

    Examples
    --------
    >>> import torch
    >>> [tuple(head.shape) for head in PNet()(torch.zeros(1, 3, 12, 16))]
    [(1, 2, 1, 3), (1, 4, 1, 3)]
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 10, 3)
        self.prelu1 = nn.PReLU(10)
        self.pool1 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(10, 16, 3)
        self.prelu2 = nn.PReLU(16)
        self.conv3 = nn.Conv2d(16, 32, 3)
        self.prelu3 = nn.PReLU(32)
        self.conv4_1 = nn.Conv2d(32, 2, 1)
        self.conv4_2 = nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and box offsets of every window."""
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.prelu2(self.conv2(x))
        x = self.prelu3(self.conv3(x))
        return self.conv4_1(x), self.conv4_2(x)


class RNet(nn.Module):
    """Refines proposals: a score and four box offsets for a crop.

    For inputs float32[batch, 3, 24, 24]; returns logits float32[batch, 2] and offsets float32[batch, 4].
    100,178 parameters. Source: [ZhangEtAl2016]_ (see `PNet`).

    Examples
    --------
    >>> import torch
    >>> [tuple(head.shape) for head in RNet()(torch.zeros(1, 3, 24, 24))]
    [(1, 2), (1, 4)]
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 28, 3)
        self.prelu1 = nn.PReLU(28)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(28, 48, 3)
        self.prelu2 = nn.PReLU(48)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3 = nn.Conv2d(48, 64, 2)
        self.prelu3 = nn.PReLU(64)
        self.dense4 = nn.Linear(576, 128)
        self.prelu4 = nn.PReLU(128)
        self.dense5_1 = nn.Linear(128, 2)
        self.dense5_2 = nn.Linear(128, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and box offsets of every crop."""
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.prelu3(self.conv3(x))
        x = self.prelu4(self.dense4(column_by_column(x)))
        return self.dense5_1(x), self.dense5_2(x)


class ONet(nn.Module):
    """Decides: a score, four box offsets and five landmarks for a crop.

    For inputs float32[batch, 3, 48, 48]; returns logits float32[batch, 2], offsets float32[batch, 4] and landmarks
    float32[batch, 10], five x and then five y, as shares of the box. 389,040 parameters.
    Source: [ZhangEtAl2016]_ (see `PNet`).

    Examples
    --------
    >>> import torch
    >>> [tuple(head.shape) for head in ONet()(torch.zeros(1, 3, 48, 48))]
    [(1, 2), (1, 4), (1, 10)]
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3)
        self.prelu1 = nn.PReLU(32)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.prelu2 = nn.PReLU(64)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3 = nn.Conv2d(64, 64, 3)
        self.prelu3 = nn.PReLU(64)
        self.pool3 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv4 = nn.Conv2d(64, 128, 2)
        self.prelu4 = nn.PReLU(128)
        self.dense5 = nn.Linear(1152, 256)
        self.prelu5 = nn.PReLU(256)
        self.dense6_1 = nn.Linear(256, 2)
        self.dense6_2 = nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, box offsets and landmarks of every crop."""
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.pool3(self.prelu3(self.conv3(x)))
        x = self.prelu4(self.conv4(x))
        x = self.prelu5(self.dense5(column_by_column(x)))
        return self.dense6_1(x), self.dense6_2(x), self.dense6_3(x)


def column_by_column(x: Tensor) -> Tensor:
    """Flatten [batch, channels, height, width] by columns, then rows, then channels, as the trained weights expect."""
    return x.permute(0, 3, 2, 1).flatten(1)


def mtcnn() -> tuple[PNet, RNet, ONet]:
    """The detector's networks in the order in which they see a picture, untrained."""
    return PNet(), RNet(), ONet()
