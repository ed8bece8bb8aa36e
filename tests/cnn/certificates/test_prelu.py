"""PReLU, pooling over volumes, and several heads: bounds hold at points, and tickets go through."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import sslth
from sslth.cnn.certificates.bounds import Enclosure
from sslth.cnn.certificates.intervals import Interval
from sslth.cnn.certificates.prelu import prelu
from sslth.cnn.signs import nonnegative_inputs
from sslth.cnn.trace import trace


def slopes(values: list[float]) -> nn.PReLU:
    module = nn.PReLU(len(values))
    module.weight.data = torch.tensor(values)
    return module


@pytest.mark.parametrize("values", [[0.25], [0.2, 1.7, -0.6, 0.0]])
def test_values_and_differences_of_points_are_inside_and_reached(values: list[float]) -> None:
    module = slopes(values)
    generator = torch.Generator().manual_seed(0)
    ends = 2 * torch.randn(2, 50, 4, 3, generator=generator, dtype=torch.float64)
    low, high = ends.amin(0), ends.amax(0)
    moves = torch.randn(2, 50, 4, 3, generator=generator, dtype=torch.float64)
    shift = Interval(moves.amin(0), moves.amax(0))
    before = Enclosure(Interval(low, high), Interval(low + shift.low, high + shift.high), shift)
    after = prelu(module, before)
    exact = module.double().requires_grad_(False)
    least, most = torch.full_like(low, torch.inf), torch.full_like(low, -torch.inf)
    for place in torch.linspace(0, 1, 9).tolist():
        for moved in torch.linspace(0, 1, 9).tolist():
            x = (low + place * (high - low)).clamp(low, high)
            delta = (shift.low + moved * (shift.high - shift.low)).clamp(shift.low, shift.high)
            value = exact(x)
            assert bool((after.target.low <= value).all())
            assert bool((value <= after.target.high).all())
            difference = exact(x + delta) - value
            assert bool((after.shift.low - 1e-14 <= difference).all())
            assert bool((difference <= after.shift.high + 1e-14).all())
            least, most = torch.minimum(least, value), torch.maximum(most, value)
    turned = torch.tensor(values).double().reshape(1, -1, 1) < 0  # the least value may be at zero, between the points
    reached = torch.where(turned & (low < 0) & (high > 0), least.clamp(max=0.0), least)
    torch.testing.assert_close(after.target.low, reached, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(after.target.high, most, rtol=1e-12, atol=1e-12)


def test_a_tensor_that_is_the_same_in_both_networks_stays_the_same() -> None:
    x = torch.randn(1, 2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    zero = torch.zeros_like(x)
    after = prelu(slopes([0.3, -2.0]), Enclosure(Interval(x, x), Interval(x, x), Interval(zero, zero)))
    assert not after.shift.low.any()
    assert not after.shift.high.any()


class Heads(nn.Module):
    """PReLU with a slope a channel, pooling with ceil_mode, and two outputs of which one is a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.act = slopes([0.2, -0.3, 1.4])
        self.left = nn.Linear(27, 2)
        self.right = nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        y = F.max_pool2d(self.act(self.conv(x)), 2, 2, ceil_mode=True)
        return torch.softmax(self.left(y.flatten(1)), dim=1), {"map": self.right(y)}


def test_a_network_with_prelu_and_two_heads() -> None:
    torch.manual_seed(2)
    model, x = Heads().double().eval(), torch.rand(6, 1, 7, 7, dtype=torch.float64)
    ticket = sslth.extract(model, x, width=256, low=0.0, progress=False)
    with torch.no_grad():
        wanted, found = model(x), ticket.to_module()(x)
    report = sslth.certify(ticket, model, data=x, starts=3, steps=5, hops=0, slope_steps=0, work=1e6)
    assert report.reason is None
    assert isinstance(report.upper_per_output, tuple)
    assert [upper.shape for upper in report.upper_per_output] == [(2,), (2, 3, 3)]
    apart = max(float((a - b).abs().max()) for a, b in ((found[0], wanted[0]), (found[1]["map"], wanted[1]["map"])))
    assert apart * (1 - 1e-9) <= report.lower <= report.upper < 2.0
    assert 0.0 < report.float32_error < 1e-3


class Volume(nn.Module):
    """Pooling over volumes, as modules and as functions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, 2, 2)
        self.pool = nn.MaxPool3d(2, 2, ceil_mode=True)
        self.next = nn.Conv3d(2, 2, 1)
        self.mean = nn.AdaptiveAvgPool3d(2)
        self.last = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = F.avg_pool3d(self.pool(torch.relu(self.conv(x))), 2, 1)
        z = F.adaptive_max_pool3d(torch.relu(self.next(y)), 2)
        out: Tensor = self.last(self.mean(z).flatten(1))
        return out


def test_pooling_over_volumes_keeps_signs_and_bounds() -> None:
    torch.manual_seed(3)
    model, x = Volume().double().eval(), torch.rand(3, 1, 7, 7, 7, dtype=torch.float64)
    signs = nonnegative_inputs(trace(model, x), ["conv", "next", "last"], input_nonnegative=True)
    assert all(signs.values())
    ticket = sslth.extract(model, x, width=64, low=0.0, progress=False)
    report = sslth.certify(ticket, model, data=x, starts=3, steps=3, hops=0, slope_steps=0, work=1e6)
    with torch.no_grad():
        apart = float((ticket.to_module()(x) - model(x)).abs().max())
    assert report.reason is None
    assert apart * (1 - 1e-9) <= report.lower <= report.upper < float("inf")


def test_prelu_keeps_what_is_not_negative() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), slopes([-1.0, 2.0]), nn.Linear(2, 1))
    assert nonnegative_inputs(trace(net, torch.zeros(1, 2)), ["3"], input_nonnegative=False)["3"]
    net = nn.Sequential(nn.Linear(2, 2), slopes([0.5, 2.0]), nn.Linear(2, 1))
    assert not nonnegative_inputs(trace(net, torch.zeros(1, 2)), ["2"], input_nonnegative=False)["2"]
