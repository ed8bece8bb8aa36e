"""A constant input channel, one a group: what its kernel adds to a layer's output, zero padding included."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, fx, nn

from sslth.cnn.layers import Wiring, empty_module
from sslth.cnn.operation import convolve, pad_input, window_rank

__all__ = ["WithConstantChannel", "constant_image", "ones_for"]


def ones_for(x: Tensor, wiring: Wiring) -> Tensor:
    """Return the constant channels [1, groups, *spatial] that go with an input x, as `pad_input` leaves them."""
    return pad_input(x.new_ones((1, wiring.groups, *_spatial(x, wiring))), wiring.constant_channel)


def constant_image(x: Tensor, kernel: Tensor, wiring: Wiring) -> Tensor:
    """Return what the kernel of the constant channel adds to the output for the input x, batched or not.

    Parameters
    ----------
    x : Tensor[(batch,) c_in, *spatial]
        For its shape and dtype; before any padding.
    kernel : Tensor, the weight shape of `wiring.constant_channel`

    Returns
    -------
    Tensor[1, c_out, *spatial], without the batch where x has none
    """
    image = convolve(ones_for(x, wiring), kernel, wiring.constant_channel, wiring.groups)
    return image if x.dim() == window_rank(wiring) + 2 else image[0]


def _spatial(x: Tensor, wiring: Wiring) -> Sequence[int]:
    return x.shape[-window_rank(wiring) :]


@fx.wrap  # the number of axes decides, which a traced input does not tell
def _ones_beside(x: Tensor, rank: int, groups: int) -> Tensor:
    """One image of ones in the size of x, batched if x is."""
    ones = torch.ones_like(x.narrow(-rank - 1, 0, groups))
    return ones if x.dim() == rank + 1 else ones[:1]


class WithConstantChannel(nn.Module):
    """A layer, plus the kernel of a constant input channel: the same window, padded by zeros as the input is."""

    def __init__(self, layer: nn.Module, wiring: Wiring, kernel: Tensor) -> None:
        super().__init__()
        self.layer = layer
        self.constant = empty_module(wiring.constant_channel)
        self.constant.weight = nn.Parameter(kernel)
        self._groups = wiring.groups
        self._rank = window_rank(wiring)

    def forward(self, input: Tensor) -> Tensor:
        """Apply both; the input as the target's layer takes it."""
        out: Tensor = self.layer(input) + self.constant(_ones_beside(input, self._rank, self._groups))
        return out
