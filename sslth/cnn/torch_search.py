"""Sign decisions of many blocks at once, on any torch device, with the very answers of the compiled kernels.

Rows are drawn on the device and never leave it. A sign there comes from a float64 sum; where that is too near zero to
foretell the compiled kernel's float32 sum, which depends on its order, that block's tile is decided by the kernel.
Everything else is done in the kernel's own order, so no setting of the device, TF32 or another, plays a part.
`triton_pursuit` does it all in one kernel, where the environment's SSLTH_TRITON asks for it.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sslth.cnn.random_layer import Block
from sslth.cnn.torch_weights import draw_many_rows
from sslth.cnn.triton_draw import is_wanted
from sslth.cnn.triton_pursuit import LARGEST_DIMENSION, sign_tiles_drawn
from sslth.errors import DeviceLostError
from sslth.subset_sum.kernels.sign_tile import sign_tile
from sslth.subset_sum.random_weights import Part, counter_word

__all__ = ["Stream", "decide_together", "device_lost", "sign_tiles"]

Filters = npt.NDArray[np.uint32]
FloatArray = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_GROUP = 8  # rows that `add_rows` takes at a time
_LANES = 16
_UNIT = 2.0**-24
_DRAWN_AT_ONCE = 1 << 24  # entries whose int64 words are in a device's memory together: about 100 bytes each
_DRAWN_ON_THE_CPU = 1 << 20


@dataclass(eq=False)
class Stream:
    """One sign of a block on its way: its filters by falling or mixed |v_t|, and what is left of its target.

    Attributes
    ----------
    block : Block
    tiles : iterator of (filters uint32[k], |v_t| float64[k])
    residual : float64[d], in place
    decided : callable(filters, keep)
        Called after every tile.
    """

    block: Block
    tiles: Iterator[tuple[Filters, FloatArray]]
    residual: FloatArray
    decided: Callable[[Filters, Bools], object]


def decide_together(streams: Sequence[Stream], device: str, stop: threading.Event | None = None) -> None:
    """Sign pursuit over all streams, tile by tile side by side; all blocks have the same dimension.

    Without memory on the device fewer blocks go side by side, which is said once and changes nothing.

    Raises
    ------
    DeviceLostError
        If the device fails.
    CancelledError
        As soon as `stop` is set.
    """
    where = torch.device(device)
    at_once = max(1, len(streams))
    while True:
        coming = [(stream, tile) for stream in streams if (tile := next(stream.tiles, None)) is not None]
        if not coming:
            return
        if stop is not None and stop.is_set():
            raise CancelledError
        start = 0
        while start < len(coming):
            part = coming[start : start + at_once]
            try:
                found = _decide([s for s, _ in part], [tile for _, tile in part], where)
            except (MemoryError, torch.OutOfMemoryError) as error:
                if len(part) == 1:
                    raise MemoryError(f"one tile of {part[0][1][0].size} filters on {device}") from error
                at_once = max(1, len(part) // 2)
                warnings.warn(
                    f"not enough memory on {device} for {len(part)} blocks; the search goes on with fewer side by side",
                    RuntimeWarning,
                    stacklevel=2,
                )
                continue
            except RuntimeError as error:
                if where.type == "cpu":
                    raise
                raise device_lost(device, error) from error
            for (stream, (filters, _)), (keep, residual) in zip(part, found, strict=True):
                stream.residual[...] = residual
                stream.decided(filters, keep)
            start += len(part)


def device_lost(device: str, error: Exception) -> DeviceLostError:
    """What the user reads when a device has failed."""
    said = " ".join(str(error).split())[:100]
    return DeviceLostError(
        f"the device {device} failed ({said}); finished blocks are kept, so give the same command again"
    )


def _decide(
    streams: Sequence[Stream], tiles: Sequence[tuple[Filters, FloatArray]], where: torch.device
) -> list[tuple[Bools, FloatArray]]:
    """What is kept of one tile of every stream, and its residual afterwards; nothing is changed."""
    counts = [filters.size for filters, _ in tiles]
    size = -(-max(counts) // _GROUP) * _GROUP
    scales = np.zeros((len(tiles), size))
    for place, (_, lengths) in enumerate(tiles):
        scales[place, : lengths.size] = lengths
    blocks, filters_of = [stream.block for stream in streams], [filters for filters, _ in tiles]
    before = np.stack([stream.residual for stream in streams])
    d = before.shape[1]
    rest = torch.from_numpy(scales).to(where), torch.tensor(counts, device=where), torch.from_numpy(before).to(where)
    if is_wanted(where) and d <= LARGEST_DIMENSION and all(map(_is_drawn, blocks)):
        counters = _counters(blocks, filters_of, size, where)
        keep, after, unsure = sign_tiles_drawn(blocks[0].seed, *counters, *rest, _margin(d))
    else:
        keep, after, unsure = sign_tiles(_draw(blocks, filters_of, size, where), *rest)
    keeps, residuals = keep.cpu().numpy(), after.cpu().numpy()
    found = []
    for place, (count, doubtful) in enumerate(zip(counts, unsure.tolist(), strict=True)):
        kept, residual = keeps[place, :count], residuals[place]
        if doubtful:
            kept, residual = np.empty(count, dtype=np.bool_), before[place].copy()
            here = np.empty((count, d), dtype=np.float32)
            blocks[place].fill(filters_of[place], here)
            sign_tile(here, scales[place, :count], residual, kept, np.empty(count), np.empty(residual.size))
        found.append((kept, residual))
    return found


def _draw(blocks: Sequence[Block], filters: Sequence[Filters], size: int, where: torch.device) -> Tensor:
    """U[:, t] of every block's filters, float32[blocks, size, d]; zeros behind the last one."""
    d = blocks[0].d
    rows = torch.zeros((len(blocks), size, d), device=where)
    step = max(1, (_DRAWN_ON_THE_CPU if where.type == "cpu" else _DRAWN_AT_ONCE) // (size * (-(-d // 4) * 4)))
    for first in range(0, len(blocks), step):
        some = range(first, min(len(blocks), first + step))
        drawn = [place for place in some if _is_drawn(blocks[place])]
        for place in set(some) - set(drawn):  # another law, or the reader's own weights: the block knows
            here = np.empty((filters[place].size, d), dtype=np.float32)
            blocks[place].fill(filters[place], here)
            rows[place, : len(here)] = torch.from_numpy(here).to(where)
        if not drawn:
            continue
        counters = _counters([blocks[place] for place in drawn], [filters[place] for place in drawn], size, where)
        made = draw_many_rows(blocks[drawn[0]].seed, *counters, d)
        for i, place in enumerate(drawn):
            count = filters[place].size
            rows[place, :count] = made[i, :count]
    return rows


def _is_drawn(block: Block) -> bool:
    return block.layer.law in ("normal", "kaiming")


def _counters(
    blocks: Sequence[Block], filters: Sequence[Filters], size: int, where: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Words int64[b], channels int64[b] and filters int64[b, size], zeros behind the last one."""
    numbers = np.zeros((len(blocks), size), dtype=np.int64)
    for place, here in enumerate(filters):
        numbers[place, : here.size] = here
    words = [counter_word(block.layer.index, _part(block)) for block in blocks]
    channels = [block.channel for block in blocks]
    return (
        torch.tensor(words, device=where),
        torch.tensor(channels, device=where),
        torch.from_numpy(numbers).to(where),
    )


def _margin(d: int) -> float:
    """What float32 sums of d products can differ by, relative to the sum of their magnitudes."""
    return (d / _LANES + 22) * _UNIT  # of sixteen lanes, their tree, and at most fifteen entries behind them


def _part(block: Block) -> Part:
    return Part.CONSTANT_U if block.is_tap else Part.BIAS_U if block.is_constant else Part.U


def sign_tiles(rows: Tensor, scales: Tensor, counts: Tensor, residual: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`sign_tile` for many blocks side by side.

    Parameters
    ----------
    rows : float32[b, k, d]
        Zeros from row counts[i] of block i on; k is a multiple of 8.
    scales : float64[b, k]
        Positive, zeros likewise.
    counts : int64[b]
    residual : float64[b, d]

    Returns
    -------
    keep : bool[b, k]
    residual : float64[b, d]
        Bit for bit what the kernel leaves.
    unsure : bool[b]
        For these blocks one of the signs is too near to call, and the answers above are void.

    Notes
    -----
    O(b k d); about ten torch operations a row of a tile, whatever the number of blocks.
    """
    blocks, k, d = rows.shape
    half = 0.5 * scales
    left = (residual - _sum_of_rows(rows, half, counts)).to(torch.float32)
    steps = half.to(torch.float32)
    keep = torch.zeros((blocks, k), dtype=torch.bool, device=rows.device)
    unsure = torch.zeros(blocks, dtype=torch.bool, device=rows.device)
    margin = _margin(d)
    for i in range(k):
        row = rows[:, i]
        products = left.double() * row.double()  # exact
        overlap = products.sum(dim=1)
        unsure |= (overlap.abs() <= margin * products.abs().sum(dim=1)) & (i < counts)
        kept = overlap > 0
        keep[:, i] = kept & (i < counts)
        step = torch.where(kept, -steps[:, i], steps[:, i])
        change = step[:, None] * row  # an operation of its own, so that it is rounded before it is added
        left = left + change
    after = residual + _sum_of_rows(rows, torch.where(keep, -scales, 0.0), counts)
    return keep, after, unsure


def _sum_of_rows(rows: Tensor, weights: Tensor, counts: Tensor) -> Tensor:
    """Sum over i of weights[:, i] rows[:, i] in float64, in the order of `add_rows`: float64[b, d]."""
    blocks, k, d = rows.shape
    total = torch.zeros((blocks, d), dtype=torch.float64, device=rows.device)
    whole = counts // _GROUP
    for group in range(k // _GROUP):
        at = slice(group * _GROUP, (group + 1) * _GROUP)
        p = rows[:, at].double() * weights[:, at, None]
        low = (p[:, 0] + p[:, 1]) + (p[:, 2] + p[:, 3])
        high = (p[:, 4] + p[:, 5]) + (p[:, 6] + p[:, 7])
        total = total + torch.where((group < whole)[:, None], low + high, 0.0)
    every = torch.arange(blocks, device=rows.device)
    for behind in range(_GROUP - 1):
        at_row = whole * _GROUP + behind
        there = at_row < counts
        at_row = at_row.clamp(max=k - 1)
        p = rows[every, at_row].double() * weights[every, at_row][:, None]
        total = total + torch.where(there[:, None], p, 0.0)
    return total
