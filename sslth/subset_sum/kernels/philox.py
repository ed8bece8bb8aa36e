"""Philox4x32-10, the counter-based generator of random words [Salmon2011]_, one tile of counters at a time.

.. [Salmon2011] J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3",
   SC 2011. doi:10.1145/2063384.2063405
"""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.kernels.jit import njit

__all__ = ["philox_tile"]

u32, u64 = np.uint32, np.uint64

MULTIPLIER_0, MULTIPLIER_1 = u64(0xD2511F53), u64(0xCD9E8D57)
KEY_STEP_0, KEY_STEP_1 = u64(0x9E3779B9), u64(0xBB67AE85)
LOW_WORD, HALF = u64(0xFFFFFFFF), u64(32)


@njit
def philox_tile(key_low, key_high, w0, w1, w2, w3, size):
    """Replace the first `size` counters by their words; w0 to w3 uint32, as long as the next even number at least.

    Word c of entry i goes from `wc[i]` (counter) to `wc[i]` (random word); an odd size takes one entry more along.
    The ten rounds stand in one loop body, so that vectors of counters stay in registers, and two counters side by
    side, because a round waits for the last one: .23 to .25 ns a word with 512-bit vectors; .29 one by one, .35 to .45
    with a loop a round.
    """
    a0, b0 = u64(key_low), u64(key_high)
    a1, b1 = (a0 + KEY_STEP_0) & LOW_WORD, (b0 + KEY_STEP_1) & LOW_WORD
    a2, b2 = (a1 + KEY_STEP_0) & LOW_WORD, (b1 + KEY_STEP_1) & LOW_WORD
    a3, b3 = (a2 + KEY_STEP_0) & LOW_WORD, (b2 + KEY_STEP_1) & LOW_WORD
    a4, b4 = (a3 + KEY_STEP_0) & LOW_WORD, (b3 + KEY_STEP_1) & LOW_WORD
    a5, b5 = (a4 + KEY_STEP_0) & LOW_WORD, (b4 + KEY_STEP_1) & LOW_WORD
    a6, b6 = (a5 + KEY_STEP_0) & LOW_WORD, (b5 + KEY_STEP_1) & LOW_WORD
    a7, b7 = (a6 + KEY_STEP_0) & LOW_WORD, (b6 + KEY_STEP_1) & LOW_WORD
    a8, b8 = (a7 + KEY_STEP_0) & LOW_WORD, (b7 + KEY_STEP_1) & LOW_WORD
    a9, b9 = (a8 + KEY_STEP_0) & LOW_WORD, (b8 + KEY_STEP_1) & LOW_WORD
    half = (size + 1) // 2
    for i in range(half):
        j = i + half
        x, y, z, t = u64(w0[i]), u64(w1[i]), u64(w2[i]), u64(w3[i])
        p, q, r, s = u64(w0[j]), u64(w1[j]), u64(w2[j]), u64(w3[j])
        x, y, z, t, p, q, r, s = _round(x, y, z, t, p, q, r, s, a0, b0)
        x, y, z, t, p, q, r, s = _round(x, y, z, t, p, q, r, s, a1, b1)
        x, y, z, t, p, q, r, s = _round(x, y, z, t, p, q, r, s, a2, b2)
        x, y, z, t, p, q, r, s = _round(x, y, z, t, p, q, r, s, a3, b3)
        x, y, z, t, p, q, r, s = _round(x, y, z, t, p, q, r, s, a4, b4)
        x, y, z, t, p, q, r, s = _round(x, y, z, t, p, q, r, s, a5, b5)
        x, y, z, t, p, q, r, s = _round(x, y, z, t, p, q, r, s, a6, b6)
        x, y, z, t, p, q, r, s = _round(x, y, z, t, p, q, r, s, a7, b7)
        x, y, z, t, p, q, r, s = _round(x, y, z, t, p, q, r, s, a8, b8)
        x, y, z, t, p, q, r, s = _round(x, y, z, t, p, q, r, s, a9, b9)
        w0[i], w1[i], w2[i], w3[i] = u32(x), u32(y), u32(z), u32(t)
        w0[j], w1[j], w2[j], w3[j] = u32(p), u32(q), u32(r), u32(s)


@njit
def _round(x, y, z, t, p, q, r, s, key_0, key_1):
    """One round on two counters whose words are uint64 below 2^32."""
    xx, zz, pp, rr = MULTIPLIER_0 * x, MULTIPLIER_1 * z, MULTIPLIER_0 * p, MULTIPLIER_1 * r
    return (
        (zz >> HALF) ^ y ^ key_0,
        zz & LOW_WORD,
        (xx >> HALF) ^ t ^ key_1,
        xx & LOW_WORD,
        (rr >> HALF) ^ q ^ key_0,
        rr & LOW_WORD,
        (pp >> HALF) ^ s ^ key_1,
        pp & LOW_WORD,
    )
