"""A scale and an offset for every channel: what a batch norm in evaluation mode computes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["ChannelAffine"]


class ChannelAffine(nn.Module):
    """weight[c] * x[:, c] + bias[c], for inputs [batch, channels, ...] of any rank.

    Attributes
    ----------
    weight, bias : [channels]
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)

    @property
    def channels(self) -> int:
        """How many channels it scales."""
        return self.weight.numel()

    def extra_repr(self) -> str:
        """Shown by print(module)."""
        return f"{self.channels}"

    def forward(self, input: Tensor) -> Tensor:
        """Scale and shift every channel."""
        shape = (-1,) + (1,) * (input.dim() - 2)
        return torch.addcmul(self.bias.reshape(shape), self.weight.reshape(shape), input)
