"""Sizes of a ticket's networks: counts against the modules themselves and against a plain count of products."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import save
from torch import Tensor, nn

import sslth
from sslth.cnn.modules import PrunedPair, RandomPair
from sslth.experiments.deployed_size import deployed_sizes, deployed_table, file_bytes, layer_calls
from sslth.experiments.forms import FORMS


class Twice(nn.Module):
    """Kinds of layers; one is grouped, padded and called twice, one transposed, a batch norm stands alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.same = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.alone = nn.BatchNorm2d(4)
        self.slope = nn.PReLU(4)
        self.up = nn.ConvTranspose2d(4, 2, 2, stride=2)
        self.head = nn.Linear(2 * 12 * 12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.slope(self.norm(self.first(x)))
        x = torch.relu(self.same(input=self.same(x)))
        x = self.up(torch.relu(self.alone(x)))
        return self.head(x.flatten(1))


@pytest.fixture(scope="module")
def made() -> tuple[nn.Module, sslth.Ticket, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Twice().eval()
        with torch.no_grad():
            for norm in (model.norm, model.alone):
                norm.running_mean.normal_()
                norm.running_var.uniform_(0.5, 2.0)
        inputs = torch.rand(3, 2, 6, 6)
    return model, sslth.extract(model, inputs, 16, low=0.0, high=1.0, progress=False), inputs


@pytest.fixture(scope="module")
def found(made: tuple[nn.Module, sslth.Ticket, Tensor]) -> dict:
    model, ticket, inputs = made
    return deployed_sizes(ticket, model, inputs, runs=2)


def counted(module: nn.Module) -> int:
    return sum(t.numel() for t in module.state_dict().values() if t.is_floating_point())


def test_weights_are_those_of_the_modules(made: tuple[nn.Module, sslth.Ticket, Tensor], found: dict) -> None:
    model, ticket, _ = made
    parameters = {form: found["networks"][form]["parameters"] for form in FORMS}
    assert parameters["target"] == sum(p.numel() for p in model.parameters())
    merged = ticket.to_module(merged=True)
    assert parameters["merged"] == counted(merged)
    wide, whole = 0, 0
    for kept in ticket.layers:
        outputs, rest = kept.layer.wiring.outputs_per_group, kept.layer.wiring.out_channels
        pair = ticket.to_module().get_submodule(kept.layer.name)
        random = ticket.random_network().get_submodule(kept.layer.name)
        assert isinstance(pair, PrunedPair)
        assert isinstance(random, RandomPair)
        # a bias filter's kernel is stored with zeros for the outputs of other groups
        wide += counted(pair) - pair.constant_scales.numel() * (rest - outputs)
        whole += counted(random) - random.constant_v.numel() * (rest - outputs)
    assert parameters["wide"] == wide + 4  # the slopes of PReLU
    assert parameters["random"] == whole + 4


def test_calls_and_places(made: tuple[nn.Module, sslth.Ticket, Tensor]) -> None:
    model, ticket, inputs = made
    calls = layer_calls(ticket, model, inputs)
    assert set(calls) == {"first", "same", "alone", "up", "head"}
    assert (calls["same"].calls, calls["same"].inputs, calls["same"].outputs) == (2, 72, 72)
    assert (calls["up"].inputs, calls["up"].outputs) == (36, 144)
    assert (calls["head"].inputs, calls["head"].outputs) == (1, 1)


def test_multiply_adds_of_every_layer(made: tuple[nn.Module, sslth.Ticket, Tensor], found: dict) -> None:
    _, ticket, _ = made
    layers = {layer["name"]: layer for layer in found["layers"]}
    target = {name: layer["target"]["multiply_adds"] for name, layer in layers.items()}
    assert target == {
        "first": 36 * 4 * 2 * 9, "same": 2 * 36 * 4 * 2 * 9, "alone": 36 * 4, "up": 36 * 4 * 2 * 4, "head": 288 * 3,
    }  # fmt: skip
    assert found["networks"]["target"]["multiply_adds"] == sum(target.values())
    for kept in ticket.layers:
        layer = layers[kept.layer.name]
        sides = 1 if kept.layer.nonnegative else 2
        assert layer["merged"]["multiply_adds"] >= sides * layer["target"]["multiply_adds"]
    # one kept filter of `up` reads 36 places once and puts 2 x 2 x 2 numbers at each; its constant channel's kernel of
    # as many numbers is added up and applied once
    up = next(kept for kept in ticket.layers if kept.layer.name == "up")
    filters, biases, taps = sum(map(len, up.channels)), sum(map(len, up.constants)), sum(map(len, up.taps))
    constant = taps * 8 + 36 * 8 if up.layer.tap_constants else 0
    assert layers["up"]["wide"]["multiply_adds"] == filters * 36 * (1 + 8) + biases * 2 + constant


def test_the_table_says_which_form_is_large(found: dict) -> None:
    target, wide = found["networks"]["target"], found["networks"]["wide"]
    assert found["times"]["parameters"] == pytest.approx(wide["parameters"] / target["parameters"])
    text = deployed_table(found)
    assert all(name in text for name in FORMS.values())
    assert f"{wide['parameters']:,}" in text
    assert f"{wide['parameters'] / target['parameters']:,.0f} times the target's weights" in " ".join(text.split())
    assert "no longer a part of the random network" in text
    assert found["batch"] == 3
    assert all(found["networks"][form]["runs"] == 2 for form in FORMS)
    assert all(found["networks"][form]["seconds"] > 0 for form in FORMS)


def test_files_are_as_large_as_safetensors_makes_them(
    made: tuple[nn.Module, sslth.Ticket, Tensor], found: dict
) -> None:
    model, ticket, _ = made
    for network in (model, ticket.to_module(merged=True), ticket.to_module()):
        assert file_bytes(network) == len(save({name: t.contiguous() for name, t in network.state_dict().items()}))
    assert found["networks"]["merged"]["bytes"] == file_bytes(ticket.to_module(merged=True))


def test_a_network_that_is_too_large_is_not_run(
    made: tuple[nn.Module, sslth.Ticket, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, ticket, inputs = made
    monkeypatch.setattr("sslth.experiments.deployed_size._MOST_FOR_A_BATCH", 1.0)
    found = deployed_sizes(ticket, model, inputs, runs=1)
    assert found["batch"] == 1
    assert found["networks"]["random"]["seconds"] is None
    assert "not run" in deployed_table(found)
    assert math.isfinite(found["networks"]["wide"]["seconds"])
