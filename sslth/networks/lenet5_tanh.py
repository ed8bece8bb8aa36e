"""LeNet-5 with tanh and mean pooling, for 32x32 images."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

__all__ = ["lenet5_tanh"]


def lenet5_tanh(classes: int = 10, width: int = 6, channels: int = 1) -> nn.Sequential:
    """Return a LeNet-5 after [LeCunEtAl1998]_: tanh and mean pooling, with every map of C3 reading all maps of S2.

    For inputs float32[batch, channels, 32, 32]; returns logits float32[batch, classes]. The layers have width,
    8/3 width, 20 width and 14 width channels, 6, 16, 120 and 84 at the published size. Unlike there, pooling has no
    weights and the last layer is linear.

    References
    ----------
    .. [LeCunEtAl1998] Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
       recognition", Proceedings of the IEEE 86, 1998. doi:10.1109/5.726791

    Examples
    --------
    >>> sum(values.numel() for values in lenet5_tanh().parameters())
    61706
    """
    second, third, fourth = 8 * width // 3, 20 * width, 14 * width
    return nn.Sequential(
        OrderedDict(
            c1=nn.Conv2d(channels, width, 5),
            tanh1=nn.Tanh(),
            s2=nn.AvgPool2d(2),
            c3=nn.Conv2d(width, second, 5),
            tanh3=nn.Tanh(),
            s4=nn.AvgPool2d(2),
            c5=nn.Conv2d(second, third, 5),
            tanh5=nn.Tanh(),
            flatten=nn.Flatten(),
            f6=nn.Linear(third, fourth),
            tanh6=nn.Tanh(),
            output=nn.Linear(fourth, classes),
        )
    )
