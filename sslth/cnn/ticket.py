"""The ticket: which filters of a random network were kept, and where that network comes from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sslth.cnn.layers import Layer, Wiring, find_layers, wiring_of
from sslth.cnn.merged import MergedLayer, merged_module
from sslth.cnn.modules import PrunedPair, RandomPair, bytes_of_random_pair
from sslth.cnn.random_layer import Block, RandomLayer
from sslth.cnn.sequential import build_sequential
from sslth.cnn.swap import swapped_copy
from sslth.errors import InvalidInputError
from sslth.subset_sum.kernels.exact_sum import sum_rows_minus_target

__all__ = ["KeptLayer", "Masks", "Ticket"]

Filters = npt.NDArray[np.uint32]
FloatArray = npt.NDArray[np.float64]

_LARGEST_RANDOM_NETWORK = 8 << 30


@dataclass(frozen=True, eq=False)
class Masks:
    """The two masks of a random layer; filters ordered by channel, then t, constants last.

    Attributes
    ----------
    blocked : bool[filters, channels]
        True where a 1x1 filter keeps its entry: one input channel a filter; none for filters that read the constant.
    keep : bool[filters]
        True for the filters that stay.
    """

    blocked: npt.NDArray[np.bool_]
    keep: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class KeptLayer:
    """The kept filters of one layer: sorted filter numbers t for each input channel, and for each group's bias."""

    layer: Layer
    channels: tuple[Filters, ...]
    constants: tuple[Filters, ...]

    @property
    def kept(self) -> int:
        """Number of kept filters."""
        return sum(block.size for block in (*self.channels, *self.constants))

    def blocks(self, seed: int) -> list[tuple[Block, Filters]]:
        """Every random block with its kept filters, input channels first."""
        random = RandomLayer(seed, self.layer)
        return [
            *zip(random.channels, self.channels, strict=True),
            *zip(random.constants, self.constants, strict=True),
        ]


@dataclass(frozen=True, eq=False)
class Ticket:
    """A structured strong lottery ticket: a seed, kept filter numbers, and the target's wiring.

    Made by `sslth.extract` or `Ticket.load`. Weights are regenerated, never stored.

    Attributes
    ----------
    seed : int
        Of the random network.
    width : int
        n: every input channel has 2n random 1x1 filters.
    layers : tuple of KeptLayer
    low, high : float64 scalars or arrays
        The box the inputs live in.
    input_shape : tuple of int
        Of one input, without the batch.
    fingerprint : str
        SHA-256 of the target's weights, to tell networks apart.
    settings : dict
        How the filters were chosen; JSON values.
    """

    seed: int
    width: int
    layers: tuple[KeptLayer, ...]
    low: FloatArray
    high: FloatArray
    input_shape: tuple[int, ...]
    fingerprint: str
    settings: dict[str, Any]
    description: list[Any] | None = field(default=None, repr=False)
    model: nn.Module | None = field(default=None, repr=False)

    @property
    def kept_filters(self) -> int:
        """Filters left in the random network."""
        return sum(layer.kept for layer in self.layers)

    @property
    def total_filters(self) -> int:
        """Filters of the random network."""
        return sum(layer.layer.filters for layer in self.layers)

    def to_module(self, model: nn.Module | None = None, merged: bool = False) -> nn.Module:
        """The ticket as a network, in evaluation mode.

        Parameters
        ----------
        model : nn.Module, optional
            Lends its forward; its weights are not used. Not needed for a ticket that was just extracted, nor for
            a loaded one of a plain `nn.Sequential`.
        merged : bool
            False: the kept filters, dense, without masks, run in tiles of bounded memory. True: the network of the
            target's shape with the kept sums as kernels, equal on inputs in the box; that is what evaluates quickly.

        Raises
        ------
        InvalidInputError
            If a model is needed, or its layers are not those of the ticket.

        Notes
        -----
        Cost of building: drawing the kept filters, O(kept d). The unmerged network is much wider than the target.
        """
        base = self._base(model)
        if merged:
            return merged_module(base, self.merged_layers(), torch.float32, plain=True).eval()
        return swapped_copy(base, {kept.layer.name: self._pruned_pair(kept) for kept in self.layers}).eval()

    def merged_layers(self) -> dict[str, MergedLayer]:
        """The kept sums of every layer, with entrywise bounds on their rounding. O(kept d)."""
        return {kept.layer.name: self._merged_layer(kept) for kept in self.layers}

    def masks(self, layer: str) -> Masks:
        """The channel-blocked mask and the kept filters of one layer, by the target's module name. O(filters c_in)."""
        kept = self._layer(layer)
        size = kept.layer.filters_per_channel
        inputs = kept.layer.wiring.in_channels
        blocked = np.zeros((kept.layer.filters, inputs), dtype=np.bool_)
        keep = np.zeros(kept.layer.filters, dtype=np.bool_)
        for channel, filters in enumerate(kept.channels):
            blocked[channel * size : (channel + 1) * size, channel] = True
            keep[channel * size + filters.astype(np.int64)] = True
        for group, filters in enumerate(kept.constants):
            keep[inputs * size + group * kept.layer.constants + filters.astype(np.int64)] = True
        return Masks(blocked, keep)

    def random_network(self, model: nn.Module | None = None) -> nn.Module:
        """The whole over-parameterised network, nothing pruned, V dense; for small widths.

        Its layers are `RandomPair` modules; `prune(masks.blocked, masks.keep)` on each leaves the ticket.

        Raises
        ------
        InvalidInputError
            If its weights would take more than 8 GiB.
        """
        needed = sum(bytes_of_random_pair(kept.layer.wiring, kept.layer.filters) for kept in self.layers)
        if needed > _LARGEST_RANDOM_NETWORK:
            raise InvalidInputError(
                f"the dense random network of width {self.width} needs {needed / 2**30:.0f} GiB; use a smaller width"
            )
        pairs: dict[str, nn.Module] = {kept.layer.name: self._random_pair(kept) for kept in self.layers}
        return swapped_copy(self._base(model), pairs).eval()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file: byte-stable, complete or not there at all."""
        from sslth.cnn.ticket_file import save_ticket

        save_ticket(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; nothing in the file is executed.

        Raises
        ------
        TicketFileError
            If the file is missing, unreadable, truncated, inconsistent or of another version.
        """
        from sslth.cnn.ticket_file import load_ticket

        return load_ticket(path, cls)

    def summary(self) -> dict[str, Any]:
        """What the ticket is, as JSON values: seed, width, kept and total filters, and a list of layers."""
        return {
            "seed": self.seed,
            "width": self.width,
            "kept_filters": self.kept_filters,
            "total_filters": self.total_filters,
            "input_shape": list(self.input_shape),
            "target_fingerprint": self.fingerprint,
            "settings": self.settings,
            "layers": [
                {
                    "name": kept.layer.name,
                    "kind": kept.layer.wiring.kind,
                    "blocks": kept.layer.wiring.in_channels * (1 if kept.layer.nonnegative else 2)
                    + len(kept.constants),
                    "d": kept.layer.wiring.d,
                    "width": kept.layer.width,
                    "gain": kept.layer.gain,
                    "signs": "+" if kept.layer.nonnegative else "+-",
                    "kept": kept.kept,
                    "total": kept.layer.filters,
                }
                for kept in self.layers
            ],
        }

    def __repr__(self) -> str:
        return (
            f"Ticket(seed={self.seed}, width={self.width}, layers={len(self.layers)}, "
            f"kept_filters={self.kept_filters}, total_filters={self.total_filters})"
        )

    def _layer(self, name: str) -> KeptLayer:
        for kept in self.layers:
            if kept.layer.name == name:
                return kept
        names = ", ".join(repr(kept.layer.name) for kept in self.layers)
        raise InvalidInputError(f"the ticket has no layer {name!r}; it has {names}")

    def _base(self, model: nn.Module | None) -> nn.Module:
        if model is not None:
            self.check_wiring(model)
            return model
        if self.model is not None:
            return self.model
        if self.description is None:
            raise InvalidInputError(
                "the ticket's network is not a plain nn.Sequential, so its forward is needed: pass the model"
            )
        wiring = {kept.layer.name: kept.layer.wiring for kept in self.layers}
        network = build_sequential(self.description)
        places = dict(network.named_modules())
        for name in wiring:
            if not isinstance(places.get(name), nn.Identity):
                raise InvalidInputError(f"the ticket has a layer {name!r} that its own description does not have")
        return swapped_copy(network, {name: _empty_module(shape) for name, shape in wiring.items()})

    def check_wiring(self, model: nn.Module) -> None:
        """Raise InvalidInputError unless the model's weighted layers have the ticket's names and shapes."""
        found = {name: wiring_of(module) for name, module in find_layers(model).items()}
        mine = {kept.layer.name: kept.layer.wiring for kept in self.layers}
        for name in [*mine, *found]:
            if name not in found:
                raise InvalidInputError(f"this is not the ticket's network: it has no layer {name!r}")
            if name not in mine:
                raise InvalidInputError(f"this is not the ticket's network: the ticket has no layer {name!r}")
            if found[name] != mine[name]:
                raise InvalidInputError(
                    f"this is not the ticket's network: layer {name!r} is {_short(found[name])}, "
                    f"but the ticket's is {_short(mine[name])}"
                )

    def _pruned_pair(self, kept: KeptLayer) -> PrunedPair:
        wiring = kept.layer.wiring
        channels, scales, kernels = [], [], [np.empty((0, wiring.d))]
        constant_scales, constant_kernels = [], [np.empty((0, wiring.out_channels))]
        for block, filters in kept.blocks(self.seed):
            if block.is_constant:
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
        )

    def _random_pair(self, kept: KeptLayer) -> RandomPair:
        wiring = kept.layer.wiring
        random = RandomLayer(self.seed, kept.layer)
        everything = [np.arange(block.size, dtype=np.uint32) for block in random.channels]
        constants = [np.arange(block.size, dtype=np.uint32) for block in random.constants]
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
        )

    def _merged_layer(self, kept: KeptLayer) -> MergedLayer:
        wiring = kept.layer.wiring
        shape = (2, *wiring.weight_shape)
        kernels, radii = np.zeros(shape), np.zeros(shape)
        bias, bias_radius = np.zeros(wiring.out_channels), np.zeros(wiring.out_channels)
        for block, filters in kept.blocks(self.seed):
            scales = block.scales(filters)
            for side, chosen in enumerate((scales > 0, scales < 0)):
                total, radius = _sum_of_rows(block.rows(filters[chosen], scales[chosen]), kept.layer.gain)
                if block.is_constant:
                    if side == 0:  # relu(v * 1) is 0 for the others
                        outputs = _outputs(block)
                        bias[outputs], bias_radius[outputs] = total, radius
                else:
                    place = (-1, *wiring.kernel_size)
                    wiring.block(kernels[side], block.channel)[...] = total.reshape(place)
                    wiring.block(radii[side], block.channel)[...] = radius.reshape(place)
        both = not kept.layer.nonnegative
        return MergedLayer(
            positive=torch.from_numpy(kernels[0]),
            negative=torch.from_numpy(kernels[1]) if both else None,
            bias=torch.from_numpy(bias) if wiring.has_bias else None,
            positive_radius=torch.from_numpy(radii[0]),
            negative_radius=torch.from_numpy(radii[1]) if both else None,
            bias_radius=torch.from_numpy(bias_radius) if wiring.has_bias else None,
        )


def _sum_of_rows(rows: FloatArray, gain: float) -> tuple[FloatArray, FloatArray]:
    """The sum of rows divided by the gain, rounded, and a bound on the error of that: float64[d] each."""
    k, d = rows.shape
    high, low, lost = np.empty(d), np.empty(d), np.empty(d)
    sum_rows_minus_target(rows, np.arange(k), np.zeros(d), high, low, lost)
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


def _empty_module(wiring: Wiring) -> nn.Module:
    if wiring.kind == "linear":
        return nn.Linear(wiring.in_channels, wiring.out_channels, wiring.has_bias, device="meta")
    return nn.Conv2d(
        wiring.in_channels,
        wiring.out_channels,
        wiring.kernel_size,
        wiring.stride,
        wiring.padding,
        wiring.dilation,
        wiring.groups,
        wiring.has_bias,
        wiring.padding_mode,
        device="meta",
    )


def _short(wiring: Wiring) -> str:
    bias = "" if wiring.has_bias else ", no bias"
    return f"{wiring.kind} {wiring.in_channels} -> {wiring.out_channels}, kernel {wiring.kernel_size}{bias}"
