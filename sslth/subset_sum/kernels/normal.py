"""A random word becomes a normal number by float32 operations that round the same everywhere.

Every `*`, `+` and `-` is one IEEE float32 operation; there is no FMA, no libm and no rounding of an integer. The
coefficients are the definition (format version 1): a refit would be another random CNN. `docs/generator.md` says
how the transform works and how exact it is.
"""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.jit import njit

__all__ = ["CENTRAL_BITS", "LOG2_BITS", "TAIL_BITS", "interleaved_normals", "normals_of_words", "word_to_normal"]

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


@njit
def interleaved_normals(w0, w1, w2, w3, normals, size):
    """normals[4 i + c] = word_to_normal(wc[i]) for i < size; uint32 to float32.

    Four words side by side, step by step, because a polynomial waits for its own last product: .50 ns a normal with
    512-bit vectors, .70 if one word is finished before the next is begun. The steps of the polynomials are written out,
    because with a function for each LLVM does not vectorise the loop.
    """
    for i in range(size):
        a, b, c, e = w0[i], w1[i], w2[i], w3[i]
        fa, fb, fc, fe = _fraction(a), _fraction(b), _fraction(c), _fraction(e)
        sa, sb, sc, se = f32(ONE - fa), f32(ONE - fb), f32(ONE - fc), f32(ONE - fe)
        va, vb, vc, ve = _square_bits(fa, sa), _square_bits(fb, sb), _square_bits(fc, sc), _square_bits(fe, se)
        za, zb, zc, ze = _mantissa(va), _mantissa(vb), _mantissa(vc), _mantissa(ve)
        pa, pb, pc, pe = L7, L7, L7, L7
        pa, pb = f32(f32(pa * za) + L6), f32(f32(pb * zb) + L6)
        pc, pe = f32(f32(pc * zc) + L6), f32(f32(pe * ze) + L6)
        pa, pb = f32(f32(pa * za) + L5), f32(f32(pb * zb) + L5)
        pc, pe = f32(f32(pc * zc) + L5), f32(f32(pe * ze) + L5)
        pa, pb = f32(f32(pa * za) + L4), f32(f32(pb * zb) + L4)
        pc, pe = f32(f32(pc * zc) + L4), f32(f32(pe * ze) + L4)
        pa, pb = f32(f32(pa * za) + L3), f32(f32(pb * zb) + L3)
        pc, pe = f32(f32(pc * zc) + L3), f32(f32(pe * ze) + L3)
        pa, pb = f32(f32(pa * za) + L2), f32(f32(pb * zb) + L2)
        pc, pe = f32(f32(pc * zc) + L2), f32(f32(pe * ze) + L2)
        pa, pb = f32(f32(pa * za) + L1), f32(f32(pb * zb) + L1)
        pc, pe = f32(f32(pc * zc) + L1), f32(f32(pe * ze) + L1)
        pa, pb = f32(f32(pa * za) + L0), f32(f32(pb * zb) + L0)
        pc, pe = f32(f32(pc * zc) + L0), f32(f32(pe * ze) + L0)
        ma, mb = u32(a & MAGNITUDE) >= FIRST_CENTRAL, u32(b & MAGNITUDE) >= FIRST_CENTRAL
        mc, me = u32(c & MAGNITUDE) >= FIRST_CENTRAL, u32(e & MAGNITUDE) >= FIRST_CENTRAL
        ta = f32(f32(_exponent(va) + pa) - (CENTRAL_SHIFT if ma else TAIL_SHIFT))
        tb = f32(f32(_exponent(vb) + pb) - (CENTRAL_SHIFT if mb else TAIL_SHIFT))
        tc = f32(f32(_exponent(vc) + pc) - (CENTRAL_SHIFT if mc else TAIL_SHIFT))
        te = f32(f32(_exponent(ve) + pe) - (CENTRAL_SHIFT if me else TAIL_SHIFT))
        ya, yb, yc, ye = (A9 if ma else B9), (A9 if mb else B9), (A9 if mc else B9), (A9 if me else B9)
        ya, yb = f32(f32(ya * ta) + (A8 if ma else B8)), f32(f32(yb * tb) + (A8 if mb else B8))
        yc, ye = f32(f32(yc * tc) + (A8 if mc else B8)), f32(f32(ye * te) + (A8 if me else B8))
        ya, yb = f32(f32(ya * ta) + (A7 if ma else B7)), f32(f32(yb * tb) + (A7 if mb else B7))
        yc, ye = f32(f32(yc * tc) + (A7 if mc else B7)), f32(f32(ye * te) + (A7 if me else B7))
        ya, yb = f32(f32(ya * ta) + (A6 if ma else B6)), f32(f32(yb * tb) + (A6 if mb else B6))
        yc, ye = f32(f32(yc * tc) + (A6 if mc else B6)), f32(f32(ye * te) + (A6 if me else B6))
        ya, yb = f32(f32(ya * ta) + (A5 if ma else B5)), f32(f32(yb * tb) + (A5 if mb else B5))
        yc, ye = f32(f32(yc * tc) + (A5 if mc else B5)), f32(f32(ye * te) + (A5 if me else B5))
        ya, yb = f32(f32(ya * ta) + (A4 if ma else B4)), f32(f32(yb * tb) + (A4 if mb else B4))
        yc, ye = f32(f32(yc * tc) + (A4 if mc else B4)), f32(f32(ye * te) + (A4 if me else B4))
        ya, yb = f32(f32(ya * ta) + (A3 if ma else B3)), f32(f32(yb * tb) + (A3 if mb else B3))
        yc, ye = f32(f32(yc * tc) + (A3 if mc else B3)), f32(f32(ye * te) + (A3 if me else B3))
        ya, yb = f32(f32(ya * ta) + (A2 if ma else B2)), f32(f32(yb * tb) + (A2 if mb else B2))
        yc, ye = f32(f32(yc * tc) + (A2 if mc else B2)), f32(f32(ye * te) + (A2 if me else B2))
        ya, yb = f32(f32(ya * ta) + (A1 if ma else B1)), f32(f32(yb * tb) + (A1 if mb else B1))
        yc, ye = f32(f32(yc * tc) + (A1 if mc else B1)), f32(f32(ye * te) + (A1 if me else B1))
        ya, yb = f32(f32(ya * ta) + (A0 if ma else B0)), f32(f32(yb * tb) + (A0 if mb else B0))
        yc, ye = f32(f32(yc * tc) + (A0 if mc else B0)), f32(f32(ye * te) + (A0 if me else B0))
        normals[4 * i] = _signed(sa, ya, a)
        normals[4 * i + 1] = _signed(sb, yb, b)
        normals[4 * i + 2] = _signed(sc, yc, c)
        normals[4 * i + 3] = _signed(se, ye, e)


@njit
def _fraction(w):
    """(magnitude | 1) / 2**31, rounded once."""
    high = u32(((w >> SIXTEEN) & HIGH_HALF) | HIGH_EXPONENT).view(np.float32)
    low = u32((w & LOW_HALF) | LOW_EXPONENT).view(np.float32)
    return f32(f32(high - OFFSET) + low)


@njit
def _square_bits(f, s):
    """The bits of v = f (1 + s)."""
    return f32(f * f32(ONE + s)).view(np.int32)


@njit
def _mantissa(bits):
    """z of the logarithm: v without its power of two, less 1."""
    return f32(i32(bits - i32(i32(bits - SQRT_HALF_BITS) & EXPONENT_MASK)).view(np.float32) - ONE)


@njit
def _exponent(bits):
    """The power of two of v, as a float."""
    return f32(i32(i32(bits - SQRT_HALF_BITS) >> MANTISSA))


@njit
def _signed(s, y, w):
    """s y with the sign bit of the word."""
    return u32(f32(s * y).view(np.uint32) ^ u32(w & SIGN)).view(np.float32)
