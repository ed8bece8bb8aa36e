"""Scores of frozen weights: what the model reads, and what gradient the scores get, by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sslth.mining.scope import Scope, Slot, all_slots, masked_slots
from sslth.mining.scores import Scores

SHAPES = {
    "entries": ((4, 3), (4, 3)),
    "kernels": ((4, 2, 3, 3), (4, 2, 3, 3)),
    "filters": ((4, 2, 3, 3), (4, 1, 1, 1)),
    "biases-of-filters": ((4,), (4, 1, 1, 1)),
    "biases": ((4,), (4,)),
}


class Bare(nn.Module):
    """A parameter and nothing else."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)


def slot_of(model: nn.Module, name: str = "weight") -> Slot:
    return next(slot for slot in all_slots(model) if slot.name == name)


@pytest.mark.parametrize("absolute", [False, True], ids=["plain", "absolute"])
@pytest.mark.parametrize("kind", SHAPES)
def test_scores_get_the_gradient_of_weights_times_scores(kind: str, absolute: bool) -> None:
    shape, of_scores = SHAPES[kind]
    generator = torch.Generator().manual_seed(0)
    model = Bare(torch.randn(shape, generator=generator))
    weight = model.weight.detach().clone()
    start = torch.randn(of_scores, generator=generator)
    scores = Scores({"weight": slot_of(model)}, {"weight": start}, absolute=absolute)
    assert torch.equal(model.weight, weight)  # everything is kept at first
    scores.hard.copy_(torch.rand(start.numel(), generator=generator) < 0.5)
    scores.gate()
    hard = scores.hard.view(of_scores)
    hard = hard.flatten() if len(shape) == 1 else hard
    assert torch.equal(model.weight, weight * hard)
    upstream = torch.randn(shape, generator=generator)
    model.weight.backward(upstream)
    scores.collect()
    soft = start.clone().requires_grad_(True)
    spread = soft.abs() if absolute else soft
    product = weight * (spread.flatten() if len(shape) == 1 else spread)
    expected = torch.autograd.grad(product, soft, upstream)[0]
    assert scores.vector.grad is not None
    torch.testing.assert_close(scores.vector.grad.view(of_scores), expected, rtol=1e-6, atol=1e-6)
    scores.detach()
    assert torch.equal(model.weight, weight)
    assert not model.weight.requires_grad


@pytest.mark.parametrize("absolute", [False, True], ids=["plain", "absolute"])
def test_gradient_goes_straight_through(absolute: bool) -> None:
    model = Bare(torch.tensor([[3.0, 5.0]]))
    scores = Scores({"weight": slot_of(model)}, {"weight": torch.tensor([[0.5, -2.0]])}, absolute=absolute)
    scores.hard.copy_(torch.tensor([0.0, 1.0]))
    scores.gate()
    assert model.weight.tolist() == [[0.0, 5.0]]
    model.weight.sum().backward()
    scores.collect()
    assert scores.vector.grad is not None
    assert scores.vector.grad.tolist() == [3.0, -5.0 if absolute else 5.0]  # the sign of the score, if absolute


def test_frozen_weights_get_no_gradient() -> None:
    model = Bare(torch.tensor([[1.0, 2.0]]))
    weight = model.weight
    scores = Scores({"weight": slot_of(model)}, {"weight": torch.tensor([[0.2, 0.8]])}, absolute=False)
    model.weight.sum().backward()
    scores.collect()
    assert weight.grad is None
    assert scores.vector.grad is not None
    assert scores.vector.grad.tolist() == [1.0, 2.0]


def test_gradients_are_those_of_one_step_and_of_every_use() -> None:
    model = Bare(torch.tensor([[1.0, 2.0]]))
    scores = Scores({"weight": slot_of(model)}, {"weight": torch.tensor([[0.2, 0.8]])}, absolute=False)
    for _ in range(2):
        (model.weight.sum() + 3 * model.weight.sum()).backward()
        scores.collect()
        assert scores.vector.grad is not None
        assert scores.vector.grad.tolist() == [4.0, 8.0]
    scores.collect()  # nothing was computed: nothing is left over
    assert scores.vector.grad.tolist() == [0.0, 0.0]


def test_shared_weights_share_a_gate() -> None:
    layer = nn.Linear(3, 3, bias=False)
    other = nn.Linear(3, 3, bias=False)
    other.weight = layer.weight
    network = nn.Sequential(layer, nn.Tanh(), other).requires_grad_(False)
    slots = masked_slots(network, Scope())
    assert list(slots) == ["0.weight"]
    weight = layer.weight.detach().clone()
    inputs = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    scores = Scores(slots, {"0.weight": torch.ones(3, 3)}, absolute=False)
    network(inputs).sum().backward()
    scores.collect()
    free = weight.clone().requires_grad_(True)
    expected = torch.autograd.grad((torch.tanh(inputs @ free.T) @ free.T).sum(), free)[0] * weight
    assert scores.vector.grad is not None
    torch.testing.assert_close(scores.vector.grad.view(3, 3), expected)
    scores.detach()
    assert layer.weight is other.weight
    assert torch.equal(layer.weight, weight)


def test_biases_share_the_scores_of_their_filters(conv: Callable[[], nn.Module]) -> None:
    network = conv().requires_grad_(False)
    slots = {"0.weight": slot_of(network, "0.weight")}
    bias = slot_of(network, "0.bias")
    weight, shift = slots["0.weight"].parameter.clone(), bias.parameter.clone()
    scores = Scores(slots, {"0.weight": torch.rand(6, 1, 1, 1)}, absolute=False, along={"0.weight": bias})
    scores.hard.copy_(torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 1.0]))
    scores.gate()
    first = network[0]
    assert isinstance(first, nn.Conv2d)
    assert first.bias is not None
    assert torch.equal(first.bias, shift * scores.hard)
    assert not first.weight[1].any()
    (2 * first.weight.sum() + 3 * first.bias.sum()).backward()
    scores.collect()
    assert scores.vector.grad is not None
    torch.testing.assert_close(scores.vector.grad, 2 * weight.flatten(1).sum(1) + 3 * shift)
    saved = {name for name in network.state_dict() if name.startswith("0.")}
    assert len([name for name in saved if name.endswith(".scores")]) == 1  # once, not once a gate
    scores.detach()
    assert torch.equal(first.weight, weight)
    assert torch.equal(first.bias, shift)


def test_a_checkpoint_restores_scores_in_place() -> None:
    def build(seed: int) -> tuple[nn.Module, Scores]:
        network = nn.Linear(4, 3, bias=False).requires_grad_(False)
        torch.nn.init.ones_(network.weight)
        drawn = torch.rand(3, 4, generator=torch.Generator().manual_seed(seed))
        return network, Scores(masked_slots(network, Scope()), {"weight": drawn}, absolute=True)

    one, first = build(0)
    other, second = build(1)
    other.load_state_dict(one.state_dict())
    assert torch.equal(first.vector, second.vector)
    assert torch.equal(second.by_name["weight"].flatten(), second.vector)
    assert torch.equal(second.rank()["weight"].flatten(), first.vector)
