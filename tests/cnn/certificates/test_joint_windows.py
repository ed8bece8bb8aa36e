"""Pooling windows taken together with the layer before them: sound for any slopes, exact for one window."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor, nn

from sslth.cnn.certificates.bounds import Enclosure, maximum
from sslth.cnn.certificates.certificate import certify_merged
from sslth.cnn.certificates.exact_mip import exact_maximum
from sslth.cnn.certificates.intervals import Interval
from sslth.cnn.certificates.joint_windows import (
    JointSlopes,
    JointWindows,
    Rows,
    joint_slopes,
    joint_step,
    joint_windows,
)
from sslth.cnn.certificates.linear_bound import Coefficients, Total
from sslth.cnn.certificates.relaxation import propagate_relaxed
from sslth.cnn.merged import MergedLayer, merged_module
from sslth.cnn.trace import trace

pytestmark = pytest.mark.filterwarnings("ignore:Could not initialize NNPACK")

# Two windows of an image of six values; the second has a missing entry.
WINDOWS = torch.tensor([[0, 1, 2], [3, 4, -1]])
ENTRIES, INPUTS = 6, 5


def interval_of(slopes: Tensor, constants: Tensor) -> Interval:
    """Over the box from 0 to 1."""
    return Interval(slopes.clamp(max=0).sum(1) + constants - 1e-12, slopes.clamp(min=0).sum(1) + constants + 1e-12)


class Layer:
    """Random values and differences, linear in inputs from 0 to 1."""

    def __init__(self, seed: int, small: float = 0.2) -> None:
        rng = torch.Generator().manual_seed(seed)
        self.value = torch.randn(ENTRIES, INPUTS + 1, generator=rng, dtype=torch.float64)
        self.shift = small * torch.randn(ENTRIES, INPUTS + 1, generator=rng, dtype=torch.float64)
        self.rng = rng

    def enclosure(self) -> Enclosure:
        parts = [interval_of(rows[:, :-1], rows[:, -1]) for rows in (self.value, self.value + self.shift, self.shift)]
        return Enclosure(*(part.map(lambda end: end[None]) for part in parts))

    def rows(self) -> Rows:
        both = torch.cat([self.value, self.shift])
        constants = Interval(both[:, -1], both[:, -1])
        zero = torch.zeros(INPUTS, dtype=torch.float64)
        return Rows(both[:, :-1], constants, Interval(zero, zero + 1))

    def samples(self, count: int) -> tuple[Tensor, Tensor]:
        inputs = torch.rand(count, INPUTS, generator=self.rng, dtype=torch.float64)
        inputs[::2] = inputs[::2].round()
        return inputs @ self.value[:, :-1].T + self.value[:, -1], inputs @ self.shift[:, :-1].T + self.shift[:, -1]


def pooled(values: Tensor, *, rectified: bool) -> Tensor:
    entries = torch.where(WINDOWS >= 0, values[:, WINDOWS.clamp(min=0)], -torch.inf).amax(2)
    return entries.clamp(min=0) if rectified else entries


def pooled_enclosure(x: Enclosure, *, rectified: bool) -> Enclosure:
    def largest(values: Tensor) -> Tensor:
        return pooled(values, rectified=rectified)

    return maximum(largest, x)


def any_slopes(joint: JointWindows, rng: torch.Generator) -> JointSlopes:
    count, size = joint.windows.shape
    draw = [torch.rand(1, count, size, generator=rng, dtype=torch.float64) for _ in range(2)]
    extra = torch.randn(1, count, size, generator=rng, dtype=torch.float64)
    shares = 2 * torch.rand(1, count, size + 1, size + 1, generator=rng, dtype=torch.float64)
    return JointSlopes(draw[0], draw[1], extra, shares, torch.arange(count))


@pytest.mark.parametrize("rectified", [False, True])
@pytest.mark.parametrize("patches", [False, True])
def test_sound_for_any_slopes_and_weights(rectified: bool, patches: bool) -> None:
    for seed in range(12):
        layer = Layer(seed)
        x = layer.enclosure()
        after = pooled_enclosure(x, rectified=rectified)
        joint = joint_windows(WINDOWS, x, layer.rows() if patches else None, rectified=rectified)
        if patches:
            z, d = layer.samples(4000)
        else:
            corner = torch.rand(2, 4000, ENTRIES, generator=layer.rng, dtype=torch.float64)
            corner[:, ::2] = corner[:, ::2].round()
            z = x.target.low + corner[0] * (x.target.high - x.target.low)
            d = x.shift.low + corner[1] * (x.shift.high - x.shift.low)
            # What is known of the ticket beside its two parts holds for these as well.
            inside = ((z + d >= x.ticket.low) & (z + d <= x.ticket.high)).all(1)
            z, d = z[inside], d[inside]
        before, moved = pooled(z, rectified=rectified), pooled(z + d, rectified=rectified)
        for trial in range(6):
            weight = torch.randn(2, 1, 2, generator=layer.rng, dtype=torch.float64)
            weight[0] *= (1.0, 0.1, 0.0)[trial % 3]
            out = Coefficients(weight[0], weight[1])
            slopes = (
                any_slopes(joint, layer.rng)
                if trial < 4
                else joint_slopes(joint, out, torch.arange(trial - 3), even=trial == 4)
            )
            total = Total(1)
            left = joint_step(joint, x, after, out, slopes, total)
            seen = before @ weight[0, 0] + (moved - before) @ weight[1, 0] - z @ left.value[0] - d @ left.shift[0]
            assert total.upper().item() >= seen.max().item() - 1e-12


def exact_growth(layer: Layer, window: Tensor) -> float:
    """The largest difference of one rectified window, by a linear program for every entry of the ticket."""
    best = 0.0
    for entry in window:
        ticket = (layer.value + layer.shift)[entry]
        over = [ticket, *(ticket - layer.value[other] for other in window)]
        answer = linprog(
            np.r_[np.zeros(INPUTS), -1.0],
            A_ub=np.array([np.r_[-row[:-1].numpy(), 1.0] for row in over]),
            b_ub=np.array([float(row[-1]) for row in over]),
            bounds=[(0.0, 1.0)] * INPUTS + [(None, None)],
        )
        best = max(best, -float(answer.fun))
    return best


@pytest.mark.parametrize("seed", range(4))
def test_shares_reach_the_exact_range_of_a_window(seed: int) -> None:
    layer = Layer(seed)
    x = layer.enclosure()
    after = pooled_enclosure(x, rectified=True)
    joint = joint_windows(WINDOWS[:1], x, layer.rows(), rectified=True)
    out = Coefficients(torch.zeros(1, 1).double(), torch.ones(1, 1).double())
    start = joint_slopes(joint, out, torch.arange(1), even=False)
    zero = torch.zeros_like(start.value)
    shares = start.shares.clone().requires_grad_(True)
    stepper = torch.optim.Adam([shares], lr=0.1)
    bounds = []
    for step in range(300):
        stepper.param_groups[0]["lr"] = 0.1 * 0.02 ** (step / 300)
        total = Total(1)
        joint_step(joint, x, after, out, JointSlopes(zero, zero, zero, shares, start.active), total)
        bound = total.upper()
        bounds.append(bound.item())
        stepper.zero_grad()
        bound.sum().backward()
        stepper.step()
        shares.data.clamp_(min=0)
    exact = exact_growth(layer, WINDOWS[0])
    assert min(bounds) >= exact - 1e-9
    assert min(bounds) <= exact + 0.02 * (1 + exact)


def perturbed(model: nn.Sequential, scale: float) -> dict[str, MergedLayer]:
    rng = torch.Generator().manual_seed(3)
    merged = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight, bias = module.weight.detach(), module.bias.detach()
            noisy = [v * (1 + scale * torch.randn(v.shape, generator=rng, dtype=torch.float64)) for v in (weight, bias)]
            merged[name] = MergedLayer(noisy[0], None, noisy[1], torch.zeros_like(weight), None, torch.zeros_like(bias))
    return merged


def pooling_net() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 2, 2), nn.ReLU(), nn.MaxPool2d(2, 2, ceil_mode=True), nn.Conv2d(2, 3, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(3, 2),
    ).double()  # fmt: skip


def test_between_the_exact_maximum_and_the_bound_without_a_search() -> None:
    model = pooling_net()
    merged = perturbed(model, 5e-2)
    low, high = torch.zeros(1, 4, 4).double(), torch.ones(1, 4, 4).double()
    traced = trace(model, low[None])
    exact = exact_maximum(traced, merged, low, high)
    assert exact.finished
    bounds = [
        propagate_relaxed(traced, merged, low[None], high[None], steps=steps).outputs[0].shift.magnitude().max().item()
        for steps in (0, 40)
    ]
    assert exact.claimed - exact.tolerance <= bounds[1] < 0.95 * bounds[0]
    ticket = merged_module(model, merged, torch.float64)
    x = torch.rand(2000, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64).round(decimals=1)
    with torch.no_grad():
        assert float((ticket(x) - model(x)).abs().max()) <= bounds[1]


@pytest.mark.parametrize("radius", [0.01, 0.1, 1.0])
def test_upper_is_never_below_what_is_attained(radius: float) -> None:
    model = pooling_net()
    merged = perturbed(model, 1e-2)
    for seed in range(3):
        centre = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        low, high = (centre - radius).clamp(min=0), (centre + radius).clamp(max=1)
        report = certify_merged(
            model, trace(model, low[None]), merged, low.numpy(), high.numpy(), (1, 4, 4), starts=8, steps=10, hops=3,
            slope_steps=25,
        )  # fmt: skip
        assert 0 < report.lower <= report.upper


def test_the_same_bound_twice() -> None:
    model = pooling_net()
    merged = perturbed(model, 1e-2)
    box = torch.zeros(1, 1, 4, 4).double(), torch.ones(1, 1, 4, 4).double()
    found = [propagate_relaxed(trace(model, box[0]), merged, *box, steps=5).outputs[0].shift for _ in range(2)]
    assert torch.equal(found[0].low, found[1].low)
    assert torch.equal(found[0].high, found[1].high)
