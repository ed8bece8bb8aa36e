"""Lines between networks: no barrier to oneself, a known one, batch norms by choice."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from sslth.data.splits import Examples, Splits
from sslth.errors import InvalidInputError
from sslth.mining import Imp, Training, line_between, mine
from sslth.mining.connectivity import Line, sgd_children
from sslth.mining.correlation import rank_correlation

Build = Callable[[], nn.Module]


@pytest.mark.parametrize("again", [False, True], ids=["interpolated", "reestimated"])
def test_there_is_no_barrier_between_a_network_and_itself(again: bool, conv: Build, blobs: Splits) -> None:
    network = conv()
    network(blobs.train.inputs)  # running statistics
    before = copy.deepcopy(network.state_dict())
    found = line_between(
        network, copy.deepcopy(network), blobs.test, points=8, reestimate_on=blobs.train if again else None
    )
    assert found.barrier == 0.0
    assert float(found.errors.std()) == 0.0
    assert not found.example_barriers.any()
    assert torch.equal(found.connected, ~found.wrong[0])
    assert found.reestimated is again
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_the_ends_are_the_networks_and_a_known_barrier_is_found() -> None:
    """x·w with the signs of w of one network swapped: halfway the output is 0, and ties go to class 0."""
    first, second = nn.Linear(1, 2, bias=False), nn.Linear(1, 2, bias=False)
    hidden = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        hidden.weight.fill_(1.0)
        first.weight.copy_(torch.tensor([[-1.0], [1.0]]))
        second.weight.copy_(torch.tensor([[1.0], [-1.0]]))
    one, other = nn.Sequential(hidden, first), nn.Sequential(copy.deepcopy(hidden), second)
    with torch.no_grad():
        other[0].weight.fill_(-1.0)  # both compute (-x, x), by opposite signs
    data = Examples(torch.tensor([[1.0], [2.0], [-1.0], [-2.0]]), torch.tensor([1, 1, 0, 0]))
    found = line_between(one, other, data, points=5)
    assert found.errors.tolist() == [0.0, 0.0, 0.5, 0.0, 0.0]  # (1 - 2a)²·x: right but for the middle
    assert found.barrier == 0.5
    assert found.example_barriers.tolist() == [1.0, 1.0, 0.0, 0.0]
    assert found.connected.tolist() == [False, False, True, True]


def test_a_barrier_is_measured_from_the_line_between_the_errors() -> None:
    wrong = torch.tensor([[False] * 4, [True, True, False, False], [True, False, False, False]])
    found = Line(torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64), wrong, False)
    assert found.barrier == pytest.approx(0.5 - 0.125)
    straight = Line(found.positions, torch.tensor([[False], [False], [True]]), False)
    assert straight.barrier == 0.0
    both = Line(found.positions, torch.tensor([[True], [False], [True]]), False)
    assert both.barrier == 0.0
    assert both.connected.tolist() == [False]


def test_batch_norms_are_measured_again_at_every_point(conv: Build, blobs: Splits) -> None:
    """Statistics that belong to neither network spoil the line unless they are measured again."""
    pair = [conv(), conv()]
    for network in pair:
        network[1].running_mean.fill_(50.0)
    plain = line_between(*pair, blobs.train, points=3)
    again = line_between(*pair, blobs.train, points=3, reestimate_on=blobs.train, batch_size=len(blobs.train))
    network = copy.deepcopy(pair[0]).train()
    with torch.no_grad():
        for norm in (network[1], network[4]):
            norm.momentum = None
            norm.reset_running_stats()
        network(blobs.train.inputs)
        wrong = network.eval()(blobs.train.inputs).argmax(1) != blobs.train.labels
    assert torch.equal(again.wrong[0], wrong)
    assert not torch.equal(plain.wrong, again.wrong)


def test_children_share_the_start_and_differ_in_noise(mlp: Build, blobs: Splits) -> None:
    mined = mine(mlp, blobs, Imp(rate=0.5, rewind=10), keep=0.25, epochs=2, finetune_epochs=0)
    arguments = (mined.template, mined.start, mined.mask, blobs, Training())
    children = sgd_children(*arguments, epochs=2, seed=0)
    again = sgd_children(*arguments, epochs=2, seed=0)
    for name, value in children.first.state_dict().items():
        assert torch.equal(value, again.first.state_dict()[name])
    assert not torch.equal(children.first[1].weight, children.second[1].weight)
    for network in (children.first, children.second):
        assert torch.equal(network[1].weight != 0, mined.mask["1.weight"])
    found = children.line(blobs.train)
    assert found.wrong.shape == (11, 160)
    assert 0.0 <= found.barrier <= 1.0
    untrained = sgd_children(*arguments, epochs=0, seed=0)
    assert untrained.line(blobs.train).barrier == 0.0
    dense = sgd_children(mined.template, mined.start, None, blobs, Training(), epochs=1, seed=0)
    assert bool((dense.first[1].weight != 0).all())


def test_networks_without_a_line(mlp: Build, conv: Build, blobs: Splits) -> None:
    with pytest.raises(InvalidInputError, match="only one of them has"):
        line_between(mlp(), conv(), blobs.test)
    with pytest.raises(InvalidInputError, match=r"weight differs, \[2, 4\] and \[3, 4\]"):
        line_between(nn.Linear(4, 2), nn.Linear(4, 3), blobs.test)
    with pytest.raises(InvalidInputError, match="points is 1"):
        line_between(mlp(), mlp(), blobs.test, points=1)


def test_rank_correlation_speaks_of_seeds() -> None:
    rising = [[1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 4.0], [2.0, 1.0, 3.0, 4.0]]
    orders = [[10.0, 20.0, 30.0, 40.0]] * 3
    found = rank_correlation(rising, orders)
    assert found.each == pytest.approx((1.0, 0.8, 0.8))
    assert found.verdict == "positive"
    assert found.interval[1] <= 1.0
    assert rank_correlation([row[::-1] for row in rising], orders).verdict == "negative"
    assert rank_correlation([rising[0], rising[0][::-1]], orders[:2]).verdict == "not shown"
    with pytest.raises(InvalidInputError, match="no rank correlation"):
        rank_correlation([[1.0, 1.0, 1.0], [1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]] * 2)
    with pytest.raises(InvalidInputError, match="seeds >= 2"):
        rank_correlation([[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]])
