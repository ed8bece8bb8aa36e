"""Scores followed by kernels: the same bits as operations on whole tensors give, whatever wrote the tensors before."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sslth.data.splits import Splits
from sslth.mining import mine, scores, sides, top_k
from sslth.mining.kernels import _select
from sslth.mining.scope import Scope, masked_slots
from sslth.mining.scores import Scores
from sslth.mining.sides import Shown, Sides
from sslth.mining.top_k import MovingTopK

Build = Callable[[], nn.Module]
DTYPES = [torch.float32, torch.float64]


@pytest.fixture
def without_kernels() -> Callable[[], pytest.MonkeyPatch]:
    """Call it, and scores go the way that they go on a GPU."""

    def off() -> pytest.MonkeyPatch:
        patch = pytest.MonkeyPatch()
        for module in (scores, sides, top_k):
            patch.setattr(module, "in_numpy", lambda _flat: False)
        return patch

    return off


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_selection_is_that_of_a_sort(data: st.DataObject) -> None:
    values = data.draw(
        st.lists(st.sampled_from([-math.inf, -1.0, 0.0, 0.5, 0.5, 2.0, math.inf]), min_size=1, max_size=40)
    )
    place = data.draw(st.integers(0, len(values) - 1))
    assert _select(np.array(values, np.float32), place) == sorted(values)[place]


def rounded(values: Tensor, alive: Tensor) -> tuple[Tensor, Tensor]:
    projected = values.clamp(0, 1) * alive
    return projected, (projected >= 0.5).to(values.dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", [1, 7, 8, 301])
def test_rounding_follows_scores(size: int, dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(size)
    values, weight = torch.rand(size, generator=draw, dtype=dtype), torch.randn(size, generator=draw, dtype=dtype)
    kept, gated = torch.empty_like(values), torch.full_like(values, math.nan)
    alive = torch.ones(size, dtype=torch.bool)
    followed = Sides(values, kept, Shown(weight, gated))
    for step in range(40):
        values += 0.1 * torch.randn(size, generator=draw, dtype=dtype)
        if step % 10 == 5:
            alive &= torch.rand(size, generator=draw) < 0.7
            values[0], values[-1] = 0.5, 0.5 - 2**-25 if dtype == torch.float32 else 0.5 - 2**-54
        if step == 20:  # as a checkpoint does
            kept.copy_(torch.rand(size, generator=draw) < 0.5)
        projected, expected = rounded(values, alive)
        followed.round(alive.numpy())
        assert torch.equal(values, projected)
        assert torch.equal(kept, expected)
        assert torch.equal(gated, weight * kept)


def test_a_score_that_is_no_number_is_not_kept() -> None:
    values = torch.tensor([0.7, 0.8, 0.9])
    kept = torch.empty(3)
    followed = Sides(values, kept)
    for _ in range(2):  # from nothing, and followed
        followed.round(np.ones(3, np.bool_))
        values[1] = math.nan
        followed.round(np.ones(3, np.bool_))
        assert kept.tolist() == [1.0, 0.0, 1.0]
        assert bool(values[1].isnan())


@pytest.mark.parametrize("absolute", [False, True], ids=["plain", "absolute"])
@pytest.mark.parametrize("tied", [False, True], ids=["distinct", "tied"])
def test_what_is_shown_follows_the_top_k(absolute: bool, tied: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    size, k = 400, 30
    vector = torch.randn(2 * size, generator=draw)  # two layers of one vector: what one writes, the other must bear
    hard, weight = torch.empty(2 * size), torch.randn(2 * size, generator=draw)
    gated = torch.full_like(weight, math.nan)
    cuts = [
        MovingTopK(
            *(part[at : at + size] for part in (vector, hard)),
            k,
            absolute=absolute,
            shown=Shown(weight[at : at + size], gated[at : at + size]),
        )
        for at in (0, size)
    ]
    found = []
    follow = Sides.keep_highest
    patch = pytest.MonkeyPatch()
    patch.setattr(Sides, "keep_highest", lambda self, low, high: found.append(follow(self, low, high)) or found[-1])
    for step in range(60):
        vector += 1e-3 * torch.randn(2 * size, generator=draw)
        if tied:
            vector.mul_(50).round_().div_(50)
        if step == 30:
            hard.zero_()
        for cut in cuts:
            cut.update()
        for at in (0, size):
            part = vector[at : at + size].abs() if absolute else vector[at : at + size]
            expected = torch.zeros(size)
            expected[torch.sort(part, descending=True, stable=True).indices[:k]] = 1.0
            assert torch.equal(hard[at : at + size], expected)
        assert torch.equal(gated, weight * hard)
    patch.undo()
    assert sum(not math.isnan(threshold) for threshold in found) >= 80  # of 120: mostly it was near


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("absolute", "pull"), [(True, 0.0), (False, 0.0), (False, 6e-4), (True, 0.1)])
def test_gradients_are_bit_by_bit_those_of_whole_tensors(
    absolute: bool, pull: float, dtype: torch.dtype, without_kernels: Callable[[], pytest.MonkeyPatch]
) -> None:
    def gradient() -> tuple[bool, Tensor]:
        draw = torch.Generator().manual_seed(1)
        torch.manual_seed(2)
        network = nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 3)).to(dtype).requires_grad_(False)
        slots = masked_slots(network, Scope())
        for slot in slots.values():
            slot.parameter.copy_(torch.randn(slot.parameter.shape, generator=draw))
        start = {
            name: torch.randn(slot.parameter.shape, generator=draw, dtype=dtype).mul(4).round().div(4)  # some are 0
            for name, slot in slots.items()
        }
        learned = Scores(slots, start, absolute=absolute)
        network(torch.randn(4, 7, generator=draw, dtype=dtype)).square().sum().backward()
        learned.collect(pull)
        assert learned.vector.grad is not None
        return learned.plain, learned.vector.grad

    by_kernel, one = gradient()
    patch = without_kernels()
    plainly, other = gradient()
    patch.undo()
    assert by_kernel
    assert not plainly
    assert bool(one.any())
    assert torch.equal(one, other)


@pytest.mark.parametrize("method", ["edge_popup", "gem_miner"])
def test_a_search_is_bit_by_bit_that_without_kernels(
    method: str, conv: Build, blobs: Splits, without_kernels: Callable[[], pytest.MonkeyPatch]
) -> None:
    one = mine(conv, blobs, method, keep=0.2, epochs=4, seed=3)
    patch = without_kernels()
    other = mine(conv, blobs, method, keep=0.2, epochs=4, seed=3)
    patch.undo()
    assert one.mask == other.mask
    assert one.history == other.history
    assert all(torch.equal(values, other.scores[name]) for name, values in one.scores.items())


def test_a_graph_of_weights_that_were_replaced_is_refused() -> None:
    network = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 1, bias=False)).requires_grad_(False)
    slots = masked_slots(network, Scope())
    learned = Scores(slots, {name: torch.ones(slot.parameter.shape) for name, slot in slots.items()}, absolute=False)
    values, hard = learned.by_name["1.weight"].view(-1), learned.hard_by_name["1.weight"].view(-1)
    followed = Sides(values, hard, learned.shown("1.weight"))
    followed.round(np.ones(3, np.bool_))
    outputs = network(torch.ones(2, 3)).sum()
    values[0] = 0.2
    followed.round(np.ones(3, np.bool_))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        outputs.backward()


def test_shared_and_spread_scores_are_left_to_whole_tensors(conv: Build) -> None:
    network = conv().requires_grad_(False)
    slots = {name: slot for name, slot in masked_slots(network, Scope()).items() if name == "0.weight"}
    learned = Scores(slots, {"0.weight": torch.rand(6, 1, 1, 1)}, absolute=True)
    assert not learned.plain
    assert learned.shown("0.weight") is None
