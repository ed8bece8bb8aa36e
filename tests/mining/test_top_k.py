"""The k highest, found from nothing and from the last threshold: the same entries, ties and all."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslth.errors import InvalidInputError
from sslth.mining import DivergedError
from sslth.mining import top_k as module
from sslth.mining.top_k import MovingTopK, top_k


@pytest.fixture(autouse=True)
def small_ones_too() -> Iterator[None]:
    """The band is looked at whatever the size."""
    patch = pytest.MonkeyPatch()
    patch.setattr(module, "_SMALL", 1)
    yield
    patch.undo()


def by_sorting(scores: torch.Tensor, k: int) -> torch.Tensor:
    flat = scores.flatten()
    kept = torch.zeros(flat.numel(), dtype=torch.bool)
    kept[torch.sort(flat, descending=True, stable=True).indices[:k]] = True
    return kept.reshape(scores.shape)


class Counted(MovingTopK):
    """Counts how often the band held the threshold."""

    hits = 0

    def _near(self, values):  # type: ignore[no-untyped-def]
        found = super()._near(values)
        self.hits += found is not None
        return found


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_moving_scores_are_cut_where_a_sort_cuts_them(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 60))
    k = data.draw(st.integers(0, size))
    dtype = data.draw(st.sampled_from([torch.float32, torch.float64, torch.float16]))
    # few values, many of them equal, infinite and signed zeros among them; then moves, large and small
    values = st.sampled_from([-math.inf, -1.0, -0.0, 0.0, 0.25, 0.5, 0.5, 0.75, 1.0, 3.0, math.inf])
    scores = torch.tensor(data.draw(st.lists(values, min_size=size, max_size=size)), dtype=dtype)
    kept = torch.empty_like(scores)
    choice = MovingTopK(scores, kept, k)
    for _ in range(data.draw(st.integers(1, 6))):
        choice.update()
        assert torch.equal(kept.bool(), by_sorting(scores, k))
        assert torch.equal(top_k(scores, k), kept.bool())
        place = data.draw(st.integers(0, size - 1))
        kind = data.draw(st.sampled_from(["one", "all", "none", "again"]))
        if kind == "one":
            scores[place] = data.draw(values)
        elif kind == "all":
            scores += data.draw(st.sampled_from([-0.25, 1e-3, 0.25]))
            scores.nan_to_num_(0.0, math.inf, -math.inf)
        elif kind == "again":
            scores.copy_(torch.tensor(data.draw(st.lists(values, min_size=size, max_size=size)), dtype=dtype))


@pytest.mark.parametrize("rounded", [False, True], ids=["distinct", "tied"])
def test_the_band_holds_the_threshold_of_scores_that_move_little(rounded: bool) -> None:
    rng = np.random.default_rng(0)
    scores = torch.from_numpy(rng.normal(size=(40, 50)))
    kept = torch.empty_like(scores)
    choice = Counted(scores, kept, 100)
    for _ in range(100):
        scores += 1e-3 * torch.from_numpy(rng.normal(size=(40, 50)))
        if rounded:
            scores.mul_(100).round_().div_(100)
        choice.update()
        assert torch.equal(kept.bool(), by_sorting(scores, 100))
    assert choice.hits >= 80


def test_scores_that_leap_are_cut_as_well() -> None:
    rng = np.random.default_rng(1)
    scores, kept = torch.zeros(500), torch.zeros(500)
    choice = Counted(scores, kept, 20)
    for scale in (1.0, 1e30, 1e-30, 3e38, 1e-40, 0.0, 1.0):
        scores.copy_(torch.from_numpy(scale * rng.uniform(-1, 1, 500)))
        choice.update()
        assert torch.equal(kept.bool(), by_sorting(scores, 20))


@pytest.mark.parametrize("k", [0, 1, 3, 5])
def test_a_nan_is_found_near_the_threshold_and_far_from_it(k: int) -> None:
    for place in range(5):
        scores, kept = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]), torch.empty(5)
        choice = MovingTopK(scores, kept, k)
        choice.update()
        choice.update()  # the band is around the threshold now
        scores[place] = math.nan
        with pytest.raises(DivergedError, match="NaN"):
            choice.update()
        with pytest.raises(DivergedError, match="NaN"):
            top_k(scores, k)


def test_impossible_counts_are_refused() -> None:
    for k in (-1, 4):
        with pytest.raises(InvalidInputError, match=f"cannot keep {k} of 3"):
            MovingTopK(torch.ones(3), torch.ones(3), k).update()
