"""The kept filters, and the whole random layer, as torch modules."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from sslth.cnn.constant_channel import constant_image
from sslth.cnn.layers import Wiring
from sslth.cnn.operation import column, convolve, convolve_many, pad_input, window_rank

__all__ = ["ConstantChannel", "PrunedPair", "RandomPair"]

_TILE_BYTES = 8 << 20  # of activations: what stays in a cache is two to three times as fast
_FEWEST, _MOST_BYTES = 32, 64 << 20  # filters of a tile, where so many take no more
_FEW_GROUPS = 8  # up to here one convolution a group; above, one a filter, whose outputs are added up by group


class ConstantChannel(nn.Module):
    """Filters that read a constant input channel of their group, and have kernels like any other.

    Buffers
    -------
    groups : int64[m]
    scales : float32[m]
    kernels : float32[m, c_out / groups, *kernel_size]
    """

    groups: Tensor
    scales: Tensor
    kernels: Tensor

    def __init__(self, wiring: Wiring, value: float, groups: Tensor, scales: Tensor, kernels: Tensor) -> None:
        super().__init__()
        self.wiring = wiring
        self.value = value
        self.register_buffer("groups", groups)
        self.register_buffer("scales", scales)
        self.register_buffer("kernels", kernels)
        self._group_starts = torch.searchsorted(groups, torch.arange(wiring.groups + 1)).tolist()

    def forward(self, input: Tensor) -> Tensor:
        """What the filters add to the output for an input of this shape, before the gain; kernels are summed first."""
        hidden = torch.relu(self.scales * self.value)
        parts = self.kernels * hidden.reshape(-1, *(1,) * (self.kernels.dim() - 1))
        if torch.compiler.is_compiling():
            total = _with_a_dead_one(parts)[_places(self._group_starts)].sum(dim=1)
        else:
            total = self.kernels.new_zeros((self.wiring.groups, *self.kernels.shape[1:]))
            total.index_add_(0, self.groups, parts)
        return constant_image(input, total.reshape(self.wiring.constant_channel.weight_shape), self.wiring)


class PrunedPair(nn.Module):
    """A 1x1 convolution, a ReLU and a convolution, of kept filters alone; no masks are left.

    Every kept filter reads one input channel, so V is stored as (input channel, scalar). The forward pass runs in
    tiles of about 8 MiB of activations, or of up to 32 filters below 64 MiB.

    Buffers
    -------
    channels : int64[k]
    scales : float32[k], v_t
    kernels : float32[k, c_out / groups, *kernel_size], U[:, t]
    constant_scales : float32[m]
    constant_kernels : float32[m, c_out]

    Notes
    -----
    The filters that read the constant 1 are ordinary attributes where there are none: `torch.export.save` cannot write
    buffers without entries.
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
        constant_channel: ConstantChannel | None = None,
    ) -> None:
        super().__init__()
        self.wiring = wiring
        self.gain = gain
        self.constant_channel = constant_channel
        self.register_buffer("channels", channels)
        self.register_buffer("scales", scales)
        self.register_buffer("kernels", kernels)
        self._has_constants = constant_scales.numel() > 0
        for name, values in (("constant_scales", constant_scales), ("constant_kernels", constant_kernels)):
            if self._has_constants:
                self.register_buffer(name, values)
            else:
                setattr(self, name, values)
        bounds = [group * wiring.inputs_per_group for group in range(wiring.groups + 1)]
        self._group_starts = torch.searchsorted(channels, torch.tensor(bounds)).tolist()

    def extra_repr(self) -> str:
        """Shown by print(module)."""
        taps = 0 if self.constant_channel is None else self.constant_channel.scales.numel()
        kept = self.scales.numel() + self.constant_scales.numel() + taps
        return f"{self.wiring.kind}, kept={kept}, gain={self.gain:g}"

    def forward(self, input: Tensor) -> Tensor:
        """The layer's output; the input as the target's layer takes it, under the same name."""
        x = input
        bias = self._bias(x)
        if self.wiring.kind == "linear":
            return self._linear(x) / self.gain + bias
        if self.wiring.kind == "batch_norm":
            return self._per_channel(x) / self.gain + bias.reshape((-1,) + (1,) * (x.dim() - 2))
        rank = window_rank(self.wiring)
        batched = x if x.dim() == rank + 2 else x[None]
        out = self._convolution(batched)
        if self.constant_channel is not None:
            out = out + self.constant_channel(batched)
        out = out / self.gain + column(bias, rank)
        return out if x.dim() == rank + 2 else out[0]

    def _bias(self, x: Tensor) -> Tensor:
        if not self._has_constants:
            return x.new_zeros(self.wiring.out_channels)
        return (torch.relu(self.constant_scales)[:, None] * self.constant_kernels).sum(dim=0) / self.gain

    def _linear(self, x: Tensor) -> Tensor:
        out = x.new_zeros((*x.shape[:-1], self.wiring.out_channels))
        per_filter = max(1, x.numel() // x.shape[-1]) * x.element_size()
        for tile in self._tiles(0, self.scales.numel(), per_filter):
            hidden = torch.relu(x[..., self.channels[tile]] * self.scales[tile])
            out = out + hidden @ self.kernels[tile, :, 0, 0]
        return out

    def _per_channel(self, x: Tensor) -> Tensor:
        """Every filter reads one channel and adds to the same one."""
        flat = x.flatten(2) if x.dim() > 2 else x[:, :, None]
        if torch.compiler.is_compiling():
            hidden, kernels = self._side_by_side(flat, 1)
            added = torch.unflatten(hidden * kernels.reshape(-1, 1), 1, (self.wiring.groups, -1)).sum(dim=2)
            return added.reshape(x.shape)
        out = torch.zeros_like(flat)
        per_filter = flat.shape[0] * flat.shape[2] * x.element_size()
        for tile in self._tiles(0, self.scales.numel(), per_filter):
            hidden = torch.relu(flat[:, self.channels[tile]] * self.scales[tile, None])
            out.index_add_(1, self.channels[tile], hidden * self.kernels[tile, 0, 0])
        return out.reshape(x.shape)

    def _convolution(self, x: Tensor) -> Tensor:
        wiring = self.wiring
        x = pad_input(x, wiring)
        per_filter = x.shape[0] * math.prod(x.shape[2:]) * x.element_size()
        if wiring.groups > _FEW_GROUPS:
            return self._filter_by_filter(x, per_filter)
        outputs = []
        for group in range(wiring.groups):
            out = None
            start, stop = self._group_starts[group : group + 2]
            for tile in self._tiles(start, stop, per_filter) or [slice(start, start)]:
                kernel = self.kernels[tile]
                hidden = torch.relu(x[:, self.channels[tile]] * column(self.scales[tile], window_rank(wiring)))
                if hidden.shape[1] == 0:  # nothing kept: zeros of the right shape from one dead filter
                    hidden = torch.zeros_like(x[:, :1])
                    kernel = x.new_zeros((1, wiring.outputs_per_group, *wiring.kernel_size))
                part = convolve_many(hidden, kernel, wiring)
                out = part if out is None else out + part
            assert out is not None
            outputs.append(out)
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)

    def _filter_by_filter(self, x: Tensor, per_filter: int) -> Tensor:
        """A convolution for every filter alone, added to the outputs of its group."""
        wiring = self.wiring
        size = wiring.outputs_per_group
        if torch.compiler.is_compiling():
            hidden, kernels = self._side_by_side(x, window_rank(wiring))
            if not wiring.transposed:
                split = torch.unflatten(kernels, 0, (wiring.groups, -1)).transpose(1, 2)
                kernels = split.reshape(wiring.out_channels, -1, *wiring.kernel_size)
            return convolve(hidden, kernels, wiring, wiring.groups)
        dead = x.new_zeros((1, size, *wiring.kernel_size))
        shape = convolve(torch.zeros_like(x[:1, :1]), dead if wiring.transposed else dead.transpose(0, 1), wiring, 1)
        out = x.new_zeros((x.shape[0], wiring.out_channels, *shape.shape[2:]))
        for tile in self._tiles(0, self.scales.numel(), per_filter * size):
            hidden = torch.relu(x[:, self.channels[tile]] * column(self.scales[tile], window_rank(wiring)))
            kernel, count = self.kernels[tile], hidden.shape[1]
            kernel = kernel if wiring.transposed else kernel.reshape(count * size, 1, *wiring.kernel_size)
            first = (self.channels[tile] // wiring.inputs_per_group) * size
            places = (first[:, None] + torch.arange(size, device=x.device)).flatten()
            out.index_add_(1, places, convolve(hidden, kernel, wiring, groups=count))
        return out

    def _side_by_side(self, x: Tensor, rank: int) -> tuple[Tensor, Tensor]:
        """Activations and kernels of all filters, as many in every group: what is exported adds without a scatter.

        Several threads of a runtime may lose what two filters add to the same place.
        """
        places = _places(self._group_starts).flatten()
        channels, scales, kernels = (
            _with_a_dead_one(part)[places] for part in (self.channels, self.scales, self.kernels)
        )
        return torch.relu(x[:, channels] * column(scales, rank)), kernels

    @staticmethod
    def _tiles(start: int, stop: int, bytes_per_filter: int) -> list[slice]:
        if torch.compiler.is_compiling():  # an exported graph has any batch size, so nothing may depend on it
            return [slice(start, stop)]
        size = max(1, _TILE_BYTES // bytes_per_filter, min(_FEWEST, _MOST_BYTES // bytes_per_filter))
        return [slice(a, min(stop, a + size)) for a in range(start, stop, size)]


def _places(starts: list[int]) -> Tensor:
    """The filters of every group, int64[groups, most], filled up with the number behind the last filter."""
    most = max(1, *(stop - start for start, stop in pairwise(starts)))
    rows = [[n if n < stop else starts[-1] for n in range(start, start + most)] for start, stop in pairwise(starts)]
    return torch.tensor(rows)


def _with_a_dead_one(parts: Tensor) -> Tensor:
    return torch.cat([parts, parts.new_zeros((1, *parts.shape[1:]))])


class RandomPair(nn.Module):
    """The over-parameterised pair: V dense, ReLU, U dense, and the filters that read the constant 1. Nothing pruned.

    For small widths: V alone has 2 n c_in^2 entries.
    """

    constant_v: Tensor
    constant_u: Tensor

    def __init__(
        self,
        wiring: Wiring,
        gain: float,
        v: Tensor,
        u: Tensor,
        constant_v: Tensor,
        constant_u: Tensor,
        constant_channel: ConstantChannel | None = None,
    ) -> None:
        super().__init__()
        self.constant_channel = constant_channel
        self.wiring = wiring
        self.gain = gain
        self.v = nn.Parameter(v, requires_grad=False)  # [filters, c_in]
        self.u = nn.Parameter(u, requires_grad=False)  # [filters, c_out / groups, *kernel_size]
        self.constant_v = nn.Parameter(constant_v, requires_grad=False)  # [m]
        self.constant_u = nn.Parameter(constant_u, requires_grad=False)  # [m, c_out]

    @torch.no_grad()
    def prune(self, blocked: np.ndarray, keep: np.ndarray) -> None:
        """Apply `Ticket.masks(layer)`: zero V outside the channel blocks and U of the filters not kept."""
        ordinary = self.v.shape[0]
        self.v.mul_(torch.from_numpy(blocked[:ordinary]).to(self.v))
        self.u.mul_(torch.from_numpy(keep[:ordinary]).to(self.u).reshape(-1, *(1,) * (self.u.dim() - 1)))
        biases = ordinary + self.constant_u.shape[0]
        self.constant_u.mul_(torch.from_numpy(keep[ordinary:biases]).to(self.u)[:, None])
        if self.constant_channel is not None:
            kernels = self.constant_channel.kernels
            kernels.mul_(torch.from_numpy(keep[biases:]).to(kernels).reshape(-1, *(1,) * (kernels.dim() - 1)))

    def forward(self, input: Tensor) -> Tensor:
        """The random layer's output; the input as the target's layer takes it, under the same name."""
        x = input
        wiring = self.wiring
        bias = torch.relu(self.constant_v) @ self.constant_u / self.gain
        if wiring.kind == "linear":
            return torch.relu(x @ self.v.T) @ self.u[:, :, 0, 0] / self.gain + bias
        if wiring.kind == "batch_norm":
            flat = x.flatten(2) if x.dim() > 2 else x[:, :, None]
            hidden = torch.relu(torch.einsum("tc,bcl->btl", self.v, flat)) * self.u[:, 0, 0]
            # filters are ordered by channel: the outputs of a channel are sums over its own filters
            out = hidden.reshape(len(hidden), wiring.groups, -1, hidden.shape[2]).sum(dim=2).reshape(x.shape)
            return out / self.gain + bias.reshape((-1,) + (1,) * (x.dim() - 2))
        rank = window_rank(wiring)
        batched = x if x.dim() == rank + 2 else x[None]
        hidden = torch.relu(torch.einsum("tc,bc...->bt...", self.v, pad_input(batched, wiring)))
        # filters are ordered by channel, so those of a group are neighbours: U[o, t] has groups of its own
        kernel: Tensor = self.u
        if not wiring.transposed:
            kernel = self.u.reshape(wiring.groups, -1, *self.u.shape[1:]).transpose(1, 2).flatten(0, 1)
        out = convolve(hidden, kernel, wiring, wiring.groups)
        if self.constant_channel is not None:
            out = out + self.constant_channel(batched)
        out = out / self.gain + column(bias, rank)
        return out if x.dim() == rank + 2 else out[0]


def bytes_of_random_pair(wiring: Wiring, filters: int) -> int:
    """Memory of a RandomPair's dense weights in float32."""
    return 4 * filters * (wiring.in_channels + math.prod((wiring.outputs_per_group, *wiring.kernel_size)))
