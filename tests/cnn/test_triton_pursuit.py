"""Sign pursuit in one Triton kernel, in Triton's interpreter: what the compiled kernel finds; when it is taken.

This file run as a script, with TRITON_INTERPRET=1, does the interpreter's part in a process of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import pytest
import torch
from triton_tools import fused_multiply_adds, needs_triton, run_in_the_interpreter

from sslth.cnn import torch_search, triton_pursuit
from sslth.cnn.layers import Layer, Wiring
from sslth.cnn.plan import Task, search, search_all
from sslth.cnn.random_layer import Block, RandomLayer
from sslth.cnn.search import TiledSearch
from sslth.cnn.triton_draw import OPTIONS
from sslth.subset_sum.kernels.sign_tile import sign_tile

CASES = [(5, 9), (2**64 - 1, 37)]  # seeds and dimensions
COUNTS = [40, 21, 7, 1]  # rows of four blocks: whole groups of eight, some behind them, none
WIDE_MARGIN = 0.05  # so that one of the two short blocks at d = 37 has a sign within it, and one none


def blocks_of(seed: int, d: int, law: str = "normal", n: int = 100) -> list[Block]:
    """Three channels and a bias."""
    layer = Layer("layer", 3, Wiring("linear", 3, d, True), n, 2 * n, False, 1.0, law=law)
    random = RandomLayer(seed, layer)
    return random.channels + random.constants


def tile_of(d: int) -> tuple[list[npt.NDArray[np.uint32]], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Filters of four blocks, their |v_t| float64[4, 40] by falling size, residuals float64[4, d]."""
    rng = np.random.default_rng(d)
    filters = [rng.integers(0, 2**32, count, dtype=np.uint32) for count in COUNTS]
    scales = np.zeros((4, 40))
    for place, count in enumerate(COUNTS):
        scales[place, :count] = np.sort(rng.random(count))[::-1]  # no float32, so that products and sums are rounded
    return filters, scales, 3 * rng.standard_normal((4, d))


def some_tasks() -> list[Task]:
    """Targets of a sign with some 110 filters, of which 81 are the tail; one of another law."""
    rng = np.random.default_rng(0)
    blocks = blocks_of(5, 9, n=110)[:1] + blocks_of(5, 9, "uniform", n=110)[:1]
    return [Task(block, 1, 10 * rng.standard_normal(9)) for block in blocks]


def interpret(file: str) -> None:
    """Run the kernel by itself and within a search, and write what was found."""
    found = {}
    for seed, d in CASES:
        filters, scales, residual = tile_of(d)
        words, channels, numbers = torch_search._counters(blocks_of(seed, d), filters, 40, torch.device("cpu"))
        tensors = words, channels, numbers, torch.from_numpy(scales), torch.tensor(COUNTS), torch.from_numpy(residual)
        made = triton_pursuit.sign_tiles_drawn(seed, *tensors, torch_search._margin(d))
        for what, tensor in zip(("keep", "residual", "unsure"), made, strict=True):
            found[f"{what} {d}"] = tensor.numpy()
    short = [tensor[2:] for tensor in tensors]
    found["doubtful"] = triton_pursuit.sign_tiles_drawn(seed, *short, WIDE_MARGIN)[2].numpy()
    kernel = triton_pursuit.sign_tiles_drawn
    with (
        mock.patch.object(torch_search, "is_wanted", return_value=True),
        mock.patch.object(torch_search, "sign_tiles_drawn", mock.Mock(side_effect=kernel)) as asked,
    ):
        for number, task in enumerate(some_tasks()):
            ((_, found[f"task {number}"]),) = search_all([task], TiledSearch(device="cpu"), None, 1)
            found[f"asked {number}"] = np.array(asked.call_count)
    np.savez(file, **found)


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, npt.NDArray[Any]]:
    return run_in_the_interpreter(__file__, tmp_path_factory.mktemp("triton"))


def decided_by_the_compiled_kernel(
    seed: int, d: int
) -> list[tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64], npt.NDArray[np.float32]]]:
    """What `sign_tile` keeps of each block and leaves of its residual, and the rows."""
    filters, scales, residual = tile_of(d)
    found = []
    for place, (block, count) in enumerate(zip(blocks_of(seed, d), COUNTS, strict=True)):
        rows, kept, left = np.empty((count, d), dtype=np.float32), np.empty(count, dtype=np.bool_), residual[place]
        block.fill(filters[place], rows)
        sign_tile(rows, scales[place, :count], left, kept, np.empty(count), np.empty(d))
        found.append((kept, left, rows))
    return found


@needs_triton
@pytest.mark.parametrize(("seed", "d"), CASES)
def test_tiles_are_decided_as_the_compiled_kernel_decides_them(
    seed: int, d: int, interpreted: dict[str, npt.NDArray[Any]]
) -> None:
    keep, residual, unsure = (interpreted[f"{what} {d}"] for what in ("keep", "residual", "unsure"))
    assert keep.dtype == unsure.dtype == np.bool_
    assert not unsure.any()
    for place, (kept, left, _) in enumerate(decided_by_the_compiled_kernel(seed, d)):
        assert np.array_equal(keep[place, : COUNTS[place]], kept)
        assert not keep[place, COUNTS[place] :].any()
        assert np.array_equal(residual[place], left)
    assert 0 < keep.sum() < sum(COUNTS)


@needs_triton
def test_signs_that_are_too_near_to_call_are_said(interpreted: dict[str, npt.NDArray[Any]]) -> None:
    """With a margin so wide that some are; float64 says which, far from the margin's own rounding."""
    seed, d = CASES[1]
    _, scales, residual = tile_of(d)
    expected = []
    for place, (kept, _, rows) in list(enumerate(decided_by_the_compiled_kernel(seed, d)))[2:]:
        half = 0.5 * scales[place, : COUNTS[place], None] * rows
        steps = np.where(kept[:, None], -half, half)
        left = residual[place] - half.sum(axis=0) + np.cumsum(np.vstack([np.zeros(d), steps[:-1]]), axis=0)
        products = left * rows
        shares = np.abs(products.sum(axis=1)) / np.abs(products).sum(axis=1)
        assert np.abs(shares - WIDE_MARGIN).min() > 1e-5
        expected.append(bool((shares <= WIDE_MARGIN).any()))
    assert interpreted["doubtful"].tolist() == expected
    assert set(expected) == {True, False}


@needs_triton
def test_a_search_finds_the_same_filters_and_other_laws_go_by_torch(
    interpreted: dict[str, npt.NDArray[Any]],
) -> None:
    for number, task in enumerate(some_tasks()):
        assert np.array_equal(interpreted[f"task {number}"], search(task, TiledSearch(), None))
    assert [int(interpreted[f"asked {number}"]) for number in range(2)] == [1, 1]


def test_rows_too_long_for_a_program_go_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = mock.Mock(side_effect=AssertionError)
    monkeypatch.setattr(torch_search, "is_wanted", lambda _where: True)
    monkeypatch.setattr(torch_search, "sign_tiles_drawn", asked)
    monkeypatch.setattr("sslth.cnn.torch_weights.triton_draw.is_wanted", lambda _where: False)
    task = some_tasks()[0]
    with pytest.raises(AssertionError):
        list(search_all([task], TiledSearch(device="cpu"), None, 1))
    monkeypatch.setattr(torch_search, "LARGEST_DIMENSION", 8)
    ((_, found),) = search_all([task], TiledSearch(device="cpu"), None, 1)
    assert np.array_equal(found, search(task, TiledSearch(), None))
    assert asked.call_count == 1


@needs_triton
def test_the_compiler_fuses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float64 as well, where sums have the compiled kernel's order; compiled for a GPU that need not be there."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    places = dict.fromkeys(("key", "words", "channels", "filters"), "*i64")
    more = {"scales": "*fp64", "counts": "*i64", "residual": "*fp64", "keep": "*i8", "after": "*fp64", "unsure": "*i32"}
    types = {**places, **more, "margin": "fp32", "k": "i32", "d": "i32"}
    assert fused_multiply_adds(triton_pursuit._sign_tile, types, {"D": 64}, OPTIONS) == 0


@needs_triton
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("d", [9, 37, 700])
def test_tiles_on_a_gpu(d: int) -> None:
    where = torch.device("cuda", torch.cuda.device_count() - 1)
    filters, scales, residual = tile_of(d)
    counters = torch_search._counters(blocks_of(5, d), filters, 40, where)
    rest = torch.from_numpy(scales).to(where), torch.tensor(COUNTS, device=where), torch.from_numpy(residual).to(where)
    keep, after, unsure = triton_pursuit.sign_tiles_drawn(5, *counters, *rest, torch_search._margin(d))
    for place, (kept, left, _) in enumerate(decided_by_the_compiled_kernel(5, d)):
        if not unsure[place]:
            assert np.array_equal(keep[place, : COUNTS[place]].cpu().numpy(), kept)
            assert np.array_equal(after[place].cpu().numpy(), left)


if __name__ == "__main__":
    interpret(sys.argv[1])
