"""Blocks of any width: large filters are drawn, decided and forgotten in the order of their numbers; small ones stay.

Sign pursuit needs falling scales only towards its end, where the residual comes down with them. So one pass over the
scales, a number a filter, tells those that stay (see `WideBlock.small_rows`), and all others go by as they come.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import erfinv

from sslth.cnn.kept_filters import Keeping
from sslth.cnn.layers import OWN
from sslth.cnn.random_layer import Block
from sslth.subset_sum.kernels.sign_tile import sign_tile
from sslth.subset_sum.kernels.split_scales import split_scales

__all__ = [
    "SORTED_AT_MOST",
    "Tile",
    "WideBlock",
    "by_falling_scale",
    "bytes_of_wide_block",
    "empty_rows",
    "falling_order",
    "is_wide",
    "one_ahead",
]

Filters = npt.NDArray[np.uint32]
Scales = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]

SORTED_AT_MOST = 1 << 18  # filters: above it, what sorting them takes would be most of a block's memory
_SMALL_ROWS = 1 << 16
_SMALL_A_DIMENSION = 32
_SMALL_A_ROOT = 3  # of d n: 1.3 is as little as can take back what the large ones leave
_FEWEST_IN_A_STRETCH = 256  # filters: what a tile may lack
_BYTES_A_SMALL_FILTER = 64  # number, length, their sorted copies, the order


class Tile(NamedTuple):
    """Filters of one block and sign, uint32[k], |v_t| float32[k] and U[:, t] float32[k, d]."""

    filters: Filters
    scales: Scales
    rows: npt.NDArray[np.float32]


def is_wide(block: Block) -> bool:
    """Whether the block is decided in the order of its filters' numbers: never for weights that the reader brought."""
    return block.size > SORTED_AT_MOST and block.layer.law != OWN


def bytes_of_wide_block(width: int, d: int, tile_entries: int) -> int:
    """What deciding a block of 2 width filters takes, less the last solver: small filters, two tiles."""
    return 2 * _BYTES_A_SMALL_FILTER * _small_rows(width, d) + 2 * 4 * tile_entries


def _small_rows(width: int, d: int) -> int:
    """How many filters stay so that the others may come in any order.

    Sign pursuit over rows of all lengths leaves a residual near .4 d, however many there are. The k smallest of n
    filters have lengths up to 1.25 k / n and can move .25 k² / n.
    """
    return max(_SMALL_ROWS, _SMALL_A_DIMENSION * d, _SMALL_A_ROOT * math.isqrt(d * width))


@dataclass(frozen=True)
class WideBlock:
    """One sign of a block, as tiles of its large filters; what is small is left behind, sorted.

    Parameters
    ----------
    block : Block
    sign : int
    tile_rows : int
        At most so many filters come at a time.
    """

    block: Block
    sign: int
    tile_rows: int

    @property
    def small_rows(self) -> int:
        """About how many filters of the sign stay: 65,536, 32 d or 3 √(n d)."""
        return _small_rows(self.block.size // 2, self.block.d)

    @property
    def edge(self) -> np.float32:
        """The |v_t| below which a filter stays, a function of width, d and law; eight bits, the same everywhere."""
        share = min(1.0, 2 * self.small_rows / self.block.size)
        length = math.sqrt(3.0) * share if self.block.layer.law == "uniform" else math.sqrt(2.0) * float(erfinv(share))
        mantissa, exponent = math.frexp(min(length, 16.0))
        return np.float32(math.ldexp(round(math.ldexp(mantissa, 8)), exponent - 8))

    def stretches(
        self, size: int, small: list[tuple[Filters, Scales]]
    ) -> Generator[tuple[Filters, Scales], None, None]:
        """Yield all large filters, uint32[k] and |v_t| float32[k], about `size` at a time, by number.

        At the end `small` holds the others' numbers and |v_t| in the same order.
        """
        sign, edge = np.float32(self.sign), self.edge
        first = 0
        while first < self.block.size:
            large, lengths = np.empty(size, dtype=np.uint32), np.empty(size, dtype=np.float32)
            count = 0
            while first < self.block.size and (count == 0 or size - count >= _FEWEST_IN_A_STRETCH):
                stretch = min(size - count, self.block.size - first)
                scales = self.block.scales(np.arange(first, first + stretch, dtype=np.uint32))
                here, few = np.empty(stretch, dtype=np.uint32), np.empty(stretch, dtype=np.float32)
                count, found = split_scales(scales, first, sign, edge, large, lengths, count, here, few, 0)
                if found:
                    small.append((here[:found].copy(), few[:found].copy()))
                first += stretch
            if count:
                yield large[:count], lengths[:count]

    def tiles(self, small: list[tuple[Filters, Scales]], buffers: int = 1) -> Generator[Tile, None, None]:
        """The same with rows, which are overwritten when `buffers` more tiles have been drawn.

        Without memory for the buffers tiles halve, which is said once.
        """
        d = self.block.d
        rows = empty_rows(lambda size: np.empty((buffers, size, d), dtype=np.float32), self.tile_rows)
        for number, (filters, lengths) in enumerate(self.stretches(rows.shape[1], small)):
            drawn = rows[number % buffers, : filters.size]
            self.block.fill(filters, drawn)
            yield Tile(filters, lengths, drawn)

    def decide(self, residual: FloatArray, kept: Keeping, ahead: bool) -> tuple[Filters, Scales]:
        """Sign pursuit over the large filters; returns the small ones by falling |v_t|, ties by number.

        residual float64[d] is the target at first, and what is left of it afterwards. With `ahead` another thread draws
        the next tile meanwhile; it changes nothing.
        """
        d = residual.size
        small: list[tuple[Filters, Scales]] = []
        keep, weights = np.empty(self.tile_rows, dtype=np.bool_), np.empty(self.tile_rows)
        total = np.empty(d)
        tiles = self.tiles(small, 2 if ahead else 1)
        with closing(one_ahead(tiles)) if ahead else closing(tiles) as drawn:
            for tile in drawn:
                k = tile.filters.size
                sign_tile(tile.rows, tile.scales.astype(np.float64), residual, keep[:k], weights[:k], total)
                kept.add(tile.filters[keep[:k]])
        return by_falling_scale(small)


def by_falling_scale(parts: list[tuple[Filters, Scales]]) -> tuple[Filters, Scales]:
    """All filters of some stretches and their |v_t|, by falling |v_t|, ties by number."""
    filters = np.concatenate([numbers for numbers, _ in parts] or [np.empty(0, dtype=np.uint32)])
    lengths = np.concatenate([part for _, part in parts] or [np.empty(0, dtype=np.float32)])
    order = falling_order(lengths)
    return filters[order], lengths[order]


def falling_order(lengths: Scales) -> npt.NDArray[np.intp]:
    """Indices of positive float32[k] by falling value, ties by index; k is below 2^32.

    Bits of positive floats are ordered as the floats are. One sort of (bits, index) as uint64, for which NumPy has
    vector code, takes a sixth of the time of a stable argsort.
    """
    keys = (~np.ascontiguousarray(lengths).view(np.uint32)).astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= np.arange(lengths.size, dtype=np.uint64)
    keys.sort()
    keys &= np.uint64(0xFFFFFFFF)
    return keys.astype(np.intp)


def empty_rows(
    allocate: Callable[[int], npt.NDArray[np.float32]], tile_rows: int, fewest: int = 1
) -> npt.NDArray[np.float32]:
    """`allocate(tile_rows)`, or of half as many rows, and so on, where there is no memory; a warning says so once."""
    wanted = tile_rows
    while True:
        try:
            rows = allocate(tile_rows)
        except MemoryError:
            if tile_rows <= fewest:
                raise
            tile_rows = max(fewest, tile_rows // 2)
            continue
        if tile_rows < wanted:
            warnings.warn(
                f"not enough memory for tiles of {wanted} filters; the search goes on with {tile_rows} at a time",
                RuntimeWarning,
                stacklevel=2,
            )
        return rows


def one_ahead(items: Iterator[Tile]) -> Generator[Tile, None, None]:
    """The same items; another thread makes the next one while the caller has the last."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item
