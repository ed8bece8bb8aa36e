"""Random weights are a function of (seed, layer, part, channel, filter, entry): format version 1.

The Philox counter of an entry is (entry >> 2, filter, channel, layer | part << 16 | version << 24), its word is
entry & 3, its key the 64-bit seed. No width enters, so the filters of a narrow network are those of a wide one, and
any tile can be drawn alone. `docs/generator.md` is the full definition.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from sslth.errors import InvalidInputError
from sslth.subset_sum.kernels.draw import draw_normal_column, draw_normal_rows, draw_word_rows

__all__ = ["FORMAT_VERSION", "Part", "counter_word", "draw_column", "draw_rows", "draw_words", "fill_rows"]

FORMAT_VERSION = 1
MAX_LAYERS = 1 << 16


class Part(IntEnum):
    """Which random numbers of a layer are meant."""

    V = 0  # entry: the input channel
    U = 1  # entry: (o * kh + i) * kw + j, o within the group
    BIAS_U = 2  # channel: the group; entry: o
    CONSTANT_U = 3  # the constant input channel, one filter's kernel as for U
    BIAS_V = 4  # entry 0
    CONSTANT_V = 5  # entry 0
    INSTANCE_ROWS = 16
    INSTANCE_SCALES = 17
    INSTANCE_TARGET = 18
    INSTANCE_ROWS_FINE = 19  # what follows the first 24 to 32 bits of a drawn instance
    INSTANCE_SCALES_FINE = 20
    INSTANCE_TARGET_FINE = 21


def counter_word(layer: int, part: Part) -> int:
    """The last counter word: layer | part << 16 | version << 24."""
    if not 0 <= layer < MAX_LAYERS:
        raise InvalidInputError(f"layer number {layer} is out of range; a network has at most {MAX_LAYERS} layers")
    return layer | int(part) << 16 | FORMAT_VERSION << 24


def draw_rows(
    seed: int,
    layer: int,
    part: Part,
    channel: int,
    filters: npt.NDArray[np.uint32],
    d: int,
    scales: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float64]:
    """Entries 0 to d - 1 of the given filters, each row times its scale, as float64[k, d].

    A product of two float32 numbers is exact in float64. O(k d),
    at most 1.5 ns for each of the 4 ceil(d / 4) normals of a row.
    """
    rows = np.empty((filters.size, d))
    factors = np.ones(filters.size, dtype=np.float32) if scales is None else scales
    low, high = _key(seed)
    draw_normal_rows(low, high, filters, factors, np.uint32(channel), np.uint32(counter_word(layer, part)), rows)
    return rows


def fill_rows(
    seed: int, layer: int, part: Part, channel: int, filters: npt.NDArray[np.uint32], out: npt.NDArray[np.float32]
) -> None:
    """Write entries 0 to d - 1 of the given filters into float32[k, d], C-contiguous: the numbers as they are."""
    low, high = _key(seed)
    ones = np.ones(filters.size, dtype=np.float32)
    draw_normal_rows(low, high, filters, ones, np.uint32(channel), np.uint32(counter_word(layer, part)), out)


def draw_column(
    seed: int, layer: int, part: Part, channel: int, filters: npt.NDArray[np.uint32], entry: int
) -> npt.NDArray[np.float32]:
    """One entry of each given filter, float32[k]. O(k)."""
    normals = np.empty(filters.size, dtype=np.float32)
    low, high = _key(seed)
    last = np.uint32(counter_word(layer, part))
    draw_normal_column(low, high, filters, np.uint32(channel), last, entry, normals)
    return normals


def draw_words(
    seed: int,
    layer: int,
    part: Part,
    channel: int,
    filters: npt.NDArray[np.uint32],
    d: int,
    first_group: int = 0,
) -> npt.NDArray[np.uint32]:
    """The raw words behind entries 4 * first_group onwards, uint32[k, d]."""
    words = np.empty((filters.size, d), dtype=np.uint32)
    low, high = _key(seed)
    last = np.uint32(counter_word(layer, part))
    draw_word_rows(low, high, filters, np.uint32(channel), last, np.uint32(first_group), words)
    return words


def _key(seed: int) -> tuple[np.uint32, np.uint32]:
    return np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32)
