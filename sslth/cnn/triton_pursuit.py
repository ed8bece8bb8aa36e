"""Sign pursuit over a tile of every block in one Triton kernel: rows are made in registers, only decisions leave it.

What it finds is bit for bit what `torch_search.sign_tiles` finds, without a launch for every row. Run in Triton's
interpreter and compiled, not yet on a GPU; so it is off unless the environment's SSLTH_TRITON is 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sslth.cnn.triton_draw import OPTIONS, jit, normals_of, on_device, philox

try:
    import triton.language as tl
except ImportError:  # an extra: `triton_draw.is_wanted` says so
    tl = None

__all__ = ["LARGEST_DIMENSION", "sign_tiles_drawn"]

LARGEST_DIMENSION = 1024  # entries of a row that a program holds, five arrays of them
_SMALLEST = 16


def sign_tiles_drawn(
    seed: int,
    words: Tensor,
    channels: Tensor,
    filters: Tensor,
    scales: Tensor,
    counts: Tensor,
    residual: Tensor,
    margin: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """`torch_search.sign_tiles` of the rows that `torch_weights.draw_many_rows` would draw, which are never stored.

    Parameters
    ----------
    seed, words, channels, filters
        As in `draw_many_rows`; the first counts[i] filters of block i count.
    scales : float64[b, k]
        Positive.
    counts : int64[b]
    residual : float64[b, d]
        d is at most 1,024.
    margin : float
        A sign is too near to call below this times the sum of the products' magnitudes.

    Returns
    -------
    keep : bool[b, k]
    residual : float64[b, d]
    unsure : bool[b]
        For these blocks the answers above are void.

    Notes
    -----
    O(b k d), each row made twice: for half the sum that signs are about, and for its decision. One program a block.
    The sum over a row's d products is a tree over a power of two, whose order is Triton's; products are exact in
    float64, so that the margin bounds what another order could change.
    """
    (blocks, d), k, where = residual.shape, filters.shape[1], residual.device
    keep = torch.zeros((blocks, k), dtype=torch.int8, device=where)
    unsure = torch.zeros(blocks, dtype=torch.int32, device=where)
    after = torch.empty_like(residual)
    key = torch.tensor([seed & 0xFFFFFFFF, seed >> 32], dtype=torch.int64, device=where)
    given = (key, words, channels, filters.contiguous(), scales.contiguous(), counts, residual.contiguous())
    size = max(_SMALLEST, 1 << (d - 1).bit_length())
    with on_device(where):
        warps = max(4, size // 128)  # with four for 1,024 entries registers spill
        _sign_tile[(blocks,)](*given, keep, after, unsure, margin, k, d, D=size, num_warps=warps, **OPTIONS)
    return keep.bool(), after, unsure.bool()


@jit
def _sign_tile(  # type: ignore[no-untyped-def]
    key, words, channels, filters, scales, counts, residual, keep, after, unsure, margin, k, d, D: tl.constexpr
):
    """One block: `sign_tile`, its sums in the order of `add_rows`, eight rows at a time."""
    block = tl.program_id(0).to(tl.int64)
    entry = tl.arange(0, D)
    k0 = tl.load(key).to(tl.uint32)
    k1 = tl.load(key + 1).to(tl.uint32)
    word = tl.load(words + block).to(tl.uint32)
    channel = tl.load(channels + block).to(tl.uint32)
    count = tl.load(counts + block)
    whole = count // 8 * 8
    filters += block * k
    scales += block * k
    keep += block * k
    before = tl.load(residual + block * d + entry, mask=entry < d, other=0.0)

    total = tl.full([D], 0.0, tl.float64)
    for first in range(0, whole, 8):
        for pair in tl.static_range(4):
            at = first + 2 * pair
            one = _row(tl.load(filters + at), channel, word, k0, k1, d, D).to(tl.float64)
            other = _row(tl.load(filters + at + 1), channel, word, k0, k1, d, D).to(tl.float64)
            both = one * (0.5 * tl.load(scales + at)) + other * (0.5 * tl.load(scales + at + 1))
            if pair == 0:
                low = both
            elif pair == 1:
                low = low + both
            elif pair == 2:
                high = both
            else:
                total = total + (low + (high + both))
    for at in range(whole, count):
        row = _row(tl.load(filters + at), channel, word, k0, k1, d, D)
        total = total + row.to(tl.float64) * (0.5 * tl.load(scales + at))

    left = (before - total).to(tl.float32)
    total = tl.full([D], 0.0, tl.float64)
    doubt = block * 0
    for first in range(0, whole, 8):
        for pair in tl.static_range(4):
            at = first + 2 * pair
            row = _row(tl.load(filters + at), channel, word, k0, k1, d, D)
            one, left, doubt = _decided(row, tl.load(scales + at), left, keep + at, doubt, margin)
            row = _row(tl.load(filters + at + 1), channel, word, k0, k1, d, D)
            other, left, doubt = _decided(row, tl.load(scales + at + 1), left, keep + at + 1, doubt, margin)
            both = one + other
            if pair == 0:
                low = both
            elif pair == 1:
                low = low + both
            elif pair == 2:
                high = both
            else:
                total = total + (low + (high + both))
    for at in range(whole, count):
        row = _row(tl.load(filters + at), channel, word, k0, k1, d, D)
        one, left, doubt = _decided(row, tl.load(scales + at), left, keep + at, doubt, margin)
        total = total + one
    tl.store(after + block * d + entry, before + total, mask=entry < d)
    tl.store(unsure + block, (doubt > 0).to(tl.int32))


@jit
def _row(number, channel, word, k0, k1, d, D: tl.constexpr):  # type: ignore[no-untyped-def]
    """U[:, t] of one filter, float32[D], zeros from entry d on."""
    group = tl.arange(0, D // 4).to(tl.uint32)
    zeros = group ^ group
    c0, c1, c2, c3 = philox(group, zeros + number.to(tl.uint32), zeros + channel, zeros + word, k0, k1)
    drawn = tl.interleave(tl.interleave(c0, c2), tl.interleave(c1, c3))  # entry e is word e & 3 of counter e >> 2
    return tl.where(tl.arange(0, D) < d, normals_of(drawn), 0.0)


@jit
def _decided(row, scale, left, keep, doubt, margin):  # type: ignore[no-untyped-def]
    """What one row takes off the residual, float64[D]; what is left in float32; whether a sign was in doubt."""
    exact = row.to(tl.float64)
    products = left.to(tl.float64) * exact
    overlap = tl.sum(products, axis=0)
    near = tl.abs(overlap) <= margin * tl.sum(tl.abs(products), axis=0)
    kept = overlap > 0.0
    tl.store(keep, kept.to(tl.int8))
    half = (0.5 * scale).to(tl.float32)
    left = left + tl.where(kept, -half, half) * row
    return exact * tl.where(kept, -scale, 0.0), left, doubt + near.to(tl.int64)
