"""From kept filter numbers to weights: the pruned pair, the whole random pair, and the merged kernels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sslth.cnn.kept_filters import KeptFilters
from sslth.cnn.layers import Layer
from sslth.cnn.merged import MergedLayer
from sslth.cnn.modules import ConstantChannel, PrunedPair, RandomPair
from sslth.cnn.random_layer import Block, RandomLayer
from sslth.subset_sum.kernels.exact_sum import add_scaled_rows_exactly, settle

__all__ = ["KeptLayer", "merged_layer", "pruned_pair", "random_pair"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class KeptLayer:
    """The kept filters of one layer: rising filter numbers t by input channel, bias and constant channel."""

    layer: Layer
    channels: tuple[KeptFilters, ...]
    constants: tuple[KeptFilters, ...]
    taps: tuple[KeptFilters, ...] = ()

    @property
    def kept(self) -> int:
        """Number of kept filters."""
        return sum(block.size for block in (*self.channels, *self.constants, *self.taps))

    def blocks(self, seed: int) -> list[tuple[Block, KeptFilters]]:
        """Every random block with its kept filters: input channels, then biases, then constant channels."""
        random = RandomLayer(seed, self.layer)
        return [
            *zip(random.channels, self.channels, strict=True),
            *zip(random.constants, self.constants, strict=True),
            *zip(random.taps, self.taps, strict=True),
        ]


def pruned_pair(seed: int, kept: KeptLayer) -> PrunedPair:
    """The kept filters of one layer as a module. O(kept d)."""
    wiring = kept.layer.wiring
    channels, scales, kernels = [], [], [np.empty((0, wiring.d))]
    constant_scales, constant_kernels = [], [np.empty((0, wiring.out_channels))]
    tap_groups, tap_scales, tap_kernels = [], [], []
    for block, packed in kept.blocks(seed):
        filters = packed.numbers()
        if block.is_tap:
            tap_groups.append(np.full(filters.size, block.channel, dtype=np.int64))
            tap_scales.append(block.scales(filters))
            tap_kernels.append(block.rows(filters))
        elif block.is_constant:
            constant_scales.append(block.scales(filters))
            constant_kernels.append(_in_group(block, block.rows(filters)))
        else:
            channels.append(np.full(filters.size, block.channel, dtype=np.int64))
            scales.append(block.scales(filters))
            kernels.append(block.rows(filters))
    shape = (-1, wiring.outputs_per_group, *wiring.kernel_size)
    return PrunedPair(
        wiring,
        kept.layer.gain,
        torch.from_numpy(np.concatenate(channels)),
        _float32(scales),
        _float32(kernels).reshape(shape),
        _float32(constant_scales),
        _float32(constant_kernels),
        None
        if not kept.layer.tap_constants
        else ConstantChannel(
            wiring,
            kept.layer.tap_value,
            torch.from_numpy(np.concatenate(tap_groups)),
            _float32(tap_scales),
            _float32(tap_kernels).reshape(shape),
        ),
    )


def random_pair(seed: int, kept: KeptLayer) -> RandomPair:
    """All random filters of one layer as a module, V dense. O(filters (d + c_in))."""
    wiring = kept.layer.wiring
    random = RandomLayer(seed, kept.layer)
    everything = [np.arange(block.size, dtype=np.uint32) for block in random.channels]
    constants = [np.arange(block.size, dtype=np.uint32) for block in random.constants]
    taps = [np.arange(block.size, dtype=np.uint32) for block in random.taps]
    shape = (-1, wiring.outputs_per_group, *wiring.kernel_size)
    return RandomPair(
        wiring,
        kept.layer.gain,
        _float32([block.dense_v() for block in random.channels]),
        _float32([b.rows(f) for b, f in zip(random.channels, everything, strict=True)]).reshape(shape),
        _float32([b.scales(f) for b, f in zip(random.constants, constants, strict=True)]),
        _float32(
            [
                np.empty((0, wiring.out_channels)),
                *(_in_group(b, b.rows(f)) for b, f in zip(random.constants, constants, strict=True)),
            ]
        ),
        None
        if not taps
        else ConstantChannel(
            wiring,
            kept.layer.tap_value,
            torch.arange(len(taps)).repeat_interleave(kept.layer.tap_constants),
            _float32([b.scales(f) for b, f in zip(random.taps, taps, strict=True)]),
            _float32([b.rows(f) for b, f in zip(random.taps, taps, strict=True)]).reshape(shape),
        ),
    )


def merged_layer(seed: int, kept: KeptLayer) -> MergedLayer:
    """The kept sums of one layer and how exactly they are known. O(kept d)."""
    wiring = kept.layer.wiring
    shape = (2, *wiring.weight_shape)
    kernels, radii = np.zeros(shape), np.zeros(shape)
    bias, bias_radius = np.zeros(wiring.out_channels), np.zeros(wiring.out_channels)
    constant = wiring.constant_channel
    taps = np.zeros((2, *constant.weight_shape)) if kept.layer.tap_constants else None
    place = (wiring.outputs_per_group, *wiring.kernel_size)
    blocks, filters_of = zip(*kept.blocks(seed), strict=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sums = list(pool.map(_sums_of_rows, blocks, filters_of, repeat(kept.layer.gain)))
    for block, both_signs in zip(blocks, sums, strict=True):
        for side, (total, radius) in enumerate(both_signs):
            if block.is_constant or block.is_tap:
                if side == 1:  # relu(v * 1) is 0 for these
                    continue
                if taps is not None and block.is_tap:  # tap_value is a power of two: these products are exact
                    constant.block(taps[0], block.channel)[...] = (kept.layer.tap_value * total).reshape(place)
                    constant.block(taps[1], block.channel)[...] = (kept.layer.tap_value * radius).reshape(place)
                else:
                    outputs = _outputs(block)
                    bias[outputs], bias_radius[outputs] = total, radius
            else:
                wiring.block(kernels[side], block.channel)[...] = total.reshape(place)
                wiring.block(radii[side], block.channel)[...] = radius.reshape(place)
    both = not kept.layer.nonnegative
    return MergedLayer(
        positive=torch.from_numpy(kernels[0]),
        negative=torch.from_numpy(kernels[1]) if both else None,
        bias=torch.from_numpy(bias) if kept.layer.constants else None,
        positive_radius=torch.from_numpy(radii[0]),
        negative_radius=torch.from_numpy(radii[1]) if both else None,
        bias_radius=torch.from_numpy(bias_radius) if kept.layer.constants else None,
        taps=None if taps is None else torch.from_numpy(taps[0]),
        taps_radius=None if taps is None else torch.from_numpy(taps[1]),
    )


def _sums_of_rows(block: Block, filters: KeptFilters, gain: float) -> list[tuple[FloatArray, FloatArray]]:
    """For v_t > 0 and v_t < 0: the sum of |v_t| U[:, t] divided by the gain, and how far off: float64[d] each."""
    sums = [(-np.zeros(block.d), np.zeros(block.d), np.zeros(block.d)) for _ in range(2)]
    for scales, rows in block.tiles(filters):
        for sign, (high, low, lost) in zip((1, -1), sums, strict=True):
            add_scaled_rows_exactly(np.abs(scales), rows, np.flatnonzero(scales * sign > 0), high, low, lost)
    return [_rounded(high, low, lost, gain) for high, low, lost in sums]


def _rounded(high: FloatArray, low: FloatArray, lost: FloatArray, gain: float) -> tuple[FloatArray, FloatArray]:
    """The sum divided by the gain, rounded, and a bound on the error of that."""
    settle(high, low)
    total = high / gain
    # |low| <= ulp(high) / 2 was left out, `lost` bits twice over to cover its own rounding, the division rounds once
    radius = 2.0 * (np.abs(low) + 2.0 * lost) / gain + np.abs(total) * 2.0**-52
    return total, np.where(radius > 0, np.nextafter(radius, np.inf), 0.0)


def _outputs(block: Block) -> slice:
    size = block.layer.wiring.outputs_per_group
    return slice(block.channel * size, (block.channel + 1) * size)


def _in_group(block: Block, rows: FloatArray) -> FloatArray:
    """Rows of one group's bias, set among zeros: float64[k, c_out]."""
    wide = np.zeros((rows.shape[0], block.layer.wiring.out_channels))
    wide[:, _outputs(block)] = rows
    return wide


def _float32(parts: Sequence[npt.NDArray[Any]]) -> Tensor:
    """One float32 tensor of arrays whose entries are float32 numbers; empty for no arrays."""
    if not parts:
        return torch.empty(0)
    return torch.from_numpy(np.concatenate([part.astype(np.float32) for part in parts]))
