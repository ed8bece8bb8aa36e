"""The tiled search: what it finds, that tiles and memory do not matter, and its gain."""

from __future__ import annotations

import numpy as np
import pytest

from sslth.cnn import search as search_module
from sslth.cnn.gain import pursuit_gain, sign_gain
from sslth.cnn.layers import Layer, Wiring
from sslth.cnn.plan import Task, bytes_of_block, search, threads_that_fit
from sslth.cnn.random_layer import Block, RandomLayer
from sslth.cnn.search import TiledSearch, candidates
from sslth.subset_sum.kernels.sign_tile import sign_tile
from sslth.subset_sum.solvers.sorted_pursuit import SortedPursuit


def block_of(n: int, d: int, seed: int = 3, law: str = "normal") -> Block:
    wiring = Wiring("linear", 1, d, False)
    return RandomLayer(seed, Layer("layer", 0, wiring, n, 0, False, 1.0, law=law)).channels[0]


def aim(n: int, d: int, number: int = 0) -> np.ndarray:
    direction = np.random.default_rng(number).standard_normal(d)
    direction /= np.linalg.norm(direction)
    return direction * sign_gain(np.ones(1), 0.0, n, d)


def relative_error(block: Block, sign: int, target: np.ndarray, filters: np.ndarray) -> float:
    scales = block.scales(filters).astype(np.float64)
    assert (scales * sign > 0).all()
    total = (np.abs(scales)[:, None] * block.rows(filters)).sum(axis=0)
    return float(np.linalg.norm(total - target) / np.linalg.norm(target))


# About twice the largest of 40 seeds for small d; for n = 20,000, d = 72 a prototype with several runs had 1.1e-5.
@pytest.mark.parametrize(
    ("n", "d", "bound"),
    [(600, 1, 1e-9), (600, 2, 2e-7), (600, 4, 3e-5), (600, 10, 5e-4), (504, 72, 0.08), (20_000, 72, 1.6e-5)],
)
def test_the_error_of_a_block(n: int, d: int, bound: float) -> None:
    block, target = block_of(n, d), aim(n, d)
    for sign in (1, -1):
        filters = TiledSearch().search(block, sign, target)
        assert np.unique(filters).size == filters.size
        assert relative_error(block, sign, target, filters) < bound


def test_it_beats_sorted_pursuit_with_its_own_gain_from_three_rows_a_dimension_on() -> None:
    d = 36
    for n in (4 * d, 7 * d, 28 * d):
        tiled, pursued = [], []
        for seed in range(6):
            block, direction = block_of(n, d, seed), aim(n, d, seed)
            tiled.append(relative_error(block, 1, direction, search(Task(block, 1, direction), TiledSearch(), None)))
            target = direction / np.linalg.norm(direction) * pursuit_gain(np.ones(1), 0.0, n, d)
            found = search(Task(block, 1, target), SortedPursuit(presorted=True), None)
            pursued.append(relative_error(block, 1, target, found))
        assert np.mean(np.log(tiled)) < np.mean(np.log(pursued))


@pytest.mark.parametrize("law", ["normal", "uniform"])
def test_small_tiles_find_as_good_a_subset(monkeypatch: pytest.MonkeyPatch, law: str) -> None:
    n, d = 3000, 36
    block, target = block_of(n, d, law=law), aim(n, d)
    whole = relative_error(block, 1, target, TiledSearch().search(block, 1, target))
    monkeypatch.setattr(search_module, "_TILE_ROWS", 300)
    tiled = relative_error(block, 1, target, TiledSearch().search(block, 1, target))
    assert 0.4 < tiled / whole < 2.5


def test_a_tail_that_would_be_too_large_gets_a_pass_of_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    n, d = 3000, 36
    block, target = block_of(n, d), aim(n, d)
    best = relative_error(block, 1, target, TiledSearch().search(block, 1, target))
    monkeypatch.setattr(search_module, "_LARGEST_TAIL", 60 * d)
    rough = relative_error(block, 1, target, TiledSearch().search(block, 1, target))
    assert best < rough < 0.05


def test_nothing_is_kept_where_nothing_helps() -> None:
    block = block_of(40, 36)
    target = np.full(36, 1e-6)  # far below what forty rows can resolve
    assert TiledSearch().search(block, 1, target).size == 0
    assert search(Task(block, 1, np.zeros(36)), TiledSearch(), None).size == 0


def test_candidates_are_ordered_by_scale_and_of_one_sign() -> None:
    block = block_of(200, 4)
    scales = block.scales()
    for sign in (1, -1):
        filters, lengths = candidates(block, sign)
        assert (np.diff(lengths) <= 0).all()
        assert sorted(filters.tolist()) == np.flatnonzero(scales * sign > 0).tolist()
        assert np.array_equal(np.abs(scales[filters]), lengths)


@pytest.mark.parametrize("law", ["normal", "uniform", "kaiming"])
@pytest.mark.parametrize("d", [3, 36])
def test_filled_rows_are_those_of_the_block(law: str, d: int) -> None:
    block = block_of(50, d, law=law)
    filters = np.array([7, 0, 99, 3], dtype=np.uint32)
    out = np.full((4, d), np.nan, dtype=np.float32)
    block.fill(filters, out)
    assert np.array_equal(out.astype(np.float64), block.rows(filters))


@pytest.mark.parametrize(("k", "d"), [(1, 1), (13, 5), (64, 36)])
def test_the_tile_kernel_against_plain_python(k: int, d: int) -> None:
    rng = np.random.default_rng(k)
    rows = rng.standard_normal((k, d)).astype(np.float32)
    scales = np.sort(rng.random(k))[::-1].copy() + 0.1
    start = 3 * rng.standard_normal(d)
    left = start - 0.5 * (scales @ rows)
    expected = []
    for scale, row in zip(scales, rows.astype(np.float64), strict=True):
        expected.append(bool(left @ row > 0))
        left += (-0.5 if expected[-1] else 0.5) * scale * row
    residual, keep = start.copy(), np.zeros(k, dtype=np.bool_)
    sign_tile(rows, scales, residual, keep, np.empty(k), np.empty(d))
    assert keep.tolist() == expected
    assert np.abs(residual - (start - scales[keep] @ rows[keep].astype(np.float64))).max() < 1e-12 * k


def test_gain_rule_of_signs() -> None:
    norms = np.array([1.0, 2.0])
    for d, q, share in ((576, 7, 0.16), (576, 28, 0.23), (144, 700, 0.28)):
        expected = (share - (0.45 + 8 / d) / np.sqrt(q * d)) * q * d
        assert sign_gain(norms, 0.0, q * d, d) * 2 == pytest.approx(expected, rel=0.01)
    assert sign_gain(norms, 80.0, 10**6, 72) == pytest.approx(sign_gain(norms, 0.0, 10**6, 72) / 10, rel=0.01)
    assert sign_gain(np.zeros(3), 0.0, 100, 9) == 1.0


def test_memory_does_not_grow_with_the_rows() -> None:
    whole, tiled = bytes_of_block(SortedPursuit()), bytes_of_block(TiledSearch())
    assert tiled(65_536, 576) < 1 << 28 < whole(65_536, 576)
    assert tiled(1 << 20, 4608) < 1 << 30
    tasks = [Task(block_of(4096, 576), 1, np.ones(576))]
    one = tiled(4096, 576)
    assert [threads_that_fit(tasks, TiledSearch(), memory, 8) for memory in (1, one, 3 * one, 100 * one)] == [
        1,
        1,
        3,
        8,
    ]
