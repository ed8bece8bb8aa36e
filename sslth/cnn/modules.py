"""The kept filters, and the whole random layer, as torch modules."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslth.cnn.layers import Wiring

__all__ = ["PrunedPair", "RandomPair"]

_TILE_BYTES = 64 << 20


def _pad(x: Tensor, wiring: Wiring) -> tuple[Tensor, tuple[int, int] | str]:
    """Padding modes other than zeros are applied to the input: a 1x1 convolution commutes with them."""
    if wiring.padding_mode == "zeros":
        return x, wiring.padding
    if isinstance(wiring.padding, str):
        total = [
            (d * (k - 1) if wiring.padding == "same" else 0)
            for d, k in zip(wiring.dilation, wiring.kernel_size, strict=True)
        ]
        sides = [(t // 2, t - t // 2) for t in total]
    else:
        sides = [(p, p) for p in wiring.padding]
    return F.pad(x, (*sides[1], *sides[0]), mode=wiring.padding_mode), (0, 0)


class PrunedPair(nn.Module):
    """A 1x1 convolution, a ReLU and a convolution, of kept filters alone; no masks are left.

    Every kept filter reads one input channel, so V is stored as (input channel, scalar). The forward pass runs in
    tiles of filters, each at most 64 MiB of activations.

    Buffers
    -------
    channels : int64[k]
    scales : float32[k], v_t
    kernels : float32[k, c_out / groups, kh, kw], U[:, t]
    constant_scales : float32[m] and constant_kernels : float32[m, c_out], the filters that read the constant 1
    """

    channels: Tensor
    scales: Tensor
    kernels: Tensor
    constant_scales: Tensor
    constant_kernels: Tensor

    def __init__(
        self,
        wiring: Wiring,
        gain: float,
        channels: Tensor,
        scales: Tensor,
        kernels: Tensor,
        constant_scales: Tensor,
        constant_kernels: Tensor,
    ) -> None:
        super().__init__()
        self.wiring = wiring
        self.gain = gain
        self.register_buffer("channels", channels)
        self.register_buffer("scales", scales)
        self.register_buffer("kernels", kernels)
        self.register_buffer("constant_scales", constant_scales)
        self.register_buffer("constant_kernels", constant_kernels)
        bounds = [group * wiring.inputs_per_group for group in range(wiring.groups + 1)]
        self._group_starts = torch.searchsorted(channels, torch.tensor(bounds)).tolist()

    def extra_repr(self) -> str:
        """Shown by print(module)."""
        return f"{self.wiring.kind}, kept={self.scales.numel() + self.constant_scales.numel()}, gain={self.gain:g}"

    def forward(self, input: Tensor) -> Tensor:
        """The layer's output; the input as the target's layer takes it, under the same name."""
        x = input
        bias = (torch.relu(self.constant_scales)[:, None] * self.constant_kernels).sum(dim=0) / self.gain
        if self.wiring.kind == "linear":
            return self._linear(x) / self.gain + bias
        batched = x if x.dim() == 4 else x[None]
        out = self._conv2d(batched) / self.gain + bias[:, None, None]
        return out if x.dim() == 4 else out[0]

    def _linear(self, x: Tensor) -> Tensor:
        out = x.new_zeros((*x.shape[:-1], self.wiring.out_channels))
        per_filter = max(1, x.numel() // x.shape[-1]) * x.element_size()
        for tile in self._tiles(0, self.scales.numel(), per_filter):
            hidden = torch.relu(x[..., self.channels[tile]] * self.scales[tile])
            out = out + hidden @ self.kernels[tile, :, 0, 0]
        return out

    def _conv2d(self, x: Tensor) -> Tensor:
        wiring = self.wiring
        x, padding = _pad(x, wiring)
        per_filter = x.shape[0] * x.shape[2] * x.shape[3] * x.element_size()
        outputs = []
        for group in range(wiring.groups):
            out = None
            start, stop = self._group_starts[group : group + 2]
            for tile in self._tiles(start, max(stop, start + 1), per_filter):
                hidden = torch.relu(x[:, self.channels[tile]] * self.scales[tile, None, None])
                kernel = self.kernels[tile].transpose(0, 1)
                if hidden.shape[1] == 0:  # nothing kept: zeros of the right shape from one dead filter
                    hidden = torch.zeros_like(x[:, :1])
                    kernel = x.new_zeros((wiring.outputs_per_group, 1, *wiring.kernel_size))
                part = F.conv2d(hidden, kernel, None, wiring.stride, padding, wiring.dilation)
                out = part if out is None else out + part
            assert out is not None
            outputs.append(out)
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)

    @staticmethod
    def _tiles(start: int, stop: int, bytes_per_filter: int) -> list[slice]:
        size = max(1, _TILE_BYTES // bytes_per_filter)
        return [slice(a, min(stop, a + size)) for a in range(start, stop, size)]


class RandomPair(nn.Module):
    """The over-parameterised pair: V dense, ReLU, U dense, and the filters that read the constant 1. Nothing pruned.

    For small widths: V alone has 2 n c_in^2 entries.
    """

    constant_v: Tensor
    constant_u: Tensor

    def __init__(
        self, wiring: Wiring, gain: float, v: Tensor, u: Tensor, constant_v: Tensor, constant_u: Tensor
    ) -> None:
        super().__init__()
        self.wiring = wiring
        self.gain = gain
        self.v = nn.Parameter(v, requires_grad=False)  # [filters, c_in]
        self.u = nn.Parameter(u, requires_grad=False)  # [filters, c_out / groups, kh, kw]
        self.constant_v = nn.Parameter(constant_v, requires_grad=False)  # [m]
        self.constant_u = nn.Parameter(constant_u, requires_grad=False)  # [m, c_out]

    @torch.no_grad()
    def prune(self, blocked: np.ndarray, keep: np.ndarray) -> None:
        """Apply `Ticket.masks(layer)`: zero V outside the channel blocks and U of the filters not kept."""
        ordinary = self.v.shape[0]
        self.v.mul_(torch.from_numpy(blocked[:ordinary]).to(self.v))
        self.u.mul_(torch.from_numpy(keep[:ordinary]).to(self.u)[:, None, None, None])
        self.constant_u.mul_(torch.from_numpy(keep[ordinary:]).to(self.u)[:, None])

    def forward(self, input: Tensor) -> Tensor:
        """The random layer's output; the input as the target's layer takes it, under the same name."""
        x = input
        wiring = self.wiring
        bias = torch.relu(self.constant_v) @ self.constant_u / self.gain
        if wiring.kind == "linear":
            return torch.relu(F.linear(x, self.v)) @ self.u[:, :, 0, 0] / self.gain + bias
        batched = x if x.dim() == 4 else x[None]
        padded, padding = _pad(batched, wiring)
        hidden = torch.relu(F.conv2d(padded, self.v[:, :, None, None]))
        # filters are ordered by channel, so those of a group are neighbours: U[o, t] has groups of its own
        kernel = self.u.reshape(wiring.groups, -1, *self.u.shape[1:]).transpose(1, 2).flatten(0, 1)
        out = F.conv2d(hidden, kernel, None, wiring.stride, padding, wiring.dilation, wiring.groups)
        out = out / self.gain + bias[:, None, None]
        return out if x.dim() == 4 else out[0]


def bytes_of_random_pair(wiring: Wiring, filters: int) -> int:
    """Memory of a RandomPair's dense weights in float32."""
    return 4 * filters * (wiring.in_channels + math.prod((wiring.outputs_per_group, *wiring.kernel_size)))
