"""`torch.compile` takes masked models whole: the same outputs, the same gradients, masks that stay."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslth.mining.masks import Mask
from sslth.mining.parametrized import Masked, OnlyKept, attach
from sslth.mining.scope import Scope, masked_slots
from sslth.mining.scores import Gate, Scores
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


def with_mask(network: nn.Module, part: Callable[[Tensor], nn.Module] = Masked) -> Mask:
    slots = masked_slots(network, Scope())
    scores = {name: slot.parameter.detach().abs() for name, slot in slots.items()}
    mask = Mask(choose(scores, 0.3, "global", "keep_one"))
    attach(slots.values(), {name: part(mask[name]) for name in slots})
    return mask


def with_kept_entries(network: nn.Module) -> Mask:
    return with_mask(network, OnlyKept)


def with_scores(network: nn.Module) -> Scores:
    slots = masked_slots(network, Scope())
    for slot in slots.values():
        slot.parameter.requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    start = {name: torch.rand(slot.parameter.shape, generator=generator) for name, slot in slots.items()}
    scores = Scores(slots, start, absolute=True)
    for name, kept in choose(scores.rank(), 0.3, "uniform", "keep_one").items():
        scores.hard_by_name[name].copy_(kept)
    scores.gate()
    return scores


def gradients(network: nn.Module, call: Callable[[Tensor], Tensor], labels: Tensor) -> tuple[Tensor, list[Tensor]]:
    inputs = torch.randn(8, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    outputs = call(inputs)
    wanted: list[Tensor] = [parameter for parameter in network.parameters() if parameter.requires_grad]
    wanted += [module.gated for module in network.modules() if isinstance(module, Gate)]
    return outputs.detach(), list(torch.autograd.grad(F.cross_entropy(outputs, labels), wanted))


@pytest.mark.parametrize("mask", [with_mask, with_kept_entries, with_scores], ids=["masked", "only-kept", "scored"])
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
    """Scores bring the gates up to date before each step: the compiled code must read them, not have them built in."""
    network = built(mlp).eval()
    scores = with_scores(network)
    inputs = torch.randn(8, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    compiled = torch.compile(network, backend=BACKEND, fullgraph=True)
    before = compiled(inputs).detach()
    scores.hard.copy_(1.0 - scores.hard)
    scores.gate()
    with torch._dynamo.config.patch(error_on_recompile=True):
        after = compiled(inputs)
    torch.testing.assert_close(after, network(inputs))
    assert not torch.allclose(after, before)


def test_scores_are_trained_through_a_compiled_model(mlp: Callable[[], nn.Module]) -> None:
    network = built(mlp).eval()
    scores = with_scores(network)
    labels = torch.arange(8) % 3
    inputs = torch.randn(8, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    found = []
    for call in (network, torch.compile(network, backend=BACKEND, fullgraph=True)):
        torch.autograd.backward(F.cross_entropy(call(inputs), labels))
        scores.collect()
        assert scores.vector.grad is not None
        found.append(scores.vector.grad.clone())
    assert bool(found[0].any())
    torch.testing.assert_close(found[1], found[0])
