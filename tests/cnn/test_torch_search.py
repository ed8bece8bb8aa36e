"""Blocks side by side on a torch device: the very answers of the compiled kernels, with little memory and failures."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import pytest
import torch

from sslth.cnn import torch_search, wide
from sslth.cnn.extract import _chosen_solver
from sslth.cnn.gain import sign_gain
from sslth.cnn.layers import Layer, Wiring
from sslth.cnn.plan import Task, search, search_all
from sslth.cnn.random_layer import Block, RandomLayer
from sslth.cnn.search import TiledSearch
from sslth.cnn.torch_search import sign_tiles
from sslth.errors import DeviceLostError
from sslth.subset_sum.kernels.sign_tile import sign_tile

DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])


def blocks_of(n: int, d: int, channels: int, index: int = 0, law: str = "normal") -> list[Block]:
    layer = Layer(f"layer{index}", index, Wiring("linear", channels, d, False), n, 2 * n, False, 1.0, law=law)
    return RandomLayer(5, layer).channels + RandomLayer(5, layer).constants


def aim(n: int, d: int, number: int = 0) -> npt.NDArray[np.float64]:
    direction = np.random.default_rng(number).standard_normal(d)
    return direction / np.linalg.norm(direction) * sign_gain(np.ones(1), 0.0, n, d)


def tasks_of(n: int, d: int, channels: int, **keywords: object) -> list[Task]:
    blocks = blocks_of(n, d, channels, **keywords)  # type: ignore[arg-type]
    signs = [(block, sign) for block in blocks for sign in ((1,) if block.is_constant else (1, -1))]
    return [Task(block, sign, aim(n, d, number)) for number, (block, sign) in enumerate(signs)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("d", [3, 16, 37])
def test_tiles_are_decided_as_the_kernel_decides_them(device: str, d: int) -> None:
    rng = np.random.default_rng(d)
    counts = [64, 61, 7, 1]
    rows, scales = np.zeros((4, 64, d), dtype=np.float32), np.zeros((4, 64))
    for block, count in enumerate(counts):
        rows[block, :count] = rng.standard_normal((count, d))
        scales[block, :count] = np.sort(rng.random(count).astype(np.float32))[::-1]
    before = 3 * rng.standard_normal((4, d))
    tensors = [torch.from_numpy(array).to(device) for array in (rows, scales, np.array(counts), before)]
    keep, after, unsure = (tensor.cpu().numpy() for tensor in sign_tiles(*tensors))
    assert not unsure.any()
    for block, count in enumerate(counts):
        kept, residual = np.zeros(count, dtype=np.bool_), before[block].copy()
        sign_tile(rows[block, :count], scales[block, :count], residual, kept, np.empty(count), np.empty(d))
        assert np.array_equal(keep[block, :count], kept)
        assert not keep[block, count:].any()
        assert np.array_equal(after[block], residual)


def test_a_sign_that_is_too_near_to_call_is_said() -> None:
    rows = torch.zeros((2, 8, 2))
    rows[:, 0] = torch.tensor([1.0, -1.0])
    scales = torch.zeros((2, 8), dtype=torch.float64)
    scales[:, 0] = 0.5
    at_right_angles = torch.tensor([[1.25, 0.75], [1.5, 0.75]], dtype=torch.float64)  # the first, less half of the row
    assert sign_tiles(rows, scales, torch.tensor([1, 1]), at_right_angles)[2].tolist() == [True, False]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("law", ["normal", "uniform"])
def test_side_by_side_finds_what_each_finds_alone(device: str, law: str) -> None:
    """Several layers, dimensions, signs and biases; one block has too few rows for signs, one a target of zeros."""
    tasks = [*tasks_of(700, 36, 2, law=law), *tasks_of(400, 36, 1, index=1, law=law), *tasks_of(90, 36, 1, index=2)]
    tasks += [*tasks_of(300, 3, 1), Task(tasks[0].block, 1, np.zeros(36))]
    there = dict(search_all(tasks, TiledSearch(device=device), None, 2))
    assert sorted(there) == list(range(len(tasks)))
    for number, task in enumerate(tasks):
        assert np.array_equal(there[number], search(task, TiledSearch(), None)), number


@pytest.mark.parametrize("device", DEVICES)
def test_wide_blocks_side_by_side(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wide, "SORTED_AT_MOST", 3000)
    monkeypatch.setattr(wide, "_SMALL_ROWS", 600)
    tasks = tasks_of(4000, 12, 1)
    there = dict(search_all(tasks, TiledSearch(device=device), None, 1))
    for number, task in enumerate(tasks):
        assert np.array_equal(there[number], search(task, TiledSearch(), None))


def test_doubtful_tiles_go_to_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_search, "_UNIT", 1e-3)  # so that most tiles are in doubt
    tasks, asked = tasks_of(700, 36, 2), []
    monkeypatch.setattr(torch_search, "sign_tile", lambda *given: (asked.append(len(given[0])), sign_tile(*given)))
    there = dict(search_all(tasks, TiledSearch(device="cpu"), None, 1))
    assert asked
    for number, task in enumerate(tasks):
        assert np.array_equal(there[number], search(task, TiledSearch(), None))


def test_without_memory_fewer_blocks_go_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks, usual, sizes = tasks_of(400, 36, 2), torch_search.sign_tiles, []

    def scarce(rows: torch.Tensor, *more: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        if len(rows) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(len(rows))
        return usual(rows, *more)

    monkeypatch.setattr(torch_search, "sign_tiles", scarce)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        there = dict(search_all(tasks, TiledSearch(device="cpu"), None, 1))
    assert set(sizes) == {1}
    assert len({str(one.message) for one in said}) == len(said) >= 1
    assert "fewer side by side" in str(said[0].message)
    for number, task in enumerate(tasks):
        assert np.array_equal(there[number], search(task, TiledSearch(), None))

    def nothing(*_: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch_search, "sign_tiles", nothing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(MemoryError, match="one tile"):
            list(search_all(tasks, TiledSearch(device="cpu"), None, 1))


def test_a_device_that_fails_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> object:
        raise RuntimeError("CUDA error: device-side\nassert")

    monkeypatch.setattr(torch_search, "_decide", gone)
    stream = torch_search.Stream(
        blocks_of(10, 3, 1)[0],
        iter([(np.arange(4, dtype=np.uint32), np.ones(4))]),
        np.ones(3),
        lambda _filters, _keep: None,
    )
    with pytest.raises(DeviceLostError, match=r"cuda:0 failed .CUDA error: device-side assert.*kept"):
        torch_search.decide_together([stream], "cuda:0")


def test_a_device_that_is_named_searches_too() -> None:
    assert [_chosen_solver("auto", None, name).device for name in ("auto", "cpu", "cuda:1")] == [None, None, "cuda:1"]  # type: ignore[union-attr]
