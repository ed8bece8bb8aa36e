"""The generator: golden values, its plain twin, and the law of what it draws."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from scipy import stats

from sslth.errors import InvalidInputError
from sslth.subset_sum.draw_instance import draw_instance
from sslth.subset_sum.kernels.draw import draw_normal_rows
from sslth.subset_sum.kernels.normal import normals_of_words
from sslth.subset_sum.kernels.philox import philox_tile
from sslth.subset_sum.random_weights import Part, counter_word, draw_column, draw_rows, draw_words

GOLDEN_NORMALS = {
    0x00000000: 0x40C75E50,
    0x00000001: 0x40C75E50,
    0x7FFFFFFF: 0x00000000,
    0x80000000: 0xC0C75E50,
    0xFFFFFFFF: 0x80000000,
    0x0016AFFF: 0x40592017,
    0x0016B000: 0x40592015,
    0x12345678: 0x3FBBD931,
    0xDEADBEEF: 0xBEAA20AD,
}
KNOWN_WORDS = [  # Salmon et al. 2011, known-answer tests of Philox4x32-10
    ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
# Format version 1: the bits of weights of one filter
GOLDEN_SEED, GOLDEN_LAYER, GOLDEN_CHANNEL, GOLDEN_FILTER = 0x0123456789ABCDEF, 2, 3, 4

GOLDEN_WEIGHTS: dict[str, list[int]] = {
    "V": [0xBCBCE128, 0x3E8AE96A, 0xBFB828E1, 0xBEA9EB2D, 0xBFF18D6E],
    "U": [0x3F5264D5, 0xBEC7FA3E, 0xBE909A6F, 0x3F2BBFC2, 0xC00A3EB2],
    "BIAS_U": [0x3F23AB33, 0x3E7A868A, 0xBF3DF3D6, 0xC0052B23, 0xBF8CBCC4],
    "BIAS_V": [0xBF1B88B3, 0x3F6D2FE6, 0x3F4BF51F, 0x3FADE887, 0xBE8A87FA],
}


def normals(words: np.ndarray) -> np.ndarray:
    out = np.empty(words.size, dtype=np.float32)
    normals_of_words(words, out, words.size)
    return out


def test_golden_normals() -> None:
    words = np.array(list(GOLDEN_NORMALS), dtype=np.uint32)
    assert [hex(b) for b in normals(words).view(np.uint32)] == [hex(b) for b in GOLDEN_NORMALS.values()]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_WORDS)
def test_known_answers_of_philox(counter: tuple, key: tuple, words: tuple) -> None:
    tile = [np.full(4, word, dtype=np.uint32) for word in counter]  # an odd size takes one more along
    philox_tile(np.uint32(key[0]), np.uint32(key[1]), *tile, 3)
    assert all(tuple(int(column[i]) for column in tile) == words for i in range(3))


def test_words_of_random_counters_equal_the_plain_twin() -> None:
    rng = np.random.default_rng(1)
    counters = rng.integers(0, 2**32, (4, 41), dtype=np.uint32)
    key = rng.integers(0, 2**32, 2, dtype=np.uint32)
    tile = [np.append(row, row[:1]) for row in counters]
    philox_tile(key[0], key[1], *tile, 41)
    for i in range(41):
        expected = oracle.philox([int(c) for c in counters[:, i]], [int(k) for k in key])
        assert [int(column[i]) for column in tile] == list(expected)


@pytest.mark.needs_jit
def test_normals_equal_the_plain_twin_bit_for_bit() -> None:
    rng = np.random.default_rng(2)
    edges = np.array([0, 1486847, 1486848, 2**31 - 1, 2**31, 2**32 - 1], dtype=np.uint32)
    words = np.concatenate([rng.integers(0, 2**32, 200_000, dtype=np.uint32), edges, edges ^ np.uint32(2**31)])
    expected = oracle.normal(words)
    assert np.array_equal(normals(words).view(np.uint32), np.asarray(expected, dtype=np.float32).view(np.uint32))


def test_layout_of_the_counter() -> None:
    """Entry e of a filter is word e & 3 of counter (e >> 2, filter, channel, layer | part << 16 | version << 24)."""
    filters = np.array([GOLDEN_FILTER, 9], dtype=np.uint32)
    rows = draw_rows(GOLDEN_SEED, GOLDEN_LAYER, Part.U, GOLDEN_CHANNEL, filters, 11)
    key = [GOLDEN_SEED & 0xFFFFFFFF, GOLDEN_SEED >> 32]
    for row, t in enumerate(filters):
        for e in range(11):
            counter = [e >> 2, int(t), GOLDEN_CHANNEL, GOLDEN_LAYER | 1 << 16 | 1 << 24]
            word = oracle.philox(counter, key)[e & 3]
            assert rows[row, e] == float(oracle.normal(np.array([word], dtype=np.uint32))[0])
    assert counter_word(2, Part.U) == 2 | 1 << 16 | 1 << 24


def test_golden_weights_of_format_version_1() -> None:
    """These bits are a promise: a change of any of them is another random CNN."""
    filters = np.array([GOLDEN_FILTER], dtype=np.uint32)
    found = {
        part.name: draw_rows(GOLDEN_SEED, GOLDEN_LAYER, part, GOLDEN_CHANNEL, filters, 5)
        .astype(np.float32)
        .view(np.uint32)[0]
        .tolist()
        for part in (Part.V, Part.U, Part.BIAS_U, Part.BIAS_V)
    }
    assert found == GOLDEN_WEIGHTS


def test_columns_are_entries_of_rows_and_tiles_can_be_drawn_alone() -> None:
    filters = np.arange(700, dtype=np.uint32)
    rows = draw_rows(5, 1, Part.V, 6, filters, 9)
    for entry in (0, 3, 4, 8):
        assert np.array_equal(draw_column(5, 1, Part.V, 6, filters, entry), rows[:, entry].astype(np.float32))
    alone = draw_rows(5, 1, Part.V, 6, filters[300:310], 9)
    assert np.array_equal(alone, rows[300:310])


@pytest.mark.needs_jit
@pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 36, 2049])
def test_rows_of_every_length_are_prefixes_of_longer_ones(d: int) -> None:
    filters = np.arange(3, dtype=np.uint32)
    assert np.array_equal(draw_rows(1, 0, Part.U, 0, filters, d), draw_rows(1, 0, Part.U, 0, filters, d + 7)[:, :d])


def test_scales_multiply_exactly() -> None:
    filters = np.arange(50, dtype=np.uint32)
    scales = draw_column(3, 0, Part.V, 0, filters, 0)
    plain = draw_rows(3, 0, Part.U, 0, filters, 13)
    scaled = draw_rows(3, 0, Part.U, 0, filters, 13, np.abs(scales))
    assert np.array_equal(scaled, plain * np.abs(scales).astype(np.float64)[:, None])


@pytest.mark.needs_jit
def test_law_is_standard_normal() -> None:
    """Kolmogorov–Smirnov at a fixed seed, and the first four moments within five standard errors."""
    sample = draw_rows(0, 0, Part.U, 0, np.arange(1000, dtype=np.uint32), 1000).ravel()
    n = sample.size
    assert stats.kstest(sample, "norm").pvalue > 1e-3
    assert abs(sample.mean()) < 5 / np.sqrt(n)
    assert abs(sample.var() - 1) < 5 * np.sqrt(2 / n)
    assert abs((sample**3).mean()) < 5 * np.sqrt(15 / n)
    assert abs((sample**4).mean() - 3) < 5 * np.sqrt(96 / n)


@pytest.mark.needs_jit
def test_quantiles_are_accurate_in_both_pieces_and_far_out() -> None:
    words = np.concatenate([np.arange(0, 2**31, 65_537), np.arange(3000), [1486847, 1486848]]).astype(np.uint32)
    probability = (words | 1).astype(np.float64) / 2**31  # of |x| being at least the result
    exact = stats.norm.isf(probability / 2)
    error = np.abs(normals(words) - exact)
    assert error[exact < 1].max() < 4.2e-7
    assert error[exact < 3].max() < 7.3e-7
    assert error.max() < 2.7e-6


@pytest.mark.needs_jit
def test_nsn_rows_have_the_moments_of_the_design() -> None:
    """Mean 0, variance 1, kurtosis 9, coordinates uncorrelated, squares correlated by 1/4."""
    rows = draw_instance("nsn", n=400_000, d=2, seed=3).samples
    assert np.abs(rows.mean(axis=0)).max() < 5 / np.sqrt(4e5)
    assert np.abs(rows.var(axis=0) - 1).max() < 5 * np.sqrt(8 / 4e5)
    assert abs((rows[:, 0] * rows[:, 1]).mean()) < 5 * np.sqrt(3 / 4e5)
    assert abs(np.corrcoef(rows[:, 0] ** 2, rows[:, 1] ** 2)[0, 1] - 0.25) < 0.05
    assert abs((rows**4).mean() - 9) < 1


@pytest.mark.needs_jit
def test_drawn_instances_nest_and_repeat() -> None:
    small, large = (draw_instance("nsn", n=n, d=3, seed=8) for n in (10, 50))
    assert np.array_equal(small.samples, large.samples[:10])
    assert np.array_equal(small.target, large.target)
    assert np.abs(draw_instance("uniform", n=1000, d=2).samples).max() < 1
    assert not np.array_equal(small.samples, draw_instance("nsn", n=10, d=3, seed=9).samples)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"law": "cauchy", "n": 1, "d": 1}, "law"),
        ({"law": "nsn", "n": 0, "d": 1}, "n is 0"),
        ({"law": "nsn", "n": 1, "d": 0}, "d is 0"),
        ({"law": "nsn", "n": 1.5, "d": 1}, "n is 1.5"),
        ({"law": "nsn", "n": 2**32, "d": 1}, "n is"),
        ({"law": "nsn", "n": 1, "d": 1, "seed": -1}, "seed"),
        ({"law": "nsn", "n": 1, "d": 1, "seed": 2**64}, "seed"),
    ],
)
def test_impossible_draws_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        draw_instance(**arguments)
    assert "\n" not in str(caught.value)


def test_words_are_what_rows_are_made_of() -> None:
    filters = np.arange(5, dtype=np.uint32)
    words = draw_words(4, 0, Part.U, 1, filters, 6)
    assert np.array_equal(normals(words.ravel()), draw_rows(4, 0, Part.U, 1, filters, 6).ravel().astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [*range(1, 10), 63, 64, 65, 144, 2048, 2049])
def test_rows_fill_their_place_and_nothing_else(d: int, dtype: type) -> None:
    """Rows are written by fixed stores wider than they are: none may end outside, whatever the number of rows."""
    tile_rows = max(1, 512 // ((d + 3) // 4))
    for count in sorted({1, 2, 3, 4, tile_rows - 1, tile_rows, tile_rows + 1, tile_rows + 2} - {0}):
        if count * d > 2300:
            continue
        filters = np.arange(10, 10 + count, dtype=np.uint32)
        scales = np.linspace(0.5, 2.0, count, dtype=np.float32)
        buffer = np.full(count * d + 16, 7.5, dtype=dtype)
        rows = buffer[8:-8].reshape(count, d)
        word = np.uint32(counter_word(1, Part.U))
        draw_normal_rows(np.uint32(5), np.uint32(0), filters, scales, np.uint32(2), word, rows)
        words = draw_words(5, 1, Part.U, 2, filters, d)
        expected = normals(words.ravel()).reshape(count, d).astype(np.float64) * scales[:, None].astype(np.float64)
        assert np.array_equal(rows, expected.astype(dtype))
        assert np.all(buffer[:8] == 7.5)
        assert np.all(buffer[-8:] == 7.5)
