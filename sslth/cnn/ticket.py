"""The ticket: which filters of a random network were kept, and where that network comes from."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sslth.cnn.channel_scales import with_scales_as_layers
from sslth.cnn.joined import Shapes, joined, split_rows, taken_by
from sslth.cnn.kept_layer import KeptLayer, merged_layer, pruned_pair, random_pair
from sslth.cnn.layers import Wiring, bare_parameters, find_layers, fingerprint, wiring_of
from sslth.cnn.merged import MergedLayer, merged_module
from sslth.cnn.modules import bytes_of_random_pair
from sslth.cnn.plain import plain_network
from sslth.cnn.sequential import empty_network
from sslth.cnn.stays import Stays, stays_of
from sslth.cnn.swap import swapped_copy
from sslth.errors import InvalidInputError, UnsupportedModuleError

__all__ = ["Masks", "Ticket"]

FloatArray = npt.NDArray[np.float64]

_LARGEST_RANDOM_NETWORK = 8 << 30


@dataclass(frozen=True, eq=False)
class Masks:
    """The two masks of a random layer; filters ordered by channel, then t, then biases, constant channels last.

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
class Ticket:
    """A structured strong lottery ticket: a seed, kept filter numbers, and the target's wiring.

    Made by `sslth.extract` or `Ticket.load`. Weights are regenerated, never stored.

    Attributes
    ----------
    seed : int
        Of the random network.
    width : int
        n: every input channel has 2n random 1x1 filters; of the widest layer, where layers differ.
    layers : tuple of KeptLayer
    low, high : float64 scalars or arrays
        The box the inputs live in.
    input_shape : tuple of int
        Of one input, without the batch; of all of them, entries one after another, where the network takes several.
    fingerprint : str
        SHA-256 of the target's weights, to tell networks apart.
    settings : dict
        How the filters were chosen; JSON values.
    folds : dict
        Batch norms that were folded into the layer before them: {batch norm: layer}.
    carry_over : tuple of str
        Modules of the target that a ticket takes along unchanged, weights and all.
    source : str or dict
        The law of the random weights, or {"sha256": ...} of a random network that is the reader's own.
    input_shapes : tuple of tuple of int or None
        Of each input, where the network takes several.
    stays : Stays or None
        What else the ticket's network takes from the target as it is, if there is anything.
    """

    seed: int
    width: int
    layers: tuple[KeptLayer, ...]
    low: FloatArray
    high: FloatArray
    input_shape: tuple[int, ...]
    fingerprint: str
    settings: dict[str, Any]
    folds: dict[str, str] = field(default_factory=dict)
    carry_over: tuple[str, ...] = ()
    source: str | dict[str, str] = "normal"
    input_shapes: Shapes | None = None
    stays: Stays | None = None
    description: list[Any] | None = field(default=None, repr=False)
    model: nn.Module | None = field(default=None, repr=False)

    @property
    def widths(self) -> dict[str, int]:
        """n of every layer; `sslth.extract` takes it as `width`."""
        return {kept.layer.name: kept.layer.width for kept in self.layers}

    @property
    def names_that_stay(self) -> list[str]:
        """Parameters and buffers that belong to neither a layer nor a carried-over module."""
        return [] if self.stays is None else list(self.stays.names)

    def is_of(self, plain: nn.Module) -> bool:
        """Whether a plain network has the numbers that the ticket was made for; tickets may not know all of them."""
        known = self.stays is None or self.stays == stays_of(plain, self.carry_over)
        return known and fingerprint(plain, self.carry_over) == self.fingerprint

    @property
    def kept_filters(self) -> int:
        """Filters left in the random network."""
        return sum(layer.kept for layer in self.layers)

    @property
    def total_filters(self) -> int:
        """Filters of the random network."""
        return sum(layer.layer.filters for layer in self.layers)

    def to_module(self, model: nn.Module | None = None, merged: bool = False) -> nn.Module:
        """The ticket as a network, in evaluation mode, float32 (float64 where the model is).

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
        base = self._without_folded_norms(self._base(model))
        dtype = _dtype_for(base)
        if merged:
            return merged_module(base, self.merged_layers(), dtype, plain=True).eval()
        pairs = {kept.layer.name: pruned_pair(self.seed, kept).to(dtype) for kept in self.layers}
        return swapped_copy(base, pairs).eval()

    def _without_folded_norms(self, base: nn.Module) -> nn.Module:
        """The kept sums already have the scales of the batch norms that were folded."""
        present = dict(base.named_modules(remove_duplicate=False))
        return swapped_copy(base, {name: nn.Identity() for name in self.folds if name in present})

    def merged_layers(self) -> dict[str, MergedLayer]:
        """The kept sums of every layer, with entrywise bounds on their rounding. O(kept d)."""
        return {kept.layer.name: merged_layer(self.seed, kept) for kept in self.layers}

    def masks(self, layer: str) -> Masks:
        """The channel-blocked mask and the kept filters of one layer, by the target's module name. O(filters c_in)."""
        kept = self._layer(layer)
        size = kept.layer.filters_per_channel
        inputs = kept.layer.wiring.in_channels
        blocked = np.zeros((kept.layer.filters, inputs), dtype=np.bool_)
        keep = np.zeros(kept.layer.filters, dtype=np.bool_)
        for channel, filters in enumerate(kept.channels):
            blocked[channel * size : (channel + 1) * size, channel] = True
            keep[channel * size + filters.numbers().astype(np.int64)] = True
        for group, filters in enumerate(kept.constants):
            keep[inputs * size + group * kept.layer.constants + filters.numbers().astype(np.int64)] = True
        first = inputs * size + len(kept.constants) * kept.layer.constants
        for group, filters in enumerate(kept.taps):
            keep[first + group * kept.layer.tap_constants + filters.numbers().astype(np.int64)] = True
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
        base = self._without_folded_norms(self._base(model))
        dtype = _dtype_for(base)
        pairs: dict[str, nn.Module] = {kept.layer.name: random_pair(self.seed, kept).to(dtype) for kept in self.layers}
        return swapped_copy(base, pairs).eval()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file: byte-stable, complete or not there at all."""
        from sslth.cnn.ticket_file import save_ticket

        save_ticket(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], source: Any = None) -> Self:
        """Read what `save` wrote; nothing in the file is executed.

        Parameters
        ----------
        path : path
        source : mapping or torch.nn.Module, optional
            The random network, as `sslth.extract` took it, of a ticket whose random network is the reader's own.

        Raises
        ------
        TicketFileError
            If the file is missing, unreadable, truncated, damaged, inconsistent or of another version.
        InvalidInputError
            If the ticket needs a source that is not given, or is made for another one.
        """
        from sslth.cnn.ticket_file import load_ticket

        return load_ticket(path, cls, source)

    def summary(self) -> dict[str, Any]:
        """What the ticket is, as JSON values: seed, width, kept and total filters, and a list of layers."""
        return {
            "seed": self.seed,
            "width": self.width,
            "kept_filters": self.kept_filters,
            "total_filters": self.total_filters,
            "input_shape": list(self.input_shape),
            "input_shapes": None if self.input_shapes is None else [list(shape) for shape in self.input_shapes],
            "target_fingerprint": self.fingerprint,
            "carried_over": list(self.carry_over),
            "stays": self.names_that_stay,
            "folded": dict(self.folds),
            "source": self.source,
            "settings": self.settings,
            "layers": [
                {
                    "name": kept.layer.name,
                    "kind": kept.layer.wiring.kind,
                    "blocks": kept.layer.wiring.in_channels * (1 if kept.layer.nonnegative else 2)
                    + len(kept.constants)
                    + len(kept.taps),
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
            self.plain_target(model)
            return self._scaled(model)
        if self.model is not None:
            return self.model
        if self.description is None:
            raise InvalidInputError(
                "the ticket's network is not a plain nn.Sequential, so its forward is needed: pass the model"
            )
        return empty_network(self.description, {kept.layer.name: kept.layer.wiring for kept in self.layers})

    def _scaled(self, model: nn.Module) -> nn.Module:
        """The model with its scales of channels as layers, if this ticket has them."""
        if not bare_parameters(model, self.carry_over):
            return model
        inside = torch.linspace(0.25, 0.75, max(1, math.prod(self.input_shape))).reshape(1, *self.input_shape)
        example = torch.from_numpy(np.asarray(self.low + (self.high - self.low) * inside.numpy()))
        taken = taken_by(model, example.to(next(model.parameters())), self.input_shapes)
        wirings = {kept.layer.name: kept.layer.wiring for kept in self.layers}
        offsets = [name for name, wiring in wirings.items() if wiring.kind == "batch_norm" and wiring.has_bias]
        return with_scales_as_layers(model, taken, self.carry_over, offsets)

    def seen(self, model: nn.Module) -> nn.Module:
        """The model as a network of one input: a copy that takes them joined where there are several."""
        return model if self.input_shapes is None else joined(model, self.input_shapes)

    def inputs_of(self, rows: Any) -> tuple[torch.Tensor, ...]:
        """Rows [batch, *input_shape], such as a report's witness, as the inputs that the network itself takes."""
        rows = torch.as_tensor(rows)
        rows = rows[None] if rows.dim() == len(self.input_shape) else rows
        return (rows,) if self.input_shapes is None else split_rows(rows, self.input_shapes)

    def plain_target(self, model: nn.Module) -> nn.Module:
        """The model's plain form, with this ticket's folds; InvalidInputError unless names and shapes are the ticket's.

        A float64 copy without batch norm: what the ticket approximates, layer by layer. It takes several inputs joined.
        """
        if not isinstance(model, nn.Module):
            raise InvalidInputError(f"model is a {type(model).__name__}; it must be a torch.nn.Module")
        try:
            plain = plain_network(self._scaled(model), self.folds, self.carry_over)
        except (InvalidInputError, UnsupportedModuleError) as error:
            raise InvalidInputError(f"this is not the ticket's network: {error}") from None
        found = {name: wiring_of(module) for name, module in find_layers(plain, self.carry_over).items()}
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
        return self.seen(plain)


def _short(wiring: Wiring) -> str:
    bias = "" if wiring.has_bias else ", no bias"
    return f"{wiring.kind} {wiring.in_channels} -> {wiring.out_channels}, kernel {wiring.kernel_size}{bias}"


def _dtype_for(base: nn.Module) -> torch.dtype:
    """That of the kept filters: float64 where the model is, else float32."""
    return torch.float64 if next(base.parameters()).dtype == torch.float64 else torch.float32
