"""The exact maximum of tiny networks lies between what is attained and what is proved, and on a grid's maximum."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sslth.cnn.certificates.certificate import certify_merged
from sslth.cnn.certificates.exact_mip import exact_maximum
from sslth.cnn.certificates.linear_cell import climb_cells
from sslth.cnn.merged import MergedLayer, merged_module
from sslth.cnn.trace import trace
from sslth.errors import InvalidInputError


def perturbed(model: nn.Module, scale: float, *, two_sided: bool) -> dict[str, MergedLayer]:
    rng = torch.Generator().manual_seed(3)

    def noisy(value: torch.Tensor) -> torch.Tensor:
        return value * (1 + scale * torch.randn(value.shape, generator=rng, dtype=torch.float64))

    merged = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight, bias = module.weight.detach().double(), module.bias.detach().double()
            zero = torch.zeros_like(weight)
            merged[name] = MergedLayer(
                noisy(weight), noisy(-weight) if two_sided else None, noisy(bias), zero, zero if two_sided else None,
                torch.zeros_like(bias),
            )  # fmt: skip
    return merged


def conv_net() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 2, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2)
    ).double()


@pytest.mark.parametrize("backend", ["highs", "scip"])
@pytest.mark.parametrize("two_sided", [False, True])
def test_between_attained_and_proved(backend: str, two_sided: bool) -> None:
    model = conv_net()
    merged = perturbed(model, 5e-2, two_sided=two_sided)
    low, high = torch.full((1, 3, 3), -1.0 if two_sided else 0.0).double(), torch.ones(1, 3, 3).double()
    traced = trace(model, low[None])
    found = exact_maximum(traced, merged, low, high, backend=backend)
    report = certify_merged(model, traced, merged, low.numpy(), high.numpy(), (1, 3, 3), starts=32, steps=20, hops=40)
    assert found.finished
    assert found.binaries > 4
    assert report.lower <= found.claimed + found.tolerance
    assert found.claimed <= report.upper + found.tolerance
    assert found.attained == pytest.approx(found.claimed, abs=found.tolerance)
    assert report.lower > 0.9 * found.claimed  # the search finds it here


def test_equals_the_maximum_over_a_grid() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 5), nn.ReLU(), nn.Linear(5, 3), nn.ReLU(), nn.Linear(3, 1)).double()
    merged = perturbed(model, 0.1, two_sided=True)
    ticket = merged_module(model, merged, torch.float64)
    box = torch.tensor([-2.0]).double(), torch.tensor([2.0]).double()
    found = exact_maximum(trace(model, box[0][None]), merged, *box)
    grid = torch.linspace(-2, 2, 200_001, dtype=torch.float64)[:, None]
    with torch.no_grad():
        seen = float((ticket(grid) - model(grid)).abs().max())
    assert seen <= found.claimed + 1e-6
    assert found.claimed == pytest.approx(seen, abs=1e-4)


def test_linear_programs_reach_the_top_of_a_cell_and_the_next() -> None:
    """|ticket - target| is .5 relu(x) + .25 relu(y) + ... : from a low corner its maximum is two borders away."""
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(2))
        model[2].weight.copy_(torch.tensor([[1.0, 1.0]]))
    weight = torch.tensor([[1.5, 1.25]], dtype=torch.float64)
    zero = torch.zeros_like(weight)
    merged = {"2": MergedLayer(weight, None, None, zero, None, None)}
    ticket = merged_module(model, merged, torch.float64)
    start = torch.tensor([[0.1, -0.5]], dtype=torch.float64)
    box = torch.tensor([-1.0, -1.0]).double(), torch.tensor([1.0, 2.0]).double()

    def value(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return (ticket(x) - model(x)).abs().amax(1)

    one = climb_cells(trace(model, start), trace(ticket, start), box, start, value, 1)
    assert one is not None
    assert value(one).item() == pytest.approx(0.5)
    start = torch.tensor([[0.1, 0.5]], dtype=torch.float64)
    many = climb_cells(trace(model, start), trace(ticket, start), box, start, value, 20)
    assert many is not None
    assert value(many).item() == pytest.approx(1.0)
    assert many.tolist()[0] == pytest.approx([1.0, 2.0])


def test_curved_networks_have_no_cells() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh()).double()
    box = -torch.ones(2).double(), torch.ones(2).double()
    traced = trace(model, box[0][None])
    assert climb_cells(traced, traced, box, box[0][None], lambda x: x.sum(1), 5) is None
    with pytest.raises(InvalidInputError, match="rectifiers only"):
        exact_maximum(traced, {}, *box)


def test_refusals() -> None:
    model = conv_net()
    low, high = torch.zeros(1, 3, 3).double(), torch.ones(1, 3, 3).double()
    with pytest.raises(InvalidInputError, match="backend is 'abacus'"):
        exact_maximum(trace(model, low[None]), {}, low, high, backend="abacus")
    square = nn.Sequential(nn.Linear(2, 2), nn.Softmax(dim=1)).double()
    with pytest.raises(InvalidInputError, match="not known for the operation"):
        exact_maximum(trace(square, torch.zeros(1, 2).double()), {}, torch.zeros(2).double(), torch.ones(2).double())


def test_what_would_not_fit_is_not_unfolded(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 1)).double()
    box = -torch.ones(2).double(), torch.ones(2).double()
    traced = trace(model, box[0][None])
    needed = 3 * (5 + 5)  # the point and two neighbours; five conditions, and at most five values a node
    monkeypatch.setattr("sslth.cnn.certificates.linear_cell._UNFOLDED", needed)
    assert climb_cells(traced, traced, box, box[0][None], lambda x: x.sum(1), 1) is not None
    monkeypatch.setattr("sslth.cnn.certificates.linear_cell._UNFOLDED", needed - 1)
    monkeypatch.setattr("sslth.cnn.certificates.linear_cell._cell", None)
    assert climb_cells(traced, traced, box, box[0][None], lambda x: x.sum(1), 1) is None
