"""The public certificate of real tickets: above every sampled error, attained below, and honest about its box."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import sslth
from sslth.data.digits import Split
from sslth.errors import InvalidInputError

# What the proof and the search may take where a test is about something else.
QUICK: dict = {"hops": 0, "slope_steps": 0, "work": 0.0}


@torch.no_grad()
def largest_difference(ticket: sslth.Ticket, model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Per output, in float64, from the kept filters themselves and not from the merged network."""
    pruned, target = ticket.to_module().double(), sslth.cnn.swap.swapped_copy(model, {}).double()
    return (pruned(inputs.double()) - target(inputs.double())).abs().amax(dim=0)


def test_upper_is_above_every_sampled_error_and_lower(ticket: sslth.Ticket, trained: nn.Module, digits: Split) -> None:
    report = sslth.certify(ticket, trained, data=digits.test_images)
    generator = torch.Generator().manual_seed(0)
    samples = torch.cat(
        [
            digits.test_images,
            torch.rand(300, 1, 8, 8, generator=generator),
            (torch.rand(300, 1, 8, 8, generator=generator) < 0.5).float(),
            torch.from_numpy(report.witness).float()[None],
        ]
    )
    seen = largest_difference(ticket, trained, samples).numpy()
    assert (report.upper_per_output >= seen - 1e-12).all()
    assert report.upper == report.upper_per_output.max()
    assert report.upper >= report.lower > 0
    on_data = float(largest_difference(ticket, trained, digits.test_images).max())
    assert report.lower >= on_data - 1e-9
    assert report.reason is None


def test_the_witness_attains_the_lower_bound(ticket: sslth.Ticket, trained: nn.Module) -> None:
    report = sslth.certify(ticket, trained, starts=16, steps=20, **QUICK)
    assert report.witness.shape == (1, 8, 8)
    assert report.witness.min() >= 0
    assert report.witness.max() <= 1
    attained = float(largest_difference(ticket, trained, torch.from_numpy(report.witness)[None]).max())
    assert attained == pytest.approx(report.lower, rel=1e-6)
    assert attained >= report.lower * (1 - 1e-9)


def test_same_seed_same_report(ticket: sslth.Ticket, trained: nn.Module) -> None:
    first, second = (sslth.certify(ticket, trained, starts=8, steps=5, seed=3, **QUICK) for _ in range(2))
    assert (first.upper, first.lower) == (second.upper, second.lower)
    assert np.array_equal(first.witness, second.witness)


def test_a_smaller_box_gives_a_smaller_bound(ticket: sslth.Ticket, trained: nn.Module) -> None:
    whole = sslth.certify(ticket, trained, starts=2, steps=2, **QUICK)
    part = sslth.certify(ticket, trained, low=0.4, high=np.full((1, 8, 8), 0.6), starts=2, steps=2, **QUICK)
    assert part.upper < whole.upper


def test_a_box_with_negative_inputs_is_refused_where_one_sign_was_assumed(
    ticket: sslth.Ticket, trained: nn.Module
) -> None:
    with pytest.raises(InvalidInputError, match="conv1 of the ticket was made for non-negative inputs"):
        sslth.certify(ticket, trained, low=-0.1)
    both = sslth.extract(trained, torch.zeros(1, 1, 8, 8), width=256, progress=False)
    report = sslth.certify(both, trained, low=-2.0, high=2.0, starts=4, steps=4, **QUICK)
    assert math.isfinite(report.upper)
    assert report.upper > sslth.certify(both, trained, starts=4, steps=4, **QUICK).upper


def test_a_wrong_model_is_refused_and_other_weights_are_bounded(ticket: sslth.Ticket, trained: nn.Module) -> None:
    with pytest.raises(InvalidInputError, match="not the ticket's network"):
        sslth.certify(ticket, nn.Sequential(nn.Linear(64, 10)))
    other = sslth.cnn.swap.swapped_copy(trained, {})
    with torch.no_grad():
        other.get_submodule("linear").weight[3, 5] += 1.0
    report = sslth.certify(ticket, other, starts=16, steps=20, **QUICK)
    assert report.upper >= report.lower > 0.1
    assert report.same_target is False
    assert (
        report.kernel_error["linear"]
        > 10 * sslth.certify(ticket, trained, starts=1, steps=1, **QUICK).kernel_error["linear"]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": float("nan")}, "low holds NaN"),
        ({"high": np.zeros(5)}, "high has shape"),
        ({"low": 2.0}, "low is above high"),
        ({"device": "abacus"}, "cannot be used"),
        ({"seed": -1}, "seed is -1"),
        ({"data": torch.full((1, 1, 8, 8), 3.0)}, "outside the box"),
        ({"data": torch.zeros(1, 8, 8)}, "shape"),
        ({"data": np.zeros((1, 1, 8, 8))}, "must be a torch tensor"),
        ({"starts": 0}, "starts is 0"),
        ({"steps": 1.5}, "steps is 1.5"),
    ],
)
def test_bad_arguments(ticket: sslth.Ticket, trained: nn.Module, arguments: dict, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        sslth.certify(ticket, trained, **arguments)
    assert "\n" not in str(caught.value)


def test_kernel_errors_are_relative_and_by_block(ticket: sslth.Ticket, trained: nn.Module) -> None:
    report = sslth.certify(ticket, trained, starts=1, steps=1, **QUICK)
    merged = ticket.merged_layers()["conv2"]
    weight = trained.get_submodule("conv2").weight.detach().double()
    expected = (merged.positive - weight).pow(2).sum(dim=(0, 2, 3)).sqrt() / weight.pow(2).sum(dim=(0, 2, 3)).sqrt()
    assert np.allclose(report.kernel_error_per_block["conv2"]["positive"], expected.numpy())
    assert report.kernel_error["conv2"] == pytest.approx(float(expected.max()))
    assert set(report.kernel_error) == {"conv1", "conv2", "linear"}


@pytest.mark.parametrize("std", [[0.3, -2.0], [0.0, 1.0]])
def test_inputs_normalised_by_buffers(std: list[float]) -> None:
    class Normalising(nn.Module):
        mean: torch.Tensor
        std: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.tensor([0.4, 0.1])[:, None, None])
            self.register_buffer("std", torch.tensor(std)[:, None, None])
            self.conv = nn.Conv2d(2, 3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv((x - self.mean) / self.std)

    torch.manual_seed(0)
    model, x = Normalising().eval(), torch.rand(40, 2, 5, 5)
    if 0.0 in std:
        with pytest.raises(InvalidInputError, match=r"not finite|fails"):
            sslth.certify(sslth.extract(model, x, width=50, low=0.0, progress=False), model)
        return
    ticket = sslth.extract(model, x, width=300, low=0.0, high=1.0, progress=False)
    report = sslth.certify(ticket, model, data=x)
    assert report.reason is None
    seen = largest_difference(ticket, model, x).numpy()
    assert (report.upper_per_output >= seen - 1e-12).all()
    assert report.upper < 20 * report.lower
