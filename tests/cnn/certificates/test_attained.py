"""The attained side: what is proved of one point, through many layers too, and linear programs for every ticket."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sslth.cnn.certificates.ascent import Attack, attack
from sslth.cnn.certificates.attained import climbed, proved_lower
from sslth.cnn.certificates.certificate import certify_merged
from sslth.cnn.certificates.propagation import propagate
from sslth.cnn.merged import MergedLayer, merged_module
from sslth.cnn.trace import trace

pytestmark = pytest.mark.filterwarnings("ignore:Could not initialize NNPACK")


def deep(layers: int) -> tuple[nn.Sequential, dict[str, MergedLayer]]:
    """Dense layers with ReLU, and the same with weights a little off."""
    torch.manual_seed(3)
    parts: list[nn.Module] = []
    for _ in range(layers):
        parts += [nn.Linear(24, 24), nn.ReLU()]
    model = nn.Sequential(*parts, nn.Linear(24, 3)).double()
    merged = {}
    for name, module in model.named_children():
        if isinstance(module, nn.Linear):
            module.weight.data.normal_(0.0, (2 / 24) ** 0.5)
            weight, bias = module.weight.detach(), module.bias.detach()
            zero = torch.zeros_like(weight)
            off = weight * (1 + 1e-6 * torch.randn_like(weight))
            merged[name] = MergedLayer(off, None, bias.clone(), zero, None, torch.zeros_like(bias))
    return model, merged


def test_a_point_is_proved_closely_where_its_intervals_are_loose() -> None:
    model, merged = deep(28)
    traced = trace(model, torch.zeros(1, 24).double())
    points = torch.rand(2, 24, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        target, ticket = model(points), merged_module(model, merged, torch.float64)(points)
    values = (ticket - target).abs().amax(1)
    found = Attack(points, values, target.abs().amax(1), ((3,),))
    lower, witness = proved_lower(traced, merged, found)
    assert 0.95 * float(values.max()) <= lower <= float(values.max()) * (1 + 1e-4)
    assert torch.equal(witness, points[values.argmax()])
    (alone,) = propagate(traced, merged, witness[None], witness[None])
    assert float(torch.maximum(alone.shift.low, -alone.shift.high).max()) < 0.6 * lower


def test_the_report_of_a_deep_network_says_that_the_proof_is_loose() -> None:
    model, merged = deep(14)
    traced = trace(model, torch.zeros(1, 24).double())
    report = certify_merged(model, traced, merged, 0.0, 1.0, (24,), starts=4, steps=10, work=0.0)
    assert report.reason is None
    assert report.upper > 1000 * report.lower > 0
    assert report.loose
    assert "the proof is loose at this depth" in report.verdict()


def test_linear_programs_climb_where_a_ticket_has_a_constant_channel() -> None:
    torch.manual_seed(2)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 2)
    ).double()
    merged = {}
    for name, shape in (("0", (3, 1, 3, 3)), ("4", None)):
        module = model.get_submodule(name)
        weight, bias = module.weight.detach(), module.bias.detach()
        merged[name] = MergedLayer(
            weight + 0.05 * torch.randn_like(weight), None, bias.clone(), torch.zeros_like(weight), None,
            torch.zeros_like(bias), None if shape is None else 0.01 * torch.randn(shape).double(),
            None if shape is None else torch.zeros(shape).double(),
        )  # fmt: skip
    box = torch.zeros(1, 4, 4).double(), torch.ones(1, 4, 4).double()
    traced = trace(model, box[0][None])
    ticket = trace(merged_module(traced.model, merged, torch.float64), box[0][None])
    assert ticket.graph_module is not None, ticket.reason
    found = attack(model, merged, box, torch.empty(0, 1, 4, 4).double(), device=torch.device("cpu"), starts=2,
                   steps=2, seed=0)  # fmt: skip
    moved = climbed(model, traced, merged, box, found, 6)
    assert (moved.values >= found.values - 1e-12).all()
    assert float(moved.values.max()) > 1.01 * float(found.values.max())
