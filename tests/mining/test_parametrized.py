"""Gates on weights: what passes forward and what passes back, by hand."""

from __future__ import annotations

import pytest
import torch

from sslth.mining.parametrized import Masked, Scored


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_a_mask_keeps_the_type_of_the_weights(dtype: torch.dtype) -> None:
    weight = torch.tensor([[1.5, -2.0, 3.0]], dtype=dtype, requires_grad=True)
    gated = Masked(torch.tensor([[True, False, True]]))(weight)
    assert gated.dtype == dtype
    assert gated.tolist() == [[1.5, 0.0, 3.0]]
    gradient = torch.autograd.grad(gated, weight, torch.tensor([[2.0, 2.0, -1.0]], dtype=dtype))[0]
    assert gradient.tolist() == [[2.0, 0.0, -1.0]]


@pytest.mark.parametrize("absolute", [False, True], ids=["plain", "absolute"])
@pytest.mark.parametrize(
    ("shape", "scores"),
    [((4, 3), (4, 3)), ((4, 2, 3, 3), (4, 2, 3, 3)), ((4, 2, 3, 3), (4, 1, 1, 1)), ((4,), (4, 1, 1, 1)), ((4,), (4,))],
    ids=["entries", "kernels", "filters", "biases-of-filters", "biases"],
)
def test_scores_get_the_gradient_of_weights_times_scores(
    shape: tuple[int, ...], scores: tuple[int, ...], absolute: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=generator, requires_grad=True)
    part = Scored(torch.randn(scores, generator=generator), absolute=absolute)
    part.hard.copy_(torch.rand(scores, generator=generator) < 0.5)
    gated = part(weight)
    hard = part.hard.flatten() if len(shape) == 1 else part.hard
    assert torch.equal(gated, weight * hard)
    upstream = torch.randn(shape, generator=generator)
    to_weight, to_scores = torch.autograd.grad(gated, [weight, part.scores], upstream)
    assert torch.equal(to_weight, upstream * hard)
    soft = part.scores.detach().clone().requires_grad_(True)
    spread = soft.abs() if absolute else soft
    product = weight.detach() * (spread.flatten() if len(shape) == 1 else spread)
    assert torch.equal(to_scores, torch.autograd.grad(product, soft, upstream)[0])


def test_frozen_weights_get_no_gradient() -> None:
    weight = torch.tensor([[1.0, 2.0]])
    part = Scored(torch.tensor([[0.2, 0.8]]), absolute=False)
    part(weight).sum().backward()
    assert weight.grad is None
    assert part.scores.grad is not None
    assert part.scores.grad.tolist() == [[1.0, 2.0]]
