"""Weights that are trained under a mask take the steps of weights times mask, and are 0 where nothing is kept."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslth.data.splits import Splits
from sslth.mining import Training, kept
from sslth.mining.finetune import finetune
from sslth.mining.kept import ELEMENTWISE, trained_under
from sslth.mining.masks import Mask
from sslth.mining.parametrized import Masked, attach, slots_of
from sslth.mining.training import Loop, train

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
@pytest.mark.parametrize(
    "above", [0.3, 1.0, 9.0], ids=["whole weights", "the vector of what is kept", "nothing is kept"]
)
def test_kept_weights_move_as_weights_times_mask_do(case: str, above: float, monkeypatch: pytest.MonkeyPatch) -> None:
    training = CASES[case]
    monkeypatch.setattr(kept, "_LARGE", 1)
    inputs, labels = drawn((20, 6), 0), torch.arange(20) % 4
    keep = drawn((8, 6), 3) > above

    first, second = nn.Linear(6, 8), nn.Linear(8, 4)
    network = nn.Sequential(first, nn.Tanh(), second)
    by_hand = copy.deepcopy(network)
    trained, hooks = trained_under(network, slots_of(network, {"0.weight": keep}), {"0.weight": keep}, training)
    assert (sum(part.numel() for part in trained) < 48 + 8 + 32 + 4) == (above > 0.5)
    optimizer, other = training.build(trained), training.build(by_hand.parameters())
    assert hooks.after_backward is not None
    assert hooks.after_step is not None
    a, c = by_hand[0], by_hand[2]
    assert isinstance(a, nn.Linear)
    assert isinstance(c, nn.Linear)
    before = a.weight.detach().clone()
    for step in range(12):
        optimizer.zero_grad()
        F.cross_entropy(network(inputs), labels).backward()
        hooks.after_backward()
        optimizer.step()
        hooks.after_step(step + 1, 12)
        assert not bool(first.weight[~keep].any())  # exactly 0, after every step

        other.zero_grad()
        hidden = torch.tanh(F.linear(inputs, a.weight * keep, a.bias))
        F.cross_entropy(F.linear(hidden, c.weight, c.bias), labels).backward()
        other.step()
    assert not bool(keep.any()) or not torch.equal(a.weight[keep], before[keep])
    assert torch.equal(first.weight[keep], a.weight[keep])
    assert torch.equal(second.weight, c.weight)
    assert torch.equal(first.bias, a.bias)


@pytest.mark.parametrize("case", DECAYED)
@pytest.mark.parametrize("above", [0.5, 1.0], ids=["whole weights", "the vector of what is kept"])
def test_finetuning_is_training_under_a_parametrization(
    case: str, above: float, mlp: Build, blobs: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "_LARGE", 1)
    torch.manual_seed(0)
    template = mlp()
    start = {name: value.clone() for name, value in template.state_dict().items()}
    mask = Mask({"1.weight": drawn((24, 16), 1) > above, "3.weight": drawn((12, 24), 2) > above})
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
    trained, hooks = trained_under(layer, slots_of(layer, {"weight": keep}), {"weight": keep}, training)
    optimizer = training.build(trained)
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


@pytest.mark.parametrize("large", [1, 100], ids=["the vector of what is kept", "whole weights"])
def test_shared_weights_stay_shared(large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_LARGE", large)
    one, two = nn.Linear(5, 5), nn.Linear(5, 5)
    two.weight = one.weight
    network = nn.Sequential(one, nn.Tanh(), two)
    keep = torch.eye(5, dtype=torch.bool)
    mask = Mask({"0.weight": keep})
    training = Training("SGD", 0.1, momentum=0.9)
    trained, hooks = trained_under(network, slots_of(network, mask), mask, training)
    optimizer = training.build(trained)
    before = one.weight.detach().clone()
    assert hooks.after_backward is not None
    assert hooks.after_step is not None
    for step in range(3):
        optimizer.zero_grad()
        network(drawn((5, 5), step)).square().sum().backward()
        hooks.after_backward()
        optimizer.step()
        hooks.after_step(step + 1, 3)
    assert one.weight is two.weight
    assert not bool(one.weight[~keep].any())
    assert not bool((one.weight == before)[keep].any())


def test_a_run_goes_on_with_the_vectors_of_what_is_kept(
    mlp: Build, blobs: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint has the network's weights: the vectors are taken from there."""
    monkeypatch.setattr(kept, "_LARGE", 1)
    torch.manual_seed(0)
    template = mlp()
    start = {name: value.clone() for name, value in template.state_dict().items()}
    mask = Mask({"1.weight": drawn((24, 16), 1) > 1.0})
    stored: list[dict[str, Any]] = []

    def store(loop: Loop, _finished: bool) -> None:
        parts = {"network": loop.network, "optimizer": loop.optimizer, "scheduler": loop.scheduler}
        stored.append({name: copy.deepcopy(part.state_dict()) for name, part in parts.items()})

    def restore(loop: Loop) -> None:
        loop.network.load_state_dict(stored[0]["network"])
        loop.optimizer.load_state_dict(stored[0]["optimizer"])
        loop.scheduler.load_state_dict(stored[0]["scheduler"])
        loop.epoch = 1

    def tuned(**more: Any) -> nn.Module:
        network, _ = finetune(
            template, start, mask, blobs, Training("Adam"), epochs=3, seed=3, device=torch.device("cpu"), **more
        )
        return network

    whole, resumed = tuned(checkpoint=store), tuned(restore=restore)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])


def test_a_weight_that_is_not_used_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_LARGE", 1)
    layer, keep = nn.Linear(6, 8), drawn((8, 6), 3) > 1.0
    trained, hooks = trained_under(layer, slots_of(layer, {"weight": keep}), {"weight": keep}, Training("Adam"))
    before, optimizer = layer.weight.detach().clone(), Training("Adam").build(trained)
    assert hooks.after_backward is not None
    assert hooks.after_step is not None
    layer.bias.sum().backward()
    hooks.after_backward()
    optimizer.step()
    hooks.after_step(1, 1)
    assert torch.equal(layer.weight, before)
