"""Budgets are met exactly, ties go by position, empty layers are refused or get one entry."""

from __future__ import annotations

import math

import pytest
import torch

from sslth.errors import InvalidInputError
from sslth.mining import DivergedError
from sslth.mining.budgets import BUDGETS, layer_counts, total_count
from sslth.mining.selection import choose
from sslth.mining.top_k import top_k

SHAPES = {"a": (300, 64), "b": (100, 300), "c": (10, 100)}


@pytest.mark.parametrize("k", [0, 1, 7, 500, 999, 1000])
def test_top_k_is_what_a_stable_sort_keeps(k: int) -> None:
    scores = torch.randint(0, 20, (10, 100), generator=torch.Generator().manual_seed(0)).float()  # many ties
    expected = torch.zeros(1000, dtype=torch.bool)
    expected[torch.sort(scores.flatten(), descending=True, stable=True).indices[:k]] = True
    assert torch.equal(top_k(scores, k).flatten(), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.int64], ids=str)
def test_every_type_of_score_is_cut_at_the_same_place(dtype: torch.dtype) -> None:
    whole = torch.randint(-8, 8, (500,), generator=torch.Generator().manual_seed(1))
    expected = torch.zeros(500, dtype=torch.bool)
    expected[torch.sort(whole, descending=True, stable=True).indices[:123]] = True
    assert torch.equal(top_k(whole.to(dtype), 123), expected)


def test_infinite_scores_are_the_first_and_the_last() -> None:
    scores = torch.tensor([-math.inf, 0.0, math.inf, -0.0, -math.inf, 2.0])
    kept = [top_k(scores, k).nonzero().flatten().tolist() for k in range(7)]
    assert kept == [[], [2], [2, 5], [1, 2, 5], [1, 2, 3, 5], [0, 1, 2, 3, 5], [0, 1, 2, 3, 4, 5]]
    assert top_k(torch.zeros(0), 0).tolist() == []


def test_all_equal_scores_keep_the_first() -> None:
    assert top_k(torch.ones(6), 4).tolist() == [True] * 4 + [False] * 2


def test_nan_scores_and_impossible_counts_are_refused() -> None:
    with pytest.raises(DivergedError, match="NaN"):
        top_k(torch.tensor([1.0, math.nan]), 1)
    with pytest.raises(InvalidInputError, match="3 of 2"):
        top_k(torch.ones(2), 3)


@pytest.mark.parametrize("budget", [name for name in BUDGETS if name != "global"])
@pytest.mark.parametrize("keep", [1.0, 0.5, 0.2, 0.05, 0.003])
def test_layer_counts_add_up(budget: str, keep: float) -> None:
    counts = layer_counts(SHAPES, keep, budget, "keep_one")
    assert sum(counts.values()) == total_count(50200, keep)
    assert all(1 <= counts[name] <= math.prod(shape) for name, shape in SHAPES.items())


def test_budgets_have_the_densities_that_they_say() -> None:
    sizes = {name: math.prod(shape) for name, shape in SHAPES.items()}
    density = {
        budget: {name: count / sizes[name] for name, count in layer_counts(SHAPES, 0.02, budget).items()}
        for budget in ("uniform", "erdos_renyi_kernel", "smart_ratio")
    }
    assert all(abs(value - 0.02) < 1e-3 for value in density["uniform"].values())
    kernel = density["erdos_renyi_kernel"]
    assert kernel["a"] / kernel["b"] == pytest.approx((364 / 19200) / (400 / 30000), rel=0.01)
    assert kernel["c"] / kernel["b"] == pytest.approx((110 / 1000) / (400 / 30000), rel=0.01)
    smart = density["smart_ratio"]
    assert smart["c"] == pytest.approx(0.3, abs=1e-3)
    assert smart["a"] / smart["b"] == pytest.approx(12 / 6, rel=0.01)


def test_densities_above_one_are_shared_out_again() -> None:
    counts = layer_counts(SHAPES, 0.6, "erdos_renyi_kernel")
    assert counts["c"] == 1000
    assert sum(counts.values()) == 30120


def test_a_budget_that_empties_a_layer_names_it() -> None:
    with pytest.raises(InvalidInputError, match="empties small"):
        layer_counts({"large": (100, 100), "small": (2, 2)}, 0.01, "uniform")
    assert layer_counts({"large": (100, 100), "small": (2, 2)}, 0.01, "uniform", "keep_one") == {
        "large": 99,
        "small": 1,
    }


def test_global_choice_compares_layers_and_can_save_one() -> None:
    scores = {"high": torch.arange(10.0) + 100, "low": torch.arange(10.0)}
    with pytest.raises(InvalidInputError, match="empties low"):
        choose(scores, 0.25, "global", "refuse")
    chosen = choose(scores, 0.25, "global", "keep_one")
    assert chosen["high"].nonzero().flatten().tolist() == [6, 7, 8, 9]
    assert chosen["low"].nonzero().flatten().tolist() == [9]
    whole = choose(scores, 0.75, "global", "keep_one")
    assert torch.equal(whole["low"], choose(scores, 0.75, "global", "refuse")["low"])


@pytest.mark.parametrize("budget", BUDGETS)
def test_gradual_choices_are_nested_and_end_on_the_budget(budget: str) -> None:
    draw = torch.Generator().manual_seed(1)
    allowed = {name: torch.ones(shape, dtype=torch.bool) for name, shape in SHAPES.items()}
    for step in range(1, 8):
        scores = {name: torch.rand(shape, generator=draw) for name, shape in SHAPES.items()}
        chosen = choose(scores, 0.013, budget, "keep_one", allowed=allowed, fraction=step / 7)
        assert not any((chosen[name] & ~allowed[name]).any() for name in SHAPES)
        allowed = chosen
    assert sum(int(kept.sum()) for kept in allowed.values()) == total_count(50200, 0.013)


@pytest.mark.parametrize("keep", [0.0, -0.1, 1.5, math.nan])
def test_keep_outside_its_range_is_refused(keep: float) -> None:
    with pytest.raises(InvalidInputError, match="keep is"):
        total_count(100, keep)


@pytest.mark.parametrize("budget", ["global", "uniform"])
def test_seeded_ties_are_spread_over_layers_and_repeat(budget: str) -> None:
    scores = {name: torch.ones(1000) for name in "abc"}
    first, again, other = (choose(scores, 0.1, budget, "refuse", ties=seed) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in scores)
    assert not torch.equal(first["a"], other["a"])
    assert sum(int(kept.sum()) for kept in first.values()) == 300
    assert all(50 < int(kept.sum()) < 150 for kept in first.values())
    scores["b"][7] = 2.0
    assert bool(choose(scores, 0.1, budget, "refuse", ties=1)["b"][7])


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="no budget 'equal'"):
        layer_counts(SHAPES, 0.1, "equal")
    with pytest.raises(InvalidInputError, match="on_empty is 'skip'"):
        choose({"a": torch.ones(3)}, 0.5, "global", "skip")
