"""Averaged probabilities and fitted temperatures."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from sslth.errors import InvalidInputError
from sslth.mining.predictions import Averaged, Tempered, fit_temperature, outputs_of, probabilities_of

Build = Callable[[], nn.Module]


def drawn(m: int = 4000, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs, and labels drawn from their softmax."""
    draw = torch.Generator().manual_seed(seed)
    outputs = 2.0 * torch.randn(m, 4, generator=draw, dtype=torch.float64)
    labels = torch.multinomial(torch.softmax(outputs, 1), 1, generator=draw)[:, 0]
    return outputs, labels


def nll(outputs: torch.Tensor, labels: torch.Tensor, temperature: float) -> float:
    return float(nn.functional.cross_entropy(outputs / temperature, labels))


def test_the_average_is_the_mean_of_probabilities(mlp: Build, conv: Build) -> None:
    members = [mlp().eval(), conv().eval(), mlp().eval()]
    inputs = torch.randn(7, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    mean = np.mean([probabilities_of(member, inputs) for member in members], axis=0)
    assert np.allclose(probabilities_of(Averaged(members), inputs), mean, atol=1e-6)
    one = Averaged(members[:1])
    assert np.allclose(probabilities_of(one, inputs), probabilities_of(members[0], inputs), atol=1e-6)
    with pytest.raises(InvalidInputError, match="no member"):
        Averaged([])


def test_the_average_bears_extreme_outputs() -> None:
    class Sure(nn.Module):
        def __init__(self, row: list[float]) -> None:
            super().__init__()
            self.row = row

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return torch.tensor([self.row]).expand(len(inputs), -1)

    both = Averaged([Sure([0.0, 1e4]), Sure([1e4, 0.0])])
    assert probabilities_of(both, torch.zeros(2, 1)).tolist() == [[0.5, 0.5]] * 2


def test_outputs_leave_the_network_as_it_was(mlp: Build) -> None:
    network = mlp().train()
    inputs = torch.zeros(1500, 1, 4, 4)
    outputs = outputs_of(network, inputs)
    assert network.training
    assert tuple(outputs.shape) == (1500, 3)
    assert outputs.dtype == torch.float64
    assert bool((outputs == outputs[0]).all())  # dropout is off


@pytest.mark.parametrize("scale", [0.25, 1.0, 5.0])
def test_the_temperature_undoes_a_scale(scale: float) -> None:
    outputs, labels = drawn()
    found = fit_temperature(scale * outputs, labels)
    assert found == pytest.approx(scale, rel=0.06)  # 4,000 draws: the standard error is about 2 %
    best = nll(scale * outputs, labels, found)
    assert all(best <= nll(scale * outputs, labels, found * factor) for factor in (0.97, 0.999, 1.001, 1.03))


def test_temperatures_at_the_ends() -> None:
    outputs = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert fit_temperature(outputs, torch.tensor([0, 1])) == 0.05
    assert fit_temperature(outputs, torch.tensor([1, 0])) == 20.0
    assert fit_temperature(torch.zeros(2, 2), torch.tensor([1, 0])) == 20.0


def test_a_tempered_network_keeps_its_predictions(mlp: Build) -> None:
    network = mlp().eval()
    inputs = torch.randn(9, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    cool, warm = (probabilities_of(Tempered(network, t), inputs) for t in (1.0, 3.0))
    assert np.allclose(cool, probabilities_of(network, inputs))
    assert (warm.argmax(1) == cool.argmax(1)).all()
    assert (warm.max(1) < cool.max(1)).all()
    for bad in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(InvalidInputError, match="temperature is"):
            Tempered(network, bad)
    with pytest.raises(InvalidInputError, match="do not belong together"):
        fit_temperature(torch.zeros(3, 2), torch.zeros(2, dtype=torch.int64))
