"""Bounds of sums of maxima are never below what a corner of the cube attains, and below the sum of single bounds."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from sslth.cnn.certificates.sums_of_maxima import greatest_sum


def drawn(seed: int, maxima: int, entries: int, inputs: int) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    forms = torch.randn(3, maxima, entries, inputs + 1, generator=rng, dtype=torch.float64)
    possible = torch.rand(3, maxima, entries, generator=rng) < 0.7
    possible[..., 0] |= ~possible.any(-1)
    return forms, possible


def attained(forms: Tensor, possible: Tensor) -> Tensor:
    """A sum of maxima is convex, so that a corner of the cube is the worst."""
    corners = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=forms.shape[-1] - 1)), dtype=torch.float64)
    points = torch.cat([torch.ones(len(corners), 1, dtype=torch.float64), corners], 1)
    values = torch.einsum("kjen,pn->kjep", forms, points).masked_fill(~possible[..., None], -torch.inf)
    return values.amax(2).sum(1).amax(-1)


def one_by_one(forms: Tensor, possible: Tensor) -> Tensor:
    values = forms[..., 0] + forms[..., 1:].abs().sum(-1)
    return values.masked_fill(~possible, -torch.inf).amax(2).sum(1)


@pytest.mark.parametrize("steps", [0, 1, 25])
@pytest.mark.parametrize(("maxima", "entries", "inputs"), [(1, 1, 4), (1, 3, 4), (12, 2, 8), (30, 5, 8)])
def test_never_below_a_corner(maxima: int, entries: int, inputs: int, steps: int) -> None:
    for seed in range(4):
        forms, possible = drawn(seed, maxima, entries, inputs)
        for scale in (1.0, 1e-9, 1e9):
            bound = greatest_sum(scale * forms, possible, steps)
            assert (bound >= scale * attained(forms, possible)).all()


@pytest.mark.parametrize("seed", range(3))
def test_between_the_maximum_and_what_single_bounds_add_up_to(seed: int) -> None:
    forms, possible = drawn(seed, 40, 2, 10)
    bound = greatest_sum(forms, torch.ones_like(possible), 60)
    everything = torch.ones_like(possible)
    assert (bound >= attained(forms, everything)).all()
    assert (bound <= 1.35 * attained(forms, everything)).all()
    assert (bound <= 0.75 * one_by_one(forms, everything)).all()


def test_linear_functions_alone_are_bounded_closely() -> None:
    forms, possible = drawn(5, 6, 1, 7)
    possible = torch.ones_like(possible)
    exact = forms[:, :, 0].sum(1)
    exact = exact[:, 0] + exact[:, 1:].abs().sum(1)
    bound = greatest_sum(forms, possible, 40)
    assert (bound >= exact).all()
    assert (bound <= exact * (1.0 + 1e-3) + 1e-3 * exact.abs().amax()).all()


def test_some_maxima_of_one_function_and_empty_coefficients() -> None:
    forms, possible = drawn(2, 8, 3, 6)
    forms[:, 2:4] = 0.0
    forms[1] = 0.0
    possible[:, :2, 1:] = False
    possible[:, :2, 0] = True
    bound = greatest_sum(forms, possible, 10)
    assert (bound >= attained(forms, possible)).all()
    assert 0.0 <= bound[1] <= 1e-6


def test_what_is_not_finite_has_no_bound() -> None:
    forms, possible = drawn(0, 3, 2, 4)
    forms[0, 0, 0, 0] = torch.inf
    assert torch.isinf(greatest_sum(forms, possible, 5)).all()


def test_the_same_bound_twice() -> None:
    forms, possible = drawn(7, 10, 3, 6)
    assert torch.equal(greatest_sum(forms, possible, 7), greatest_sum(forms, possible, 7))
