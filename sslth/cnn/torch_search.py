"""Sign decisions of many blocks at once, on any torch device, with the very answers of the compiled kernels.

Rows are drawn on the device and never leave it. A sign there comes from a float64 sum; where that is too near zero to
foretell the compiled kernel's float32 sum, which depends on its order, that block's tile is decided by the kernel.
Everything else is done in the kernel's own order, so no setting of the device, TF32 or another, plays a part.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sslth.cnn.random_layer import Block
from sslth.cnn.torch_weights import draw_many_rows
from sslth.errors import DeviceLostError
from sslth.subset_sum.kernels.sign_tile import sign_tile
from sslth.subset_sum.random_weights import Part, counter_word

__all__ = ["Stream", "decide_together", "sign_tiles"]

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


def decide_together(streams: Sequence[Stream], device: str) -> None:
    """Sign pursuit over all streams, tile by tile side by side; all blocks have the same dimension.

    Without memory on the device fewer blocks go side by side, which is said once and changes nothing.

    Raises
    ------
    DeviceLostError
        If the device fails.
    """
    where = torch.device(device)
    at_once = max(1, len(streams))
    while True:
        coming = [(stream, tile) for stream in streams if (tile := next(stream.tiles, None)) is not None]
        if not coming:
            return
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
                said = " ".join(str(error).split())[:100]
                raise DeviceLostError(
                    f"the device {device} failed ({said}); finished blocks are kept, so give the same command again"
                ) from error
            for (stream, (filters, _)), (keep, residual) in zip(part, found, strict=True):
                stream.residual[...] = residual
                stream.decided(filters, keep)
            start += len(part)


def _decide(
    streams: Sequence[Stream], tiles: Sequence[tuple[Filters, FloatArray]], where: torch.device
) -> list[tuple[Bools, FloatArray]]:
    """What is kept of one tile of every stream, and its residual afterwards; nothing is changed."""
    counts = [filters.size for filters, _ in tiles]
    size = -(-max(counts) // _GROUP) * _GROUP
    scales = np.zeros((len(tiles), size))
    for place, (_, lengths) in enumerate(tiles):
        scales[place, : lengths.size] = lengths
    rows = _draw([stream.block for stream in streams], [filters for filters, _ in tiles], size, where)
    before = np.stack([stream.residual for stream in streams])
    keep, after, unsure = sign_tiles(
        rows, torch.from_numpy(scales).to(where), torch.tensor(counts, device=where), torch.from_numpy(before).to(where)
    )
    keeps, residuals = keep.cpu().numpy(), after.cpu().numpy()
    found = []
    for place, (count, doubtful) in enumerate(zip(counts, unsure.tolist(), strict=True)):
        kept, residual = keeps[place, :count], residuals[place]
        if doubtful:
            kept, residual = np.empty(count, dtype=np.bool_), before[place].copy()
            here = rows[place, :count].cpu().numpy()
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
        drawn = [place for place in some if blocks[place].layer.law in ("normal", "kaiming")]
        for place in set(some) - set(drawn):  # another law, or the reader's own weights: the block knows
            here = np.empty((filters[place].size, d), dtype=np.float32)
            blocks[place].fill(filters[place], here)
            rows[place, : len(here)] = torch.from_numpy(here).to(where)
        if not drawn:
            continue
        numbers = np.zeros((len(drawn), size), dtype=np.int64)
        for i, place in enumerate(drawn):
            numbers[i, : filters[place].size] = filters[place]
        words = [counter_word(blocks[place].layer.index, _part(blocks[place])) for place in drawn]
        channels = [blocks[place].channel for place in drawn]
        made = draw_many_rows(
            blocks[drawn[0]].seed,
            torch.tensor(words, device=where),
            torch.tensor(channels, device=where),
            torch.from_numpy(numbers).to(where),
            d,
        )
        for i, place in enumerate(drawn):
            count = filters[place].size
            rows[place, :count] = made[i, :count]
    return rows


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
    margin = (d / _LANES + 22) * _UNIT  # of sixteen lanes, their tree, and at most fifteen entries behind them
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
