"""Maxima bounded together: sound where they share values, between the exact maximum and the bounds of each alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sslth.cnn.certificates.bounds import Enclosure
from sslth.cnn.certificates.coupled_maxima import Coupled
from sslth.cnn.certificates.exact_mip import exact_maximum
from sslth.cnn.certificates.intervals import Interval
from sslth.cnn.certificates.linear_bound import Coefficients
from sslth.cnn.certificates.parallel_lines import parallel_lines
from sslth.cnn.certificates.propagation import run_on
from sslth.cnn.certificates.relaxation import WORK, Relaxation
from sslth.cnn.merged import MergedLayer, merged_module
from sslth.cnn.trace import Traced, trace

pytestmark = pytest.mark.filterwarnings("ignore:Could not initialize NNPACK")


def perturbed(model: nn.Module, scale: float) -> dict[str, MergedLayer]:
    rng = torch.Generator().manual_seed(3)
    merged = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight, bias = module.weight.detach(), module.bias.detach()
            noisy = [v * (1 + scale * torch.randn(v.shape, generator=rng, dtype=torch.float64)) for v in (weight, bias)]
            merged[name] = MergedLayer(noisy[0], None, noisy[1], torch.zeros_like(weight), None, torch.zeros_like(bias))
    return merged


def pooling() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 8, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(72, 3),
    )  # fmt: skip


def pooled_last() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 2, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        nn.Flatten(), nn.Linear(16, 3),
    )  # fmt: skip


def one_hidden() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 3))


def unrectified() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(16, 3))  # fmt: skip


NETWORKS = {made.__name__: made for made in (pooling, pooled_last, one_hidden, unrectified)}


def known(model: nn.Module, merged: dict[str, MergedLayer], low: Tensor, high: Tensor) -> tuple[Relaxation, Traced]:
    """An engine that has run on the box."""
    traced = trace(model, low[None])
    engines = []

    def rules(*parts: object) -> Relaxation:
        engines.append(Relaxation(*parts, 0, WORK))  # type: ignore[arg-type]
        return engines[0]

    zero = torch.zeros_like(low[None])
    box = Enclosure(Interval(low[None], high[None]), Interval(low[None], high[None]), Interval(zero, zero))
    run_on(traced, merged, box, rules)
    return engines[0], traced


def samples(low: Tensor, high: Tensor, count: int) -> Tensor:
    share = torch.rand((count, *low.shape), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    share[::2] = share[::2].round()
    return low + share * (high - low)


@pytest.mark.parametrize(
    ("name", "radius"),
    [("pooling", 0.05), ("pooling", 0.5), ("pooled_last", 0.5), ("one_hidden", 0.05), ("unrectified", 0.5)],
)
def test_sound_for_functionals_of_values_and_differences(name: str, radius: float) -> None:
    torch.manual_seed(3)
    model = NETWORKS[name]().double()
    merged = perturbed(model, 1e-2)
    centre = torch.rand((1, 8, 8), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    low, high = (centre - radius).clamp(min=0), (centre + radius).clamp(max=1)
    engine, _ = known(model, merged, low, high)
    last = next(node for node in engine.known if node.target in [str(len(model) - 1)])
    rng = torch.Generator().manual_seed(5)
    value, shift = (torch.randn(6, 3, generator=rng, dtype=torch.float64) for _ in range(2))
    value[:3] = 0.0
    shift[2:4] *= 1e3
    bound = Coupled(engine).upper(last, Coefficients(value, shift), 4)
    assert bound is not None
    x = samples(low, high, 3000)
    with torch.no_grad():
        target, ticket = model(x), merged_module(model, merged, torch.float64)(x)
    seen = target @ value.T + (ticket - target) @ shift.T
    assert (bound >= seen.amax(0) - 1e-12).all()


def test_better_than_each_alone_where_there_are_many() -> None:
    torch.manual_seed(3)
    model = pooling().double()
    merged = perturbed(model, 1e-2)
    low, high = torch.zeros(1, 8, 8).double(), torch.ones(1, 8, 8).double()
    engine, _ = known(model, merged, low, high)
    last = next(node for node in engine.known if node.target == str(len(model) - 1))
    goal = Coefficients(torch.zeros(3, 3).double(), torch.eye(3).double())
    together = Coupled(engine).upper(last, goal, 30)
    assert together is not None
    assert float(together.amax()) < 0.85 * float(engine.upper(last, goal, 0).amax())


def test_not_below_the_exact_maximum() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 2), nn.ReLU(), nn.MaxPool2d(2, 2, ceil_mode=True), nn.Conv2d(2, 3, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(3, 2),
    ).double()  # fmt: skip
    merged = perturbed(model, 5e-2)
    low, high = torch.zeros(1, 4, 4).double(), torch.ones(1, 4, 4).double()
    engine, traced = known(model, merged, low, high)
    last = next(node for node in engine.known if node.target == "6")
    goal = torch.cat([torch.eye(2), -torch.eye(2)]).double()
    bound = Coupled(engine).upper(last, Coefficients(torch.zeros_like(goal), goal), 40)
    exact = exact_maximum(traced, merged, low, high)
    assert exact.finished
    assert bound is not None
    assert exact.claimed - exact.tolerance <= float(bound.amax()) <= 6 * exact.claimed


@pytest.mark.parametrize(("name", "radius"), [("pooling", 0.05), ("one_hidden", 0.05), ("one_hidden", 0.5)])
def test_lines_enclose_values_and_differences(name: str, radius: float) -> None:
    torch.manual_seed(3)
    model = NETWORKS[name]().double()
    merged = perturbed(model, 1e-2)
    centre = torch.rand((1, 8, 8), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    low, high = (centre - radius).clamp(min=0), (centre + radius).clamp(max=1)
    engine, _ = known(model, merged, low, high)
    node = next(node for node in engine.known if node.target == "2")
    lines = parallel_lines(engine, node)
    assert lines is not None
    x = samples(low, high, 2000)
    with torch.no_grad():
        target, ticket = model[:3](x).flatten(1), merged_module(model, merged, torch.float64)[:3](x).flatten(1)
    left = torch.cat([target, ticket - target], 1) - x.flatten(1) @ lines.slopes.T
    assert (left >= lines.constants.low - 1e-12).all()
    assert (left <= lines.constants.high + 1e-12).all()
    shared = engine.known[node]
    before = torch.cat([(part.high - part.low).flatten() for part in (shared.target, shared.shift)])
    width = lines.constants.high - lines.constants.low
    assert (width <= before * (1 + 1e-9)).all()
    assert float(width.sum()) < (0.75 if radius < 0.1 else 0.95) * float(before.sum())


def test_no_bound_behind_a_smooth_activation() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    low, high = torch.zeros(1, 4, 4).double(), torch.ones(1, 4, 4).double()
    engine, _ = known(model, perturbed(model, 1e-2), low, high)
    last = next(node for node in engine.known if node.target == "3")
    goal = Coefficients(torch.zeros(2, 2).double(), torch.eye(2).double())
    assert Coupled(engine).upper(last, goal, 3) is None
