"""A random word becomes a normal number by float32 operations that round the same everywhere.

Every `*`, `+` and `-` is one IEEE float32 operation; there is no FMA, no libm and no rounding of an integer. The
coefficients are the definition (format version 1): a refit would be another random CNN. `docs/generator.md` says
how the transform works and how exact it is.
"""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.jit import njit

__all__ = ["CENTRAL_BITS", "LOG2_BITS", "TAIL_BITS", "normals_of_words", "word_to_normal"]

f32, i32, u32 = np.float32, np.int32, np.uint32

LOG2_BITS = (0x340E21F3, 0x3FB8AA6A, 0xBF38ACA2, 0x3EF5FBA4, 0xBEB7B544, 0x3E9849F3, 0xBE8C1BD1, 0x3E2F3B0E)
CENTRAL_BITS = (
    *(0x40194BC0, 0xBE6EFACF, 0xBB8DF3FB, 0x399908E5, 0x386FDBCF),
    *(0x3663575C, 0xB432384E, 0xB330D149, 0xB091E294, 0x2F2F5B0F),
)
TAIL_BITS = (
    *(0x40A23123, 0xBE071F7D, 0xBAD23E23, 0xB8206F2F, 0xB594FB31),
    *(0xB306B714, 0xB0A41C46, 0xAEA7C122, 0x2BE5EF8F, 0x2AB55DE6),
)


def _floats(bits: tuple[int, ...]) -> list[np.float32]:
    return list(np.array(bits, dtype=np.uint32).view(np.float32))


L0, L1, L2, L3, L4, L5, L6, L7 = _floats(LOG2_BITS)
A0, A1, A2, A3, A4, A5, A6, A7, A8, A9 = _floats(CENTRAL_BITS)
B0, B1, B2, B3, B4, B5, B6, B7, B8, B9 = _floats(TAIL_BITS)
ONE, OFFSET = f32(1.0), f32(256.00390625)
CENTRAL_SHIFT, TAIL_SHIFT = f32(-4.75), f32(-20.25)
FIRST_CENTRAL = u32(1486848)
SIGN, MAGNITUDE = u32(0x80000000), u32(0x7FFFFFFF)
HIGH_HALF, HIGH_EXPONENT, LOW_HALF, LOW_EXPONENT = u32(0x7FFF), u32(0x43800000), u32(0xFFFF), u32(0x3B800001)
SIXTEEN, MANTISSA = u32(16), i32(23)
SQRT_HALF_BITS, EXPONENT_MASK = i32(0x3F3504F3), i32(-8388608)


@njit
def word_to_normal(word):
    """The standard normal float32 of one uint32: sign in the top bit, quantile from the 31 others."""
    w = u32(word)
    high = u32(((w >> SIXTEEN) & HIGH_HALF) | HIGH_EXPONENT).view(np.float32)
    low = u32((w & LOW_HALF) | LOW_EXPONENT).view(np.float32)
    f = f32(f32(high - OFFSET) + low)  # (magnitude | 1) / 2**31, rounded once
    s = f32(ONE - f)
    b = f32(f * f32(ONE + s)).view(np.int32)
    delta = i32(b - SQRT_HALF_BITS)
    exponent = i32(delta & EXPONENT_MASK)
    z = f32(i32(b - exponent).view(np.float32) - ONE)
    p = L7
    p = f32(f32(p * z) + L6)
    p = f32(f32(p * z) + L5)
    p = f32(f32(p * z) + L4)
    p = f32(f32(p * z) + L3)
    p = f32(f32(p * z) + L2)
    p = f32(f32(p * z) + L1)
    p = f32(f32(p * z) + L0)
    log2_v = f32(f32(i32(delta >> MANTISSA)) + p)
    central = u32(w & MAGNITUDE) >= FIRST_CENTRAL
    t = f32(log2_v - (CENTRAL_SHIFT if central else TAIL_SHIFT))
    y = A9 if central else B9
    y = f32(f32(y * t) + (A8 if central else B8))
    y = f32(f32(y * t) + (A7 if central else B7))
    y = f32(f32(y * t) + (A6 if central else B6))
    y = f32(f32(y * t) + (A5 if central else B5))
    y = f32(f32(y * t) + (A4 if central else B4))
    y = f32(f32(y * t) + (A3 if central else B3))
    y = f32(f32(y * t) + (A2 if central else B2))
    y = f32(f32(y * t) + (A1 if central else B1))
    y = f32(f32(y * t) + (A0 if central else B0))
    return u32(f32(s * y).view(np.uint32) ^ u32(w & SIGN)).view(np.float32)


@njit
def normals_of_words(words, normals, size):
    """normals[i] = word_to_normal(words[i]) for i < size; uint32 to float32."""
    for i in range(size):
        normals[i] = word_to_normal(words[i])
