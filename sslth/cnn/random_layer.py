"""The random filters of one layer, regenerated from (seed, layer, channel) whenever they are needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslth.cnn.layers import Layer
from sslth.subset_sum.random_weights import Part, draw_column, draw_rows

__all__ = ["Block", "RandomLayer"]

Filters = npt.NDArray[np.uint32]
Scales = npt.NDArray[np.float32]
Rows = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Block:
    """Random filters of one input channel, or of one group's constant, and how to draw their kernels."""

    seed: int
    layer: Layer
    channel: int
    is_constant: bool = False

    @property
    def size(self) -> int:
        """Number of random filters in the block."""
        return self.layer.constants if self.is_constant else self.layer.filters_per_channel

    @property
    def d(self) -> int:
        """Entries of one filter's kernel."""
        return self.layer.wiring.outputs_per_group if self.is_constant else self.layer.wiring.d

    def scales(self, filters: Filters | None = None) -> Scales:
        """v_t of the given filters, or of all: float32[k]."""
        chosen = np.arange(self.size, dtype=np.uint32) if filters is None else filters
        part = Part.BIAS_V if self.is_constant else Part.V
        entry = 0 if self.is_constant else self.channel
        return draw_column(self.seed, self.layer.index, part, self.channel, chosen, entry)

    def rows(self, filters: Filters, scales: Scales | None = None) -> Rows:
        """U[:, t] of the given filters, times |v_t| where scales are given: float64[k, d]; products are exact."""
        part = Part.BIAS_U if self.is_constant else Part.U
        factors = None if scales is None else np.abs(scales)
        return draw_rows(self.seed, self.layer.index, part, self.channel, filters, self.d, factors)

    def dense_v(self) -> Rows:
        """V of all filters of the block, off-block entries included: float64[2n, c_in]."""
        filters = np.arange(self.size, dtype=np.uint32)
        return draw_rows(self.seed, self.layer.index, Part.V, self.channel, filters, self.layer.wiring.in_channels)


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
        """One block a group if the layer has a bias, else none."""
        if not self.layer.constants:
            return []
        return [Block(self.seed, self.layer, group, True) for group in range(self.layer.wiring.groups)]
