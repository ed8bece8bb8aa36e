"""A scale for every channel, and an offset or none: what a batch norm in evaluation mode computes, or a scale alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["ChannelAffine"]


class ChannelAffine(nn.Module):
    """weight[c] * x[:, c] + bias[c], for inputs [batch, channels, ...] of any rank.

    Attributes
    ----------
    weight : [channels]
    bias : [channels] or None
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

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
        if self.bias is None:
            return self.weight.reshape(shape) * input
        return torch.addcmul(self.bias.reshape(shape), self.weight.reshape(shape), input)
