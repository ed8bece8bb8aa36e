"""The generator of random weights on torch tensors, bit-identical to the compiled one, for any device.

int64 tensors carry the 32-bit words (torch has no uint32 arithmetic on the CPU); every float32 operation is a torch
operation of its own, so that nothing contracts to a fused multiply-add.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sslth.cnn import triton_draw
from sslth.subset_sum.kernels.normal import CENTRAL_BITS, LOG2_BITS, TAIL_BITS
from sslth.subset_sum.random_weights import Part, counter_word

__all__ = ["draw_many_rows", "draw_rows", "normals_of_words", "philox"]

_LOW_WORD = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Philox4x32-10 of int64 tensors that hold 32-bit counter words; the key is the 64-bit seed."""
    c0, c1, c2, c3 = counter
    k0, k1 = seed & _LOW_WORD, seed >> 32
    for _ in range(10):
        high_0, low_0 = _multiply(c0, _MULTIPLIERS[0])
        high_1, low_1 = _multiply(c2, _MULTIPLIERS[1])
        c0, c1, c2, c3 = high_1 ^ c1 ^ k0, low_1, high_0 ^ c3 ^ k1, low_0
        k0, k1 = (k0 + _KEY_STEPS[0]) & _LOW_WORD, (k1 + _KEY_STEPS[1]) & _LOW_WORD
    return c0, c1, c2, c3


def _multiply(words: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """High and low word of the 64-bit products; int64 wraps, which leaves their bits right."""
    product = words * (factor - (1 << 32) if factor >= 1 << 63 else factor)
    return (product >> 32) & _LOW_WORD, product & _LOW_WORD


def normals_of_words(words: Tensor) -> Tensor:
    """The standard normal float32 of each word (int64 tensor of 32-bit words)."""
    device = words.device
    magnitude = words & 0x7FFFFFFF
    high = (((words >> 16) & 0x7FFF) | 0x43800000).to(torch.int32).view(torch.float32)
    low = ((words & 0xFFFF) | 0x3B800001).to(torch.int32).view(torch.float32)
    f = (high - 256.00390625) + low
    s = 1.0 - f
    bits = (f * (1.0 + s)).view(torch.int32)
    delta = bits - 0x3F3504F3
    exponent = delta & -8388608
    z = (bits - exponent).view(torch.float32) - 1.0
    log2_v = (delta >> 23).to(torch.float32) + _horner(_coefficients(LOG2_BITS, device), z)
    central = magnitude >= 1486848
    t = log2_v - torch.where(central, torch.tensor(-4.75, device=device), torch.tensor(-20.25, device=device))
    y = torch.where(
        central, _horner(_coefficients(CENTRAL_BITS, device), t), _horner(_coefficients(TAIL_BITS, device), t)
    )
    sign = torch.where(words >= 0x80000000, -(1 << 31), 0).to(torch.int32)
    return ((s * y).view(torch.int32) ^ sign).view(torch.float32)


def _coefficients(bits: tuple[int, ...], device: torch.device) -> Tensor:
    signed = [value - (1 << 32) if value >= 1 << 31 else value for value in bits]
    return torch.tensor(signed, dtype=torch.int32, device=device).view(torch.float32)


def _horner(coefficients: Tensor, t: Tensor) -> Tensor:
    total = coefficients[-1].expand_as(t)
    for coefficient in coefficients[:-1].flip(0):
        total = total * t
        total = total + coefficient
    return total


def draw_rows(seed: int, layer: int, part: Part, channel: int, filters: Tensor, d: int) -> Tensor:
    """Entries 0 to d - 1 of the given filters, float32[k, d], on the device of `filters` (int64[k])."""
    where = filters.device
    word, block = torch.tensor([counter_word(layer, part)], device=where), torch.tensor([channel], device=where)
    return draw_many_rows(seed, word, block, filters[None], d)[0]


def draw_many_rows(seed: int, words: Tensor, channels: Tensor, filters: Tensor, d: int) -> Tensor:
    """Rows of many blocks, float32[b, k, d].

    words int64[b], each a `counter_word`; channels int64[b]; filters int64[b, k]. About 100 bytes an entry meanwhile,
    none where the environment's SSLTH_TRITON asks for `triton_draw` on a GPU.
    """
    if triton_draw.is_wanted(filters.device):
        return triton_draw.draw_many_rows(seed, words, channels, filters, d)
    groups = (d + 3) // 4
    group = torch.arange(groups, device=filters.device).expand(*filters.shape, groups)
    counter = (
        group,
        filters[:, :, None].expand_as(group),
        channels[:, None, None].expand_as(group),
        words[:, None, None].expand_as(group),
    )
    drawn = torch.stack(philox(counter, seed), dim=3)
    return normals_of_words(drawn).flatten(2)[:, :, :d]
