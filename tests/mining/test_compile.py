"""`torch.compile` takes masked models whole: the same outputs, the same gradients, masks that stay."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslth.mining.masks import Mask
from sslth.mining.parametrized import Masked, Scored, attach
from sslth.mining.scope import Scope, masked_slots
from sslth.mining.selection import choose

# what the default backend does to the graph differs from this one in kernels alone, and takes a C++ compiler a minute
BACKEND = "aot_eager"


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    """No compiled code of another test."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def built(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make()


def with_mask(network: nn.Module) -> Mask:
    slots = masked_slots(network, Scope())
    scores = {name: slot.parameter.detach().abs() for name, slot in slots.items()}
    mask = Mask(choose(scores, 0.3, "global", "keep_one"))
    attach(slots.values(), {name: Masked(mask[name]) for name in slots})
    return mask


def with_scores(network: nn.Module) -> list[Scored]:
    slots = masked_slots(network, Scope())
    generator = torch.Generator().manual_seed(1)
    parts = {
        name: Scored(torch.rand(slot.parameter.shape, generator=generator), absolute=True)
        for name, slot in slots.items()
    }
    for name, kept in choose({name: part.ranking for name, part in parts.items()}, 0.3, "uniform", "keep_one").items():
        parts[name].hard.copy_(kept)
    attach(slots.values(), parts)
    return list(parts.values())


def gradients(network: nn.Module, call: Callable[[Tensor], Tensor], labels: Tensor) -> tuple[Tensor, list[Tensor]]:
    inputs = torch.randn(8, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    outputs = call(inputs)
    wanted = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return outputs.detach(), list(torch.autograd.grad(F.cross_entropy(outputs, labels), wanted))


@pytest.mark.parametrize("mask", [with_mask, with_scores], ids=["masked", "scored"])
@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_outputs_and_gradients_are_those_of_the_model(
    kind: str, mask: Callable[[nn.Module], object], request: pytest.FixtureRequest
) -> None:
    network = built(request.getfixturevalue(kind)).eval()
    mask(network)
    labels = torch.arange(8) % 3
    expected, wanted = gradients(network, network, labels)
    compiled = torch.compile(network, backend=BACKEND, fullgraph=True)  # a break in the graph would raise
    found, given = gradients(network, compiled, labels)
    torch.testing.assert_close(found, expected)
    assert any(bool((gradient != 0).any()) for gradient in wanted)
    for one, other in zip(given, wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_training_a_compiled_model_leaves_the_zeros(mlp: Callable[[], nn.Module]) -> None:
    network = built(mlp)
    mask = with_mask(network)
    compiled = torch.compile(network, backend=BACKEND, fullgraph=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    inputs = torch.randn(8, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    labels = torch.arange(8) % 3
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = F.cross_entropy(compiled(inputs), labels)
        losses.append(float(loss.detach()))
        torch.autograd.backward(loss)
        optimizer.step()
    assert losses[-1] < losses[0]
    for name, keep in mask.items():
        module = network.get_submodule(name.rsplit(".", 1)[0])
        weight = getattr(module, name.rsplit(".", 1)[1])
        assert int((weight != 0).sum()) == int(keep.sum())
        assert not bool(weight[~keep].any())


def test_a_new_mask_is_seen_without_compiling_again(mlp: Callable[[], nn.Module]) -> None:
    """Scores bring `hard` up to date before each step: the compiled code must read it, not have it built in."""
    network = built(mlp).eval()
    parts = with_scores(network)
    inputs = torch.randn(8, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    compiled = torch.compile(network, backend=BACKEND, fullgraph=True)
    before = compiled(inputs).detach()
    for part in parts:
        part.hard.copy_(1.0 - part.hard)
    with torch._dynamo.config.patch(error_on_recompile=True):
        after = compiled(inputs)
    torch.testing.assert_close(after, network(inputs))
    assert not torch.allclose(after, before)
