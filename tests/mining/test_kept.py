"""Weights that are trained under a mask take the steps of weights times mask, and are 0 where nothing is kept."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslth.data.splits import Splits
from sslth.mining import Training
from sslth.mining.finetune import finetune
from sslth.mining.kept import ELEMENTWISE, holding_zeros
from sslth.mining.masks import Mask
from sslth.mining.parametrized import Masked, attach, slots_of
from sslth.mining.training import train

Build = Callable[[], nn.Module]
DECAYED = {
    "SGD, momentum, decay": Training("SGD", 0.05, momentum=0.9, weight_decay=0.1),
    "Adam, decay": Training("Adam", 0.01, weight_decay=0.1),
    "AdamW, decay": Training("AdamW", 0.01, weight_decay=0.1),
}
CASES = DECAYED | {name: Training(name, 0.01) for name in sorted(ELEMENTWISE)}


def drawn(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("case", CASES)
def test_kept_weights_move_as_weights_times_mask_do(case: str) -> None:
    training = CASES[case]
    inputs, labels = drawn((20, 6), 0), torch.arange(20) % 4
    keep = drawn((8, 6), 3) > 0.3

    first, second = nn.Linear(6, 8), nn.Linear(8, 4)
    network = nn.Sequential(first, nn.Tanh(), second)
    by_hand = copy.deepcopy(network)
    hooks = holding_zeros(slots_of(network, {"0.weight": keep}), {"0.weight": keep}, training)
    optimizer, other = training.build(network.parameters()), training.build(by_hand.parameters())
    assert hooks.after_backward is None
    assert hooks.after_step is not None
    a, c = by_hand[0], by_hand[2]
    assert isinstance(a, nn.Linear)
    assert isinstance(c, nn.Linear)
    before = a.weight.detach().clone()
    for step in range(12):
        optimizer.zero_grad()
        F.cross_entropy(network(inputs), labels).backward()
        optimizer.step()
        hooks.after_step(step + 1, 12)
        assert not bool(first.weight[~keep].any())  # exactly 0, after every step

        other.zero_grad()
        hidden = torch.tanh(F.linear(inputs, a.weight * keep, a.bias))
        F.cross_entropy(F.linear(hidden, c.weight, c.bias), labels).backward()
        other.step()
    assert not torch.equal(a.weight[keep], before[keep])
    assert torch.equal(first.weight[keep], a.weight[keep])
    assert torch.equal(second.weight, c.weight)
    assert torch.equal(first.bias, a.bias)


@pytest.mark.parametrize("case", DECAYED)
def test_finetuning_is_training_under_a_parametrization(case: str, mlp: Build, blobs: Splits) -> None:
    torch.manual_seed(0)
    template = mlp()
    start = {name: value.clone() for name, value in template.state_dict().items()}
    mask = Mask({"1.weight": drawn((24, 16), 1) > 0.5, "3.weight": drawn((12, 24), 2) > 0.5})
    cpu, training = torch.device("cpu"), DECAYED[case]
    tuned, history = finetune(template, start, mask, blobs, training, epochs=2, seed=3, device=cpu)

    under = copy.deepcopy(template)
    slots = slots_of(under, mask)
    attach(slots.values(), {name: Masked(mask[name]) for name in slots})
    parameters = list(under.parameters())
    there = train(
        under, parameters, blobs.train, blobs.validation, training, phase="finetune", epochs=2, seed=3, device=cpu
    )
    assert history == there
    assert torch.equal(tuned(blobs.test.inputs), under(blobs.test.inputs))
    assert all(torch.equal(value, start[name]) for name, value in template.state_dict().items())


def test_other_optimizers_see_masked_gradients() -> None:
    """Adafactor's step looks at whole rows and columns: what is dropped must not move what is kept."""
    layer, keep = nn.Linear(6, 8), drawn((8, 6), 3) > 0.3
    training = Training("Adafactor", 0.01)
    hooks = holding_zeros(slots_of(layer, {"weight": keep}), {"weight": keep}, training)
    optimizer = training.build(layer.parameters())
    assert hooks.after_backward is not None
    assert hooks.after_step is not None
    for step in range(3):
        optimizer.zero_grad()
        layer(drawn((20, 6), step)).square().sum().backward()
        hooks.after_backward()
        assert layer.weight.grad is not None
        assert not bool(layer.weight.grad[~keep].any())
        assert bool(layer.weight.grad[keep].all())
        optimizer.step()
        hooks.after_step(step + 1, 3)
        assert not bool(layer.weight[~keep].any())


def test_shared_weights_stay_shared() -> None:
    one, two = nn.Linear(3, 3), nn.Linear(3, 3)
    two.weight = one.weight
    network = nn.Sequential(one, nn.Tanh(), two)
    keep = torch.eye(3, dtype=torch.bool)
    mask = Mask({"0.weight": keep})
    training = Training("SGD", 0.1, momentum=0.9)
    hooks = holding_zeros(slots_of(network, mask), mask, training)
    optimizer = training.build(network.parameters())
    assert hooks.after_step is not None
    for step in range(3):
        optimizer.zero_grad()
        network(drawn((5, 3), step)).square().sum().backward()
        optimizer.step()
        hooks.after_step(step + 1, 3)
    assert one.weight is two.weight
    assert not bool(one.weight[~keep].any())
    assert bool(one.weight[keep].all())
