"""Statements about a source hold as often as they say, and refuse what they cannot speak of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import sslth
from sslth.cnn.certificates.data_certificate import data_certificate
from sslth.data.digits import Split
from sslth.errors import InvalidInputError


@pytest.fixture(scope="module")
def small() -> tuple[nn.Module, sslth.Ticket]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))
    return model, sslth.extract(model, torch.zeros(1, 2), width=60, low=-1.0, high=1.0, progress=False)


def test_the_statements_hold_as_often_as_they_say(small: tuple[nn.Module, sslth.Ticket]) -> None:
    model, ticket = small
    rng = torch.Generator().manual_seed(1)
    many = data_certificate(ticket, model, 2 * torch.rand(40_000, 2, generator=rng) - 1)
    level = float(np.quantile(many.errors, 0.97))
    wrong = [0, 0]
    for _ in range(60):
        x = 2 * torch.rand(200, 2, generator=rng) - 1
        unset = data_certificate(ticket, model, x, confidence=0.9)
        given = data_certificate(ticket, model, x, confidence=0.9, error=level)
        assert unset.exceeding == 0
        assert unset.share_same_class is not None
        wrong[0] += bool((many.errors > unset.error).mean() > unset.share_above)
        wrong[1] += bool((many.errors > level).mean() > given.share_above)
    # At most 5 % each in the mean; more than 10 of 60 has probability 2e-4.
    assert max(wrong) <= 10


def test_numbers(small: tuple[nn.Module, sslth.Ticket]) -> None:
    model, ticket = small
    x = 2 * torch.rand(1000, 2, generator=torch.Generator().manual_seed(2)) - 1
    found = data_certificate(ticket, model, x)
    with torch.no_grad():
        pruned, target = ticket.to_module()(x), model(x)
    assert found.error == pytest.approx(float((pruned - target).abs().max()), rel=1e-4)
    assert found.same_class == int((pruned.argmax(1) == target.argmax(1)).sum())
    assert found.share_above == pytest.approx(1 - 0.0005 ** (1 / 1000))
    assert "with confidence 99.9 %, at most" in found.sentence()
    assert "nothing about any single input" in found.sentence()


def test_loaders_and_tensors_say_the_same(trained: nn.Module, ticket: sslth.Ticket, digits: Split) -> None:
    images = digits.test_images[:90]
    loader = DataLoader(TensorDataset(images, digits.test_labels[:90]), batch_size=32)
    one, two = data_certificate(ticket, trained, images), data_certificate(ticket, trained, loader)
    assert np.allclose(one.errors, two.errors, rtol=1e-9)
    assert one.share_same_class == two.share_same_class


@pytest.mark.parametrize(
    ("inputs", "settings", "words"),
    [
        (torch.zeros(0, 2), {}, "there are no inputs"),
        (torch.zeros(3, 3), {}, "inputs have shape"),
        (torch.full((3, 2), 1.5), {}, "outside the ticket's box"),
        (torch.full((3, 2), torch.nan), {}, "outside the ticket's box"),
        (["a"], {}, "a batch is a str"),
        (7, {}, "inputs is a int"),
        (torch.zeros(3, 2), {"confidence": 1.0}, "confidence is 1.0"),
        (torch.zeros(3, 2), {"error": -1.0}, "error is -1.0"),
    ],
)
def test_refusals(small: tuple[nn.Module, sslth.Ticket], inputs: object, settings: dict, words: str) -> None:
    model, ticket = small
    with pytest.raises(InvalidInputError, match=words):
        data_certificate(ticket, model, inputs, **settings)  # type: ignore[arg-type]
