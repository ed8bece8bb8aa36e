"""Masks on weights: what passes forward and what passes back, by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import pytest
import torch
from torch import Tensor, nn

from sslth.mining.parametrized import Masked, OnlyKept, attach, detach
from sslth.mining.scope import Scope, masked_slots


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_a_mask_keeps_the_type_of_the_weights(dtype: torch.dtype) -> None:
    weight = torch.tensor([[1.5, -2.0, 3.0]], dtype=dtype, requires_grad=True)
    gated = Masked(torch.tensor([[True, False, True]]))(weight)
    assert gated.dtype == dtype
    assert gated.tolist() == [[1.5, 0.0, 3.0]]
    gradient = torch.autograd.grad(gated, weight, torch.tensor([[2.0, 2.0, -1.0]], dtype=dtype))[0]
    assert gradient.tolist() == [[2.0, 0.0, -1.0]]


def two_layers() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))


def with_parts(kind: Callable[[Tensor], nn.Module]) -> tuple[nn.Module, dict[str, Tensor]]:
    network = two_layers()
    slots = masked_slots(network, Scope())
    keep = {name: torch.rand(slot.parameter.shape) < 0.4 for name, slot in slots.items()}
    attach(slots.values(), {name: kind(mask) for name, mask in keep.items()})
    return network, keep


@pytest.mark.parametrize(
    "build",
    [
        lambda parameters: torch.optim.Adam(parameters, lr=0.05),
        lambda parameters: torch.optim.AdamW(parameters, lr=0.05, weight_decay=0.1),
        lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=1e-2),
    ],
    ids=["Adam", "AdamW", "SGD"],
)
def test_kept_entries_alone_take_the_steps_that_they_take_under_a_mask(
    build: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
) -> None:
    inputs = torch.randn(9, 6, generator=torch.Generator().manual_seed(1))
    found = []
    for kind in (OnlyKept, Masked):
        network, keep = with_parts(kind)
        optimizer = build(network.parameters())
        for _ in range(5):
            optimizer.zero_grad()
            network(inputs).logsumexp(1).sum().backward()
            optimizer.step()
        found.append(network)
    one, other = found
    for place, name in ((0, "0.weight"), (2, "2.weight")):
        weight = one[place].weight  # type: ignore[index]
        assert torch.equal(weight, other[place].weight)  # type: ignore[index]
        assert torch.equal(weight != 0, keep[name])
        assert one[place].parametrizations["weight"].original.numel() == int(keep[name].sum())  # type: ignore[index]


def test_kept_entries_alone_survive_a_copy_and_a_state_dict() -> None:
    network, keep = with_parts(OnlyKept)
    other = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert int(network[0].weight.count_nonzero()) == int(keep["0.weight"].sum())  # type: ignore[index]
    other.load_state_dict(network.state_dict())
    inputs = torch.randn(4, 6)
    assert torch.equal(network(inputs), other(inputs))


def test_kept_entries_of_a_shared_weight_are_shared() -> None:
    network = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    network[1].weight = network[0].weight
    slots = masked_slots(network, Scope())
    attach(slots.values(), {name: OnlyKept(torch.eye(3, dtype=torch.bool)) for name in slots})
    assert [tuple(parameter.shape) for parameter in network.parameters()] == [(3,)]
    assert torch.equal(network[0].weight, network[1].weight)
    network(torch.ones(1, 3)).sum().backward()
    diagonal = network[0].weight.diagonal().detach()
    assert torch.allclose(next(network.parameters()).grad, 2 * diagonal)  # type: ignore[arg-type]


def test_a_layer_that_keeps_nothing_computes_zeros() -> None:
    layer = nn.Linear(3, 2, bias=False)
    attach(masked_slots(layer, Scope()).values(), {"weight": OnlyKept(torch.zeros(2, 3, dtype=torch.bool))})
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert layer.weight.tolist() == [[0.0] * 3] * 2


def test_a_tensor_that_is_shown_is_read_without_a_call_and_goes_when_it_is_detached() -> None:
    class Refuses(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            raise AssertionError("called")

    network = two_layers()
    before = type(network[0]), network[0].weight  # type: ignore[index]
    slots = masked_slots(network, Scope())
    shown = {name: torch.full_like(slot.parameter, 2.0) for name, slot in slots.items()}
    attach(slots.values(), {name: Refuses() for name in slots}, shown)
    assert network[0].weight is shown["0.weight"]  # type: ignore[index]
    other = copy.deepcopy(network)
    other[0].weight.zero_()  # type: ignore[index]
    assert torch.equal(other(torch.ones(1, 6)), other[2](torch.tanh(other[0].bias)[None]))  # type: ignore[index]
    assert bool((shown["0.weight"] == 2).all())
    detach(slots.values())
    assert (type(network[0]), network[0].weight) == before  # type: ignore[index]
    assert set(vars(network[0])) == set(vars(nn.Linear(1, 1)))  # type: ignore[index]
