"""EL2N and GraNd against plain loops; averages over seeds; what they say about hard examples."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from sslth.data.splits import Examples, Splits
from sslth.errors import InvalidInputError
from sslth.mining import DivergedError, Training, score_examples
from sslth.mining.example_scores import SCORES, el2n, grand

Build = Callable[[], nn.Module]


def test_el2n_is_the_distance_to_the_label(mlp: Build, blobs: Splits) -> None:
    network = mlp()
    found = el2n(network, blobs.train)
    assert network.training  # as it was
    network.eval()
    for row in (0, 7, 100):
        shares = torch.softmax(network(blobs.train.inputs[row : row + 1])[0].detach().double(), 0)
        label = int(blobs.train.labels[row])
        plain = math.sqrt(sum((float(share) - (place == label)) ** 2 for place, share in enumerate(shares)))
        assert float(found[row]) == pytest.approx(plain, abs=1e-6)
    assert found.dtype is torch.float64
    assert 0 <= float(found.min()) <= float(found.max()) <= math.sqrt(2)


def test_grand_is_the_norm_of_one_gradient(conv: Build, blobs: Splits) -> None:
    network = conv()
    for parameter in network[0].parameters():
        parameter.requires_grad_(False)  # counts no more
    found = grand(network, blobs.train)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    network.eval()
    for row in (0, 7, 100):
        loss = nn.functional.cross_entropy(
            network(blobs.train.inputs[row : row + 1]), blobs.train.labels[row : row + 1]
        )
        gradients = torch.autograd.grad(loss, trained)
        plain = math.sqrt(sum(float((gradient.double() ** 2).sum()) for gradient in gradients))
        assert float(found[row]) == pytest.approx(plain, rel=1e-4)


def test_grand_does_not_depend_on_how_many_are_taken_at_once(
    mlp: Build, blobs: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = mlp()
    whole = grand(network, blobs.train)
    monkeypatch.setattr("sslth.mining.example_scores._AT_ONCE", 7)
    assert torch.allclose(grand(network, blobs.train), whole, rtol=1e-5)


@pytest.mark.parametrize("score", SCORES)
def test_an_average_over_seeds_is_repeatable_and_finds_wrong_labels(score: str, mlp: Build, blobs: Splits) -> None:
    labels = blobs.train.labels.clone()
    labels[:12] = (labels[:12] + 1) % 3
    spoiled = Splits(Examples(blobs.train.inputs, labels), blobs.validation, blobs.test, 3)
    state = torch.random.get_rng_state()
    found, again = (score_examples(mlp, spoiled, score=score, seeds=3, steps=45) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(found, again)
    assert not torch.equal(found, score_examples(mlp, spoiled, score=score, seeds=3, steps=45, seed=1))
    assert float(found[:12].mean()) > 1.5 * float(found[12:].mean())
    hardest = torch.sort(found, descending=True).indices[:24]
    assert int((hardest < 12).sum()) >= 9  # chance puts 2 of the 12 there


def test_the_test_part_is_not_scored_with(mlp: Build, blobs: Splits) -> None:
    other = Splits(blobs.train, blobs.validation, Examples(blobs.test.inputs + 1, blobs.test.labels), 3)
    assert torch.equal(score_examples(mlp, blobs, seeds=1, steps=3), score_examples(mlp, other, seeds=1, steps=3))


def test_bad_arguments(mlp: Build, blobs: Splits) -> None:
    with pytest.raises(InvalidInputError, match="score is 'size'"):
        score_examples(mlp, blobs, score="size")
    with pytest.raises(InvalidInputError, match="seeds=0"):
        score_examples(mlp, blobs, seeds=0)
    with pytest.raises((DivergedError, InvalidInputError), match="lower the learning rate"):
        score_examples(mlp, blobs, seeds=1, steps=30, training=Training("SGD", 1e30))
