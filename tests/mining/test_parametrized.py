"""Masks on weights: what passes forward and what passes back, by hand."""

from __future__ import annotations

import pytest
import torch

from sslth.mining.parametrized import Masked


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_a_mask_keeps_the_type_of_the_weights(dtype: torch.dtype) -> None:
    weight = torch.tensor([[1.5, -2.0, 3.0]], dtype=dtype, requires_grad=True)
    gated = Masked(torch.tensor([[True, False, True]]))(weight)
    assert gated.dtype == dtype
    assert gated.tolist() == [[1.5, 0.0, 3.0]]
    gradient = torch.autograd.grad(gated, weight, torch.tensor([[2.0, 2.0, -1.0]], dtype=dtype))[0]
    assert gradient.tolist() == [[2.0, 0.0, -1.0]]
