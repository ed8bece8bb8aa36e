"""A random pair that is the reader's own: V and U as they were given, block by block."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

__all__ = ["OwnPair", "digest_of_pairs"]

Filters = npt.NDArray[np.uint32]
Float32 = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OwnPair:
    """V and U of one layer; filters are ordered by input channel, equally many for each.

    Parameters
    ----------
    v : float32[filters, c_in]
        The 1x1 convolution. The channel-blocked mask leaves filter i the channel i // (filters / c_in).
    u : float32[filters, c_out / groups, *kernel_size]
    constant_v : float32[groups, m] or None
        Scales of the filters that read the constant 1; None if they are drawn from the seed.
    constant_u : float32[groups, m, c_out / groups] or None
    """

    v: Float32
    u: Float32
    constant_v: Float32 | None = None
    constant_u: Float32 | None = None

    @property
    def filters_per_channel(self) -> int:
        """2n."""
        return len(self.v) // len(self.v[0])

    def has(self, is_constant: bool) -> bool:
        """Whether these filters are given; constants may be drawn instead."""
        return not is_constant or self.constant_v is not None

    def scales(self, is_constant: bool, block: int, filters: Filters) -> Float32:
        """v_t of the given filters of one block: float32[k]."""
        if is_constant:
            assert self.constant_v is not None
            return np.asarray(self.constant_v[block, filters])
        return np.asarray(self.v[block * self.filters_per_channel + filters.astype(np.int64), block])

    def rows(self, is_constant: bool, block: int, filters: Filters) -> FloatArray:
        """U[:, t] of the given filters of one block: float64[k, d]."""
        if is_constant:
            assert self.constant_u is not None
            return np.asarray(self.constant_u[block, filters], dtype=np.float64)
        chosen = self.u[block * self.filters_per_channel + filters.astype(np.int64)]
        return chosen.reshape(filters.size, self.u[0].size).astype(np.float64)

    def dense_v(self, block: int) -> FloatArray:
        """V of all filters of one block: float64[2n, c_in]."""
        size = self.filters_per_channel
        return self.v[block * size : (block + 1) * size].astype(np.float64)

    @cached_property
    def constant_unit(self) -> float:
        """What the scales of bias filters drawn from the seed are multiplied by: the power of two near `size_of_a_row`.

        One gain serves the whole layer, so filters of another size than the reader's could not make the bias.
        """
        return 2.0 ** round(math.log2(self.size_of_a_row))

    @cached_property
    def size_of_a_row(self) -> float:
        """The root mean square of |v_t| times that of U: 1 for standard normal weights."""
        blocks = self.v.reshape(self.v.shape[1], -1, self.v.shape[1])
        scales = np.einsum("btb->bt", blocks).astype(np.float64)
        return float(np.sqrt(np.mean(scales**2)) * np.sqrt(np.mean(self.u.astype(np.float64) ** 2)))


def digest_of_pairs(pairs: Mapping[str, OwnPair]) -> str:
    """SHA-256 over name, shape and float32 values of every part, in the order of the mapping."""
    digest = hashlib.sha256()
    for name, pair in pairs.items():
        for part in ("v", "u", "constant_v", "constant_u"):
            values: Float32 | None = getattr(pair, part)
            if values is not None:
                digest.update(f"{name}.{part}:{values.shape};".encode())
                digest.update(np.ascontiguousarray(values).astype("<f4").tobytes())
    return digest.hexdigest()
