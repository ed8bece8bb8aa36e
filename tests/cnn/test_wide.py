"""Blocks of any width: what goes by and what stays, that memory is flat, and that little memory is enough."""

from __future__ import annotations

import pickle
import tracemalloc
import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from sslth.cnn import search as search_module
from sslth.cnn import wide
from sslth.cnn.gain import sign_gain
from sslth.cnn.kept_filters import Keeping
from sslth.cnn.layers import Layer, Wiring
from sslth.cnn.plan import Task, bytes_of_block, search, search_all
from sslth.cnn.random_layer import Block, RandomLayer
from sslth.cnn.search import TiledSearch, candidates
from sslth.cnn.wide import Tile, WideBlock, empty_rows, falling_order, is_wide, one_ahead
from sslth.errors import InvalidInputError
from sslth.subset_sum.kernels.split_scales import split_scales

WIDTH, D = 160_000, 12


def block_of(n: int, d: int = D, seed: int = 3, law: str = "normal") -> Block:
    return RandomLayer(seed, Layer("layer", 0, Wiring("linear", 1, d, False), n, 0, False, 1.0, law=law)).channels[0]


def aim(n: int, d: int = D) -> npt.NDArray[np.float64]:
    direction = np.random.default_rng(0).standard_normal(d)
    return direction / np.linalg.norm(direction) * sign_gain(np.ones(1), 0.0, n, d)


def relative_error(block: Block, target: npt.NDArray[np.float64], filters: npt.NDArray[np.uint32]) -> float:
    return float(np.linalg.norm(block.total(filters) - target) / np.linalg.norm(target))


@pytest.mark.parametrize("law", ["normal", "uniform"])
@pytest.mark.parametrize("sign", [1, -1])
def test_every_filter_of_the_sign_goes_by_or_stays(law: str, sign: int) -> None:
    block = block_of(WIDTH, law=law)
    part, small = WideBlock(block, sign, 1000), []
    gone, sizes = [], []
    for tile in part.tiles(small):
        assert (np.diff(tile.filters.astype(np.int64)) > 0).all()
        assert np.array_equal(tile.scales, np.abs(block.scales(tile.filters)))
        assert np.array_equal(tile.rows[-1].astype(np.float64), block.rows(tile.filters[-1:])[0])
        gone.append(tile.filters)
        sizes.append(tile.filters.size)
    staying = np.concatenate([filters for filters, _ in small])
    scales = block.scales()
    assert np.array_equal(np.concatenate(gone), np.flatnonzero(scales * sign >= part.edge))
    assert np.array_equal(staying, np.flatnonzero((scales * sign > 0) & (scales * sign < part.edge)))
    assert min(sizes[:-1]) > 1000 - 256
    assert max(sizes) <= 1000
    spread = np.sqrt(part.small_rows)  # at most that of a binomial number; eight bits of the edge are half a per cent
    assert abs(staying.size - part.small_rows) < 6 * spread + 0.005 * part.small_rows


@pytest.mark.parametrize("law", ["normal", "uniform"])
def test_as_many_stay_as_take_back_what_the_others_leave(law: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At widths beyond 65,536² / (9 d), where the root decides, seen here on a small scale."""
    n, d = 20_000, 30
    block, target = block_of(n, d, law=law), aim(n, d)
    in_order = relative_error(block, target, TiledSearch().search(block, 1, target))
    monkeypatch.setattr(wide, "SORTED_AT_MOST", 1000)
    monkeypatch.setattr(wide, "_SMALL_ROWS", 1)
    monkeypatch.setattr(wide, "_SMALL_A_DIMENSION", 9)
    assert relative_error(block, target, TiledSearch().search(block, 1, target)) < 2 * in_order
    monkeypatch.setattr(wide, "_SMALL_A_ROOT", 0)
    assert relative_error(block, target, TiledSearch().search(block, 1, target)) > 100 * in_order


def test_the_falling_order_is_that_of_a_stable_sort() -> None:
    rng = np.random.default_rng(1)
    lengths = np.abs(rng.standard_normal(5000)).astype(np.float32)
    lengths[:6] = [np.finfo(np.float32).smallest_subnormal, np.finfo(np.float32).max, np.inf, 1.0, 1.0, 2.0**-149]
    lengths[rng.integers(6, 5000, 3000)] = lengths[rng.integers(6, 5000, 3000)]  # ties
    for part in (lengths, lengths[::2], lengths[:1], lengths[:0]):
        assert np.array_equal(falling_order(part), np.argsort(-part, kind="stable"))


def test_the_split_of_scales_against_plain_python() -> None:
    scales = np.array([0.5, -0.5, 0.0, 0.1, 0.2, -0.1, 3.0], dtype=np.float32)
    large, small = np.zeros(9, dtype=np.uint32), np.zeros(9, dtype=np.uint32)
    lengths, short = np.zeros(9, dtype=np.float32), np.zeros(9, dtype=np.float32)
    edge = np.float32(0.2)
    assert split_scales(scales, 10, np.float32(1), edge, large, lengths, 1, small, short, 0) == (4, 1)
    assert large[1:4].tolist() == [10, 14, 16]
    assert lengths[1:4].tolist() == [np.float32(x) for x in (0.5, 0.2, 3.0)]
    assert (small[0], short[0]) == (13, np.float32(0.1))
    assert split_scales(scales, 0, np.float32(-1), edge, large, lengths, 0, small, short, 0) == (1, 1)


def test_it_finds_as_good_a_subset_as_with_all_filters_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    block, target = block_of(WIDTH), aim(WIDTH)
    assert is_wide(block)
    found = TiledSearch().search(block, 1, target)
    assert (np.diff(np.asarray(found, dtype=np.int64)) > 0).all()
    assert (block.scales(found) > 0).all()
    with monkeypatch.context() as patch:
        patch.setattr(wide, "SORTED_AT_MOST", 1 << 30)
        ordered = TiledSearch().search(block, 1, target)
    ratio = relative_error(block, target, found) / relative_error(block, target, ordered)
    assert 0.2 < ratio < 5.0  # of one block at d = 12 the error fluctuates by a factor of two
    assert relative_error(block, target, found) < 1e-7


def test_no_wide_block_is_made_of_what_the_reader_brought_or_what_fits() -> None:
    own = block_of(WIDTH, law="own")
    assert not is_wide(own)
    assert not is_wide(block_of(wide.SORTED_AT_MOST // 2))
    assert is_wide(block_of(wide.SORTED_AT_MOST // 2 + 1))


def test_another_thread_that_draws_ahead_and_a_store_on_disk_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    block, target = block_of(WIDTH), aim(WIDTH)
    alone = TiledSearch().search(block, 1, target)
    monkeypatch.setattr("sslth.cnn.spool._HELD", 1000)  # kept numbers go to a temporary file
    assert np.array_equal(TiledSearch(ahead=True).search(block, 1, target), alone)
    task = Task(block, 1, target)
    for threads in (1, 2):
        ((_, filters),) = search_all([task], TiledSearch(), None, threads)
        assert np.array_equal(filters, alone)
    assert repr(TiledSearch(ahead=True)) == repr(TiledSearch())  # the key of stored blocks is the same


def test_memory_is_within_what_is_stated_and_does_not_grow() -> None:
    search(Task(block_of(WIDTH), 1, aim(WIDTH)), TiledSearch(), None)  # modules and kernels are there
    peaks = []
    for width in (WIDTH, 8 * WIDTH):
        tracemalloc.start()
        search(Task(block_of(width), 1, aim(width)), TiledSearch(ahead=True), None)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert peaks[-1] < bytes_of_block(TiledSearch())(width, D)
    assert peaks[1] - peaks[0] < 4 * 7 * WIDTH  # the kept numbers: every second filter of a sign


def test_without_memory_tiles_halve_and_it_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    block, target = block_of(WIDTH), aim(WIDTH)
    usual = np.empty

    def scarce(shape: object, *args: object, **keywords: object) -> npt.NDArray[np.float32]:
        if isinstance(shape, tuple) and shape[-1:] == (D,) and np.prod(shape[:-1]) > 1500:
            raise MemoryError
        return usual(shape, *args, **keywords)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(wide, "np", _Numpy(scarce))
    monkeypatch.setattr(search_module, "np", _Numpy(scarce))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        for _ in range(2):
            found = TiledSearch().search(block, 1, target)
            assert relative_error(block, target, found) < 1e-7
    assert sorted({str(one.message) for one in said}) == [
        "not enough memory for tiles of 4096 filters; the search goes on with 1024 at a time"
    ]
    assert len(said) <= 2  # one a place: large filters, small filters


class _Numpy:
    """NumPy with another `empty`."""

    def __init__(self, empty: object) -> None:
        self.empty = empty

    def __getattr__(self, name: str) -> object:
        return getattr(np, name)


def test_no_memory_at_all_is_no_endless_loop() -> None:
    def nothing(size: int) -> npt.NDArray[np.float32]:
        raise MemoryError(str(size))

    with pytest.raises(MemoryError, match="1"):
        empty_rows(nothing, 4096)


def test_one_ahead_gives_the_same_items_and_passes_errors_on() -> None:
    empty = np.empty(0, dtype=np.uint32)
    tiles = [Tile(empty, empty.astype(np.float32), np.zeros((0, i), dtype=np.float32)) for i in range(4)]
    assert [tile.rows.shape[1] for tile in one_ahead(iter(tiles))] == [0, 1, 2, 3]

    def broken() -> Iterator[Tile]:
        yield tiles[0]
        raise MemoryError("gone")

    with pytest.raises(MemoryError, match="gone"):
        list(one_ahead(broken()))


def test_kept_numbers_come_back_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sslth.cnn.spool._HELD", 4)
    kept = Keeping()
    for part in ([1, 5, 9], [12, 13, 40], [], [50]):
        kept.add(np.array(part, dtype=np.uint32))
    found = kept.with_others(np.array([99, 41, 3, 2], dtype=np.uint32))
    del kept  # its file is closed, what is found has one of its own
    assert found.numbers().tolist() == [1, 2, 3, 5, 9, 12, 13, 40, 41, 50, 99]


@pytest.mark.parametrize("held", [3, 1000])
def test_any_numbers_are_joined_in_order(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sslth.cnn.spool._HELD", held)
    monkeypatch.setattr("sslth.cnn.kept_filters._STRETCH", held)
    rng = np.random.default_rng(held)
    for size in (1, 5, 6, 40):
        numbers = np.sort(rng.choice(100, size, replace=False)).astype(np.uint32)
        later = rng.random(size) < 0.3
        kept = Keeping()
        for part in np.array_split(numbers[~later], 4):
            kept.add(part)
        found = kept.with_others(rng.permutation(numbers[later]))
        assert found.size == size
        assert np.array_equal(found, numbers)


def test_joined_numbers_travel_between_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As values: the file that they are in has no name."""
    monkeypatch.setattr("sslth.cnn.spool._HELD", 2)
    kept = Keeping()
    kept.add(np.array([1, 5, 30], dtype=np.uint32))
    found = kept.with_others(np.array([3], dtype=np.uint32))
    assert pickle.loads(pickle.dumps(found)).numbers().tolist() == [1, 3, 5, 30]


def test_no_room_for_kept_numbers_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sslth.cnn.spool._HELD", 1)
    monkeypatch.setattr("sslth.cnn.kept_filters._STRETCH", 2)
    monkeypatch.setattr("sslth.cnn.spool.tempfile.TemporaryFile", full)
    kept = Keeping()
    with pytest.raises(InvalidInputError, match=r"No space left on device\); set TMPDIR"):
        kept.add(np.array([1, 2], dtype=np.uint32))


def test_memory_does_not_grow_with_what_is_kept() -> None:
    """What is kept is packed and on disk."""
    peaks = []
    for width in (6 * WIDTH, 18 * WIDTH):
        block = block_of(width)
        tracemalloc.start()
        found = TiledSearch().search(block, 1, aim(width))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found.size > 0.4 * width
    assert peaks[1] - peaks[0] < 1 << 20  # where the answer grows by 3.7 MiB


def test_a_sum_in_stretches_is_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    block = block_of(500)
    filters = candidates(block, 1)[0]
    whole = block.rows(filters, block.scales(filters)).sum(axis=0)
    assert np.array_equal(block.total(filters), whole)
    monkeypatch.setattr("sslth.cnn.random_layer._STRETCH_ENTRIES", 7 * D)
    assert np.array_equal(block.total(filters), whole)
    assert block.total(filters[:0]).tolist() == [0.0] * D


def test_a_layer_with_other_filters_is_another_block() -> None:
    """`edge` depends on the width alone, so that neither memory nor threads decide what is found."""
    block = block_of(WIDTH)
    assert WideBlock(block, 1, 10).edge == WideBlock(block, -1, 4096).edge
    wider = Block(block.seed, replace(block.layer, width=4 * WIDTH), 0)
    assert WideBlock(wider, 1, 10).edge < WideBlock(block, 1, 10).edge / 3
