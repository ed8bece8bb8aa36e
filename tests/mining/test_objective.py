"""The robust loss and its neighbours against their formulas; plain training stays what it was."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from torch import nn

from sslth.data.splits import Splits
from sslth.errors import InvalidInputError
from sslth.mining import EdgePopup, Training, mine
from sslth.mining.objective import batch_loss, robust_loss, robust_weights

Build = Callable[[], nn.Module]


def test_weights_are_exponentials_of_losses() -> None:
    losses = torch.tensor([0.1, 2.0, 0.7, 2.0], dtype=torch.float64)
    expected = np.exp(losses.numpy() / 0.5)
    found = robust_weights(losses, 0.5)
    assert np.allclose(found.numpy(), expected / expected.sum())
    assert float(found.sum()) == pytest.approx(1.0)
    assert found.argsort(stable=True).tolist() == losses.argsort(stable=True).tolist()


def test_weights_solve_the_penalised_maximum() -> None:
    losses = np.array([0.3, 1.7, 0.9])

    def negative(free: np.ndarray) -> float:
        p = np.exp(free) / np.exp(free).sum()
        return float(-(p @ losses - 0.8 * (p * np.log(3 * p)).sum()))

    best = minimize(negative, np.zeros(3), tol=1e-12)
    p = robust_weights(torch.from_numpy(losses), 0.8).numpy()
    assert np.allclose(np.exp(best.x) / np.exp(best.x).sum(), p, atol=1e-5)
    assert -best.fun == pytest.approx(0.8 * math.log(np.exp(losses / 0.8).mean()))


def test_ends_of_the_range() -> None:
    losses = torch.tensor([0.5, 3.0, 1.0])
    assert robust_weights(losses, math.inf).tolist() == pytest.approx([1 / 3] * 3)
    for tiny in (1e-3, 1e-300):
        assert robust_weights(losses, tiny).tolist() == [0.0, 1.0, 0.0]
    assert bool(torch.isfinite(robust_weights(torch.tensor([1e30, 0.0]), 1e-6)).all())
    for plain in (None, math.inf):
        assert float(robust_loss(losses, plain)) == float(losses.mean())


def test_no_gradient_through_the_weights() -> None:
    losses = torch.tensor([0.5, 3.0, 1.0], requires_grad=True)
    torch.autograd.backward(robust_loss(losses, 0.7))
    weights = robust_weights(losses, 0.7)
    assert not weights.requires_grad
    assert losses.grad is not None
    assert torch.equal(losses.grad, weights)
    # which is the gradient of λ log mean exp(l / λ)
    again = losses.detach().clone().requires_grad_()
    torch.autograd.backward(0.7 * (torch.logsumexp(again / 0.7, 0) - math.log(3)))
    assert again.grad is not None
    assert torch.allclose(again.grad, weights)


def parts() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    network = nn.Linear(4, 3)
    with torch.no_grad():
        network.weight.copy_(torch.randn(3, 4, generator=draw))
    return network, torch.randn(6, 4, generator=draw), torch.tensor([0, 1, 2, 0, 1, 2])


def test_smoothing_by_its_formula() -> None:
    network, inputs, labels = parts()
    logs = torch.log_softmax(network(inputs), 1)
    targets = 0.9 * F.one_hot(labels, 3) + 0.1 / 3
    found = batch_loss(network, inputs, labels, Training(label_smoothing=0.1), None)
    assert found.item() == pytest.approx(-(targets * logs).sum(1).mean().item())


@pytest.mark.parametrize("kl_penalty", [None, 0.5])
def test_mixup_by_its_formula(kl_penalty: float | None) -> None:
    network, inputs, labels = parts()
    training = Training(mixup=0.4, kl_penalty=kl_penalty)
    found = batch_loss(network, inputs, labels, training, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    share = rng.beta(0.4, 0.4)
    order = rng.permutation(6)
    logs = torch.log_softmax(network(share * inputs + (1 - share) * inputs[order]), 1)
    targets = share * F.one_hot(labels, 3) + (1 - share) * F.one_hot(labels[order], 3)
    losses = -(targets * logs).sum(1)
    p = torch.full((6,), 1 / 6) if kl_penalty is None else torch.softmax(losses / kl_penalty, 0)
    assert 0.0 < share < 1.0
    assert found.item() == pytest.approx((p * losses).sum().item(), rel=1e-5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0"),
        ({"label_smoothing": -0.1}, "label_smoothing is -0.1"),
        ({"mixup": -1.0}, "mixup is -1.0"),
        ({"mixup": math.inf}, "mixup is inf"),
        ({"kl_penalty": 0.0}, "kl_penalty is 0.0"),
        ({"kl_penalty": math.inf}, "or None for the plain mean"),
        ({"kl_penalty": math.nan}, "kl_penalty is nan"),
        ({"kl_penalty": "small"}, "kl_penalty is 'small'"),
        ({"label_smoothing": None}, "label_smoothing is None"),
        ({"mixup": True}, "mixup is True"),
    ],
)
def test_numbers_that_are_no_objective(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Training(**values)


def test_a_huge_penalty_is_plain_training_and_a_small_one_is_not(mlp: Build, blobs: Splits) -> None:
    def scores(kl_penalty: float | None) -> torch.Tensor:
        training = dataclasses.replace(EdgePopup().training, kl_penalty=kl_penalty)
        mined = mine(mlp, blobs, EdgePopup(training=training), keep=0.3, epochs=2, finetune_epochs=0)
        return torch.cat([values.flatten() for values in mined.scores.values()])

    plain = scores(None)
    assert torch.allclose(scores(1e6), plain, atol=1e-4)
    assert not torch.allclose(scores(0.2), plain, atol=1e-2)


def test_mixup_is_the_same_for_one_seed(mlp: Build, blobs: Splits) -> None:
    one, other = (
        mine(mlp, blobs, "random", keep=0.5, epochs=2, training=Training(mixup=0.3), seed=seed) for seed in (4, 4)
    )
    assert one.history == other.history
    assert one.history != mine(mlp, blobs, "random", keep=0.5, epochs=2, seed=4).history
