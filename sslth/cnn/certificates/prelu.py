"""Bounds through a PReLU, whose slope below zero may differ from channel to channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sslth.cnn.certificates.bounds import Enclosure, exact, sharpened
from sslth.cnn.certificates.intervals import Interval, multiply, round_down, round_up

__all__ = ["prelu"]


def prelu(module: nn.PReLU, x: Enclosure) -> Enclosure:
    """Return the enclosure of x for x >= 0 and a x below, with a trained slope a a channel, the same in both networks.

    A difference is a slope, somewhere between x and x̂, times δ. Cost: some operations an entry.

    Examples
    --------
    >>> from sslth.cnn.certificates.bounds import with_shift
    >>> zero, two = torch.zeros(1, 1).double(), 2 * torch.ones(1, 1).double()
    >>> before = with_shift(Interval(-two, two), Interval(zero, 0.5 * two))
    >>> after = prelu(nn.PReLU(), before)  # its slope is 1/4
    >>> after.target.low.item() <= -0.5, round(after.shift.high.item(), 9)
    (True, 1.0)
    """
    steep = exact(module.weight)
    if steep.numel() > 1 and len(x.shape) > 1:
        steep = steep.reshape(1, -1, *(1,) * (len(x.shape) - 2))
    low, high = torch.minimum(x.target.low, x.ticket.low), torch.maximum(x.target.high, x.ticket.high)
    steepest, flattest = steep.clamp(min=1.0), steep.clamp(max=1.0)
    slopes = Interval(
        torch.where(low >= 0, 1.0, torch.where(high <= 0, steep, flattest)),
        torch.where(low >= 0, 1.0, torch.where(high <= 0, steep, steepest)),
    )
    moved = multiply(slopes, x.shift)
    unchanged = (slopes.low == 1) & (slopes.high == 1)  # a factor of one rounds nothing
    still = (x.shift.low == 0) & (x.shift.high == 0)
    shift = Interval(
        torch.where(still, 0.0, torch.where(unchanged, x.shift.low, moved.low)),
        torch.where(still, 0.0, torch.where(unchanged, x.shift.high, moved.high)),
    )
    return sharpened(_image(x.target, steep), _image(x.ticket, steep), shift)


def _image(x: Interval, steep: Tensor) -> Interval:
    """Extremes are at the ends, or at zero for a negative slope."""
    ends = [(torch.where(end >= 0, end, round_down(steep * end)), torch.where(end >= 0, end, round_up(steep * end)))
            for end in (x.low, x.high)]  # fmt: skip
    low, high = torch.minimum(ends[0][0], ends[1][0]), torch.maximum(ends[0][1], ends[1][1])
    return Interval(torch.where((x.low < 0) & (x.high > 0), low.clamp(max=0.0), low), high)
