"""Random rows by one Triton kernel: the words and normals of `torch_weights`, made in registers, stored once.

Run in Triton's interpreter, bit for bit, and compiled, without a fused multiply-add; not yet run on a GPU. So it is off
unless the environment's SSLTH_TRITON is 1.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from sslth.errors import InvalidInputError
from sslth.subset_sum.kernels import normal

try:
    import triton
    import triton.language as tl
except ImportError:  # an extra: `is_wanted` says so
    triton = tl = None

__all__ = [
    "OPTIONS",
    "SWITCH",
    "draw_many_rows",
    "is_installed",
    "is_wanted",
    "jit",
    "normals_of",
    "on_device",
    "philox",
]

SWITCH = "SSLTH_TRITON"
_BLOCK = 256  # counters a program, four normals each
OPTIONS = {"enable_fp_fusion": False}  # else Triton makes fused multiply-adds, which round differently


def jit(function: Callable[..., Any]) -> Any:
    """A Triton kernel, or a part of one; the function itself where Triton is not installed."""
    return function if triton is None else triton.jit(function)


def _constant(value: float) -> Any:
    """A number that a kernel may read: Triton allows no other globals."""
    return value if tl is None else tl.constexpr(value)


L0, L1, L2, L3, L4, L5, L6, L7 = (_constant(float(c)) for c in (
    normal.L0, normal.L1, normal.L2, normal.L3, normal.L4, normal.L5, normal.L6, normal.L7
))  # fmt: skip
A0, A1, A2, A3, A4, A5, A6, A7, A8, A9 = (_constant(float(c)) for c in (
    normal.A0, normal.A1, normal.A2, normal.A3, normal.A4, normal.A5, normal.A6, normal.A7, normal.A8, normal.A9
))  # fmt: skip
B0, B1, B2, B3, B4, B5, B6, B7, B8, B9 = (_constant(float(c)) for c in (
    normal.B0, normal.B1, normal.B2, normal.B3, normal.B4, normal.B5, normal.B6, normal.B7, normal.B8, normal.B9
))  # fmt: skip


def is_installed() -> bool:
    """Whether the package triton is there; it need not find a GPU."""
    return triton is not None


def on_device(where: torch.device) -> AbstractContextManager[object]:
    """Where kernels are launched meanwhile: Triton takes the current device, wherever the arguments are."""
    return torch.cuda.device(where) if where.type == "cuda" else nullcontext()


def is_wanted(where: torch.device) -> bool:
    """Whether rows on this device are drawn by the kernel: SSLTH_TRITON is 1, and it is an NVIDIA or AMD GPU.

    Raises
    ------
    InvalidInputError
        If it is wanted and Triton is not installed.
    """
    if where.type != "cuda" or os.environ.get(SWITCH) != "1":
        return False
    if not is_installed():
        raise InvalidInputError(f"{SWITCH} is 1, but the package triton is not installed; unset it, or install triton")
    return True


def draw_many_rows(seed: int, words: Tensor, channels: Tensor, filters: Tensor, d: int) -> Tensor:
    """`torch_weights.draw_many_rows`, the same bits: float32[b, k, d], and no memory besides.

    words int64[b], each a `counter_word`; channels int64[b]; filters int64[b, k]; all on one device.
    """
    where = filters.device
    rows = torch.empty((*filters.shape, d), dtype=torch.float32, device=where)
    key = torch.tensor([seed & 0xFFFFFFFF, seed >> 32], dtype=torch.int64, device=where)
    groups = (d + 3) // 4
    total = filters.numel() * groups
    if total:
        programs = -(-total // _BLOCK)
        arguments = (key, words.contiguous(), channels.contiguous(), filters.contiguous(), rows)
        with on_device(where):
            _draw[(programs,)](*arguments, filters.shape[1], d, groups, total, BLOCK=_BLOCK, **OPTIONS)
    return rows


@jit
def _draw(key, words, channels, filters, rows, k, d, groups, total, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Four entries of a row for each of BLOCK counters."""
    item = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = item < total
    row = item // groups
    group = item - row * groups
    block = row // k
    c0 = group.to(tl.uint32)
    c1 = tl.load(filters + row, mask=inside, other=0).to(tl.uint32)
    c2 = tl.load(channels + block, mask=inside, other=0).to(tl.uint32)
    c3 = tl.load(words + block, mask=inside, other=0).to(tl.uint32)
    k0 = tl.load(key).to(tl.uint32)
    k1 = tl.load(key + 1).to(tl.uint32)
    c0, c1, c2, c3 = philox(c0, c1, c2, c3, k0, k1)
    entry = group * 4
    place = rows + row * d + entry
    tl.store(place, normals_of(c0), mask=inside & (entry < d))
    tl.store(place + 1, normals_of(c1), mask=inside & (entry + 1 < d))
    tl.store(place + 2, normals_of(c2), mask=inside & (entry + 2 < d))
    tl.store(place + 3, normals_of(c3), mask=inside & (entry + 3 < d))


@jit
def philox(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Philox4x32-10 of blocks of uint32."""
    for _ in tl.static_range(10):
        product_0 = c0.to(tl.uint64) * 0xD2511F53
        product_1 = c2.to(tl.uint64) * 0xCD9E8D57
        c0 = (product_1 >> 32).to(tl.uint32) ^ c1 ^ k0
        c2 = (product_0 >> 32).to(tl.uint32) ^ c3 ^ k1
        c1 = product_1.to(tl.uint32)
        c3 = product_0.to(tl.uint32)
        k0 = k0 + 0x9E3779B9
        k1 = k1 + 0xBB67AE85
    return c0, c1, c2, c3


@jit
def normals_of(word):  # type: ignore[no-untyped-def]
    """`normal.word_to_normal` of a block of uint32."""
    high = (((word >> 16) & 0x7FFF) | 0x43800000).to(tl.float32, bitcast=True)
    low = ((word & 0xFFFF) | 0x3B800001).to(tl.float32, bitcast=True)
    f = (high - 256.00390625) + low
    s = 1.0 - f
    bits = (f * (1.0 + s)).to(tl.int32, bitcast=True)
    delta = bits - 0x3F3504F3
    exponent = (delta >> 23) << 23
    z = (bits - exponent).to(tl.float32, bitcast=True) - 1.0
    p = z * L7 + L6
    p = p * z + L5
    p = p * z + L4
    p = p * z + L3
    p = p * z + L2
    p = p * z + L1
    p = p * z + L0
    log2_v = (delta >> 23).to(tl.float32) + p
    central = (word & 0x7FFFFFFF) >= 1486848
    t = tl.where(central, log2_v + 4.75, log2_v + 20.25)
    y = tl.where(central, t * A9 + A8, t * B9 + B8)
    y = y * t + tl.where(central, A7, B7)
    y = y * t + tl.where(central, A6, B6)
    y = y * t + tl.where(central, A5, B5)
    y = y * t + tl.where(central, A4, B4)
    y = y * t + tl.where(central, A3, B3)
    y = y * t + tl.where(central, A2, B2)
    y = y * t + tl.where(central, A1, B1)
    y = y * t + tl.where(central, A0, B0)
    return ((s * y).to(tl.uint32, bitcast=True) ^ (word & 0x80000000)).to(tl.float32, bitcast=True)
