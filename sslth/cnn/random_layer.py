"""The random filters of one layer, regenerated from (seed, layer, channel) whenever they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslth.cnn.kept_filters import Numbers, stretches_of
from sslth.cnn.layers import OWN, Layer
from sslth.cnn.own_weights import OwnPair
from sslth.cnn.weight_laws import law_column, law_rows
from sslth.errors import InvalidInputError
from sslth.subset_sum.kernels.draw import add_scaled_rows
from sslth.subset_sum.random_weights import Part, fill_rows

__all__ = ["Block", "RandomLayer"]

Filters = npt.NDArray[np.uint32]
Scales = npt.NDArray[np.float32]
Rows = npt.NDArray[np.float64]

_STRETCH_ENTRIES = 8 << 20
_TILE_ENTRIES = 1 << 17  # half a megabyte of float32: rows are added up before they leave the cache


@dataclass(frozen=True)
class Block:
    """Random filters of one input channel, or of one group's constant, and how to draw their kernels.

    `is_constant` filters make the bias; `is_tap` filters read a constant input channel and have kernels like any other.
    """

    seed: int
    layer: Layer
    channel: int
    is_constant: bool = False
    is_tap: bool = False

    @property
    def size(self) -> int:
        """Number of random filters in the block."""
        if self.is_tap:
            return self.layer.tap_constants
        return self.layer.constants if self.is_constant else self.layer.filters_per_channel

    @property
    def d(self) -> int:
        """Entries of one filter's kernel."""
        return self.layer.wiring.outputs_per_group if self.is_constant else self.layer.wiring.d

    def scales(self, filters: Numbers | None = None) -> Scales:
        """v_t of the given filters, or of all: float32[k]."""
        chosen = np.arange(self.size, dtype=np.uint32) if filters is None else np.asarray(filters)
        own = self._own()
        if own is not None:
            return own.scales(self.is_constant, self.channel, chosen)
        part = Part.CONSTANT_V if self.is_tap else Part.BIAS_V if self.is_constant else Part.V
        entry = self.channel if part is Part.V else 0
        column = law_column(self.layer.law, self.seed, self.layer.index, part, self.channel, chosen, entry)
        if self.is_constant and self.layer.own is not None:
            return column * np.float32(self.layer.own.constant_unit)
        return column

    def rows(self, filters: Numbers, scales: Scales | None = None) -> Rows:
        """U[:, t] of the given filters, times |v_t| where scales are given: float64[k, d]; products are exact."""
        factors = None if scales is None else np.abs(scales)
        filters = np.asarray(filters)
        own = self._own()
        if own is not None:
            rows = own.rows(self.is_constant, self.channel, filters)
            return rows if factors is None else rows * factors[:, None]
        part = Part.CONSTANT_U if self.is_tap else Part.BIAS_U if self.is_constant else Part.U
        return law_rows(self.layer.law, self.seed, self.layer.index, part, self.channel, filters, self.d, factors)

    def stretches(self, filters: Numbers) -> Iterator[tuple[Filters, Scales]]:
        """The given filters and their v_t in turn, so few at a time that 64 MiB hold their rows in float64."""
        size = max(1, _STRETCH_ENTRIES // self.d)
        for here in stretches_of(filters, size):
            yield here, self.scales(here)

    def total(self, filters: Numbers) -> Rows:
        """Sum of |v_t| U[:, t] over the given filters, one after the other: float64[d]. O(k d)."""
        total: Rows = np.zeros(self.d)
        for scales, rows in self.tiles(filters):
            add_scaled_rows(np.abs(scales), rows, total)
        return total

    def tiles(self, filters: Numbers) -> Iterator[tuple[Scales, Scales]]:
        """v_t and U[:, t], float32[k, d], of the given filters in turn, as many as a cache holds.

        Rows are overwritten by the next ones. A row times its v_t is exact in float64.
        """
        size = max(1, _TILE_ENTRIES // self.d)
        room = np.empty((size, self.d), np.float32)
        for stretch, scales in self.stretches(filters):
            for start in range(0, stretch.size, size):
                here = stretch[start : start + size]
                rows = room[: here.size]
                self.fill(here, rows)
                yield scales[start : start + size], rows

    def fill(self, filters: Filters, out: npt.NDArray[np.float32]) -> None:
        """Write U[:, t] of the given filters into float32[k, d], C-contiguous."""
        if self.layer.law == "uniform" or self._own() is not None:
            out[...] = self.rows(filters)
            return
        part = Part.CONSTANT_U if self.is_tap else Part.BIAS_U if self.is_constant else Part.U
        fill_rows(self.seed, self.layer.index, part, self.channel, filters, out)

    def dense_v(self) -> Rows:
        """V of all filters of the block, off-block entries included: float64[2n, c_in]."""
        own = self._own()
        if own is not None:
            return own.dense_v(self.channel)
        filters = np.arange(self.size, dtype=np.uint32)
        inputs = self.layer.wiring.in_channels
        return law_rows(self.layer.law, self.seed, self.layer.index, Part.V, self.channel, filters, inputs)

    def _own(self) -> OwnPair | None:
        """The reader's own pair, where this block's filters are from it."""
        if self.layer.law != OWN or self.is_tap:
            return None
        if self.layer.own is None:
            raise InvalidInputError(
                "the ticket's random network is the reader's own and was not given; load it with source="
            )
        return self.layer.own if self.layer.own.has(self.is_constant) else None


@dataclass(frozen=True)
class RandomLayer:
    """All blocks of a layer."""

    seed: int
    layer: Layer

    @property
    def channels(self) -> list[Block]:
        """One block an input channel."""
        return [Block(self.seed, self.layer, channel) for channel in range(self.layer.wiring.in_channels)]

    @property
    def constants(self) -> list[Block]:
        """One block a group if the layer has filters for a bias, else none."""
        if not self.layer.constants:
            return []
        return [Block(self.seed, self.layer, group, True) for group in range(self.layer.wiring.groups)]

    @property
    def taps(self) -> list[Block]:
        """One block a group if the layer has a constant input channel, else none."""
        if not self.layer.tap_constants:
            return []
        return [Block(self.seed, self.layer, group, is_tap=True) for group in range(self.layer.wiring.groups)]
