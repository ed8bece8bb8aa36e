"""The linear operation of a wiring, on torch tensors: padding, convolution, and where a bias goes."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sslth.cnn.layers import Wiring

__all__ = ["apply_wiring", "bias_column", "column", "convolve", "convolve_many", "pad_input", "window_rank"]

_CONVOLUTIONS: dict[int, Any] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED: dict[int, Any] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def window_rank(wiring: Wiring) -> int:
    """Axes that the window moves along: 1, 2 or 3; 0 for a layer without a window."""
    return 0 if wiring.pointwise else len(wiring.kernel_size)


def bias_column(values: Tensor, wiring: Wiring, dims: int) -> Tensor:
    """One number a channel, shaped to be added to an output of `dims` axes, the batch included."""
    return column(values, {"linear": 0, "batch_norm": dims - 2}.get(wiring.kind, window_rank(wiring)))


def column(values: Tensor, rank: int) -> Tensor:
    """One number a channel, shaped to be added to [batch, channels, *rank axes]."""
    return values.reshape((-1,) + (1,) * rank)


def pad_input(x: Tensor, wiring: Wiring) -> Tensor:
    """Apply a padding mode other than zeros to the input: a 1x1 convolution commutes with it."""
    if wiring.pointwise or wiring.transposed or wiring.padding_mode == "zeros":
        return x
    sides: list[int] = []  # as F.pad wants them: last axis first
    for axis in reversed(range(window_rank(wiring))):
        if isinstance(wiring.padding, str):
            total = wiring.dilation[axis] * (wiring.kernel_size[axis] - 1) if wiring.padding == "same" else 0
            sides += [total // 2, total - total // 2]
        else:
            sides += [wiring.padding[axis]] * 2
    return F.pad(x, sides, mode=wiring.padding_mode)


def convolve(x: Tensor, kernel: Tensor, wiring: Wiring, groups: int) -> Tensor:
    """The convolution of an input that `pad_input` has seen, with `groups` in place of the wiring's."""
    rank = window_rank(wiring)
    if wiring.transposed:
        return _tensor(
            _TRANSPOSED[rank](
                x, kernel, None, wiring.stride, wiring.padding, wiring.output_padding, groups, wiring.dilation
            )
        )
    padding = wiring.padding if wiring.padding_mode == "zeros" else 0
    return _tensor(_CONVOLUTIONS[rank](x, kernel, None, wiring.stride, padding, wiring.dilation, groups))


def convolve_many(x: Tensor, kernel: Tensor, wiring: Wiring) -> Tensor:
    """The convolution of one group, from many channels to few; kernel [channels, outputs, *kernel_size].

    In float64 torch gathers every window of every channel before it multiplies. Turned around, as the transpose of a
    convolution, it multiplies first and scatters what few outputs get: the same sums in another order, in a seventh of
    the time.
    """
    if wiring.transposed:
        return convolve(x, kernel, wiring, groups=1)
    rank, padding = window_rank(wiring), wiring.padding
    reach = [step * (size - 1) for step, size in zip(wiring.dilation, wiring.kernel_size, strict=True)]
    if isinstance(padding, str) or set(wiring.stride) != {1} or x.dtype != torch.float64 or _is_exported():
        return convolve(x, kernel.transpose(0, 1), wiring, groups=1)
    around = padding if wiring.padding_mode == "zeros" else (0,) * rank
    # a transposed convolution's padding crops the full result, which is longer by the reach on either side
    crop = [most - pad for pad, most in zip(around, reach, strict=True)]
    if min(crop) < 0:
        return convolve(x, kernel.transpose(0, 1), wiring, groups=1)
    flipped = kernel.flip(list(range(2, 2 + rank)))
    return _tensor(_TRANSPOSED[rank](x, flipped, None, 1, crop, 0, 1, wiring.dilation))


def _is_exported() -> bool:
    return bool(torch.compiler.is_compiling())


def apply_wiring(x: Tensor, weight: Tensor, wiring: Wiring) -> Tensor:
    """The layer without its bias, for an input that `pad_input` has seen; bilinear in x and weight."""
    if wiring.kind == "linear":
        return F.linear(x, weight)
    if wiring.kind == "batch_norm":
        return x * column(weight, x.dim() - 2)
    return convolve(x, weight, wiring, wiring.groups)


def _tensor(value: Any) -> Tensor:
    assert isinstance(value, Tensor)
    return value
