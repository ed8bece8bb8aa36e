"""Certificates of balls around an input: a part of the box, a sharper proof, and the class where it is proved."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

import sslth
from sslth.cnn.certificates.balls import ball
from sslth.data.digits import Split
from sslth.errors import InvalidInputError


def test_a_ball_is_a_part_of_the_box() -> None:
    low, high = ball(torch.tensor([0.0, 0.5, 1.0]), 0.2, np.zeros(3), 1.0, (3,))
    assert np.allclose(low, [0.0, 0.3, 0.8])
    assert np.allclose(high, [0.2, 0.7, 1.0])


@pytest.mark.parametrize(
    ("around", "radius", "words"),
    [
        ([0.5], None, "together"),
        (None, 0.1, "together"),
        ([0.5], 0, "radius is 0"),
        ([0.5], float("nan"), "radius is nan"),
        ([0.5, 0.5], 0.1, "around has shape"),
        ([1.5], 0.1, "outside the box"),
        ([float("nan")], 0.1, "outside the box"),
        ("image", 0.1, "no array of numbers"),
    ],
)
def test_refusals(around: object, radius: object, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        ball(around, radius, 0.0, 1.0, (1,))  # type: ignore[arg-type]


def test_certified_ball(ticket: sslth.Ticket, trained: nn.Module, digits: Split) -> None:
    image = digits.test_images[0]
    report = sslth.certify(
        ticket, trained, around=image, radius=0.02, starts=6, steps=10, hops=2, slope_steps=5, device="cpu"
    )
    assert report.method == "linear relaxation"
    assert report.same_class is True
    assert np.allclose(report.high, np.minimum(image.numpy() + 0.02, 1.0))
    assert 0 < report.lower <= report.upper < 3 * report.lower
    assert not report.loose
    assert "the same class" in report.verdict()
    samples = image + 0.02 * (2 * torch.rand(200, 1, 8, 8, generator=torch.Generator().manual_seed(0)) - 1)
    samples = samples.clamp(0, 1).double()
    with torch.no_grad():
        target, pruned = (
            sslth.cnn.swap.swapped_copy(trained, {}).double()(samples),
            ticket.to_module().double()(samples),
        )
    assert bool(((pruned - target).abs().amax(0).numpy() <= report.upper_per_output + 1e-12).all())
    assert bool((target.argmax(1) == target.argmax(1)[0]).all())
    assert bool((pruned.argmax(1) == target.argmax(1)).all())


def test_a_loose_proof_is_said_to_be_loose(ticket: sslth.Ticket, trained: nn.Module) -> None:
    report = sslth.certify(ticket, trained, starts=1, steps=1, hops=0, slope_steps=0, work=0.0)
    assert report.same_class is None
    assert not report.loose
    loose = dataclasses.replace(report, upper=1001 * report.lower)
    assert loose.loose
    assert "the proof is loose at this depth" in loose.verdict()
    assert not dataclasses.replace(report, upper=float("inf"), reason="of something").loose
    assert "because of something" in dataclasses.replace(report, upper=float("inf"), reason="of something").verdict()
