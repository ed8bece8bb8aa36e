"""Parameters that a forward multiplies channels by: layers of the ticket; whatever else parameters do is refused."""

from __future__ import annotations

import copy
import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import sslth
from sslth.cnn.channel_scales import with_scales_as_layers
from sslth.cnn.layers import fingerprint
from sslth.errors import InvalidInputError, UnsupportedModuleError


class Shortcut(nn.Module):
    """A block with a scale a channel, a gate in the logarithm, and one number for the shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.alpha = nn.Parameter(torch.rand(channels) + 0.5)
        self.gate = nn.Parameter(torch.randn(1, channels, 1, 1))
        self.skip = nn.Parameter(torch.tensor(0.7))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x) * self.alpha.view(1, -1, 1, 1) + self.skip * x * torch.exp(-self.gate))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 3, 3)
        self.block = Shortcut(3)
        self.last = nn.Parameter(torch.tensor([2.0, -1.0]))
        self.linear = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.block(self.block(torch.relu(self.stem(x))))  # one block, called twice
        return torch.mul(self.linear(hidden.mean((2, 3))), self.last)


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return Net().eval()


@torch.no_grad()
def test_scales_become_layers_of_their_names(net: nn.Module) -> None:
    x = torch.rand(4, 1, 8, 8)
    plain = with_scales_as_layers(net, x)
    assert torch.allclose(plain(x), net(x), rtol=1e-5, atol=1e-6)
    found = {name for name, module in plain.named_modules() if type(module).__name__ == "ChannelAffine"}
    assert found == {"block.alpha", "block.gate", "block.skip", "last"}
    assert torch.equal(plain.get_submodule("block.gate").weight, torch.exp(-net.block.gate).flatten())
    assert torch.equal(plain.get_submodule("block.skip").weight, torch.full((3,), 0.7))
    assert isinstance(net.block.alpha, nn.Parameter)  # the model is as it was


@torch.no_grad()
def test_a_ticket_with_scales_end_to_end(net: nn.Module, tmp_path: Path) -> None:
    x = torch.rand(16, 1, 8, 8)
    ticket = sslth.extract(net, x, 512, low=0.0, progress=False)
    assert [layer["name"] for layer in ticket.summary()["layers"] if layer["kind"] == "batch_norm"] == [
        "block.alpha", "block.skip", "block.gate", "last",
    ]  # fmt: skip
    ticket.save(tmp_path / "t")
    loaded = sslth.Ticket.load(tmp_path / "t")
    pruned, merged = loaded.to_module(net), loaded.to_module(net, merged=True)
    assert torch.equal(pruned(x), ticket.to_module()(x))
    assert float((pruned(x) - net(x)).norm() / net(x).norm()) < 0.02
    assert torch.allclose(pruned(x), merged(x), rtol=1e-4, atol=1e-5)
    report = sslth.certify(loaded, net, data=x)
    assert report.upper >= report.lower >= float((pruned(x) - net(x)).abs().max()) * (1 - 1e-4) > 0


def test_a_model_without_such_parameters_is_returned_itself() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.PReLU(), nn.BatchNorm2d(2)).eval()
    assert with_scales_as_layers(model, torch.rand(2, 1, 5, 5)) is model


class With(nn.Module):
    """A convolution, and something that its forward does with a parameter."""

    def __init__(self, parameter: Tensor, use: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.own = nn.Parameter(parameter)
        self.use = use

    def forward(self, x: Tensor) -> Tensor:
        return self.use(self.conv(x), self.own)


@pytest.mark.parametrize(
    ("shape", "use"),
    [
        ((3, 1, 1), lambda x, own: x + own),
        ((3, 1, 1), lambda x, own: x * own + own),
        ((3, 3), lambda x, own: x * own),  # a number a place
        ((3, 1), lambda x, own: x * own),
        ((2, 3, 1, 1), lambda x, own: (x[:1] * own).sum(0, keepdim=True)),  # makes a batch of one larger
        ((3, 1, 1), lambda x, own: x / own),
        ((3, 3), lambda x, own: torch.einsum("bcij,cd->bdij", x, own)),
        ((3, 1, 1), lambda x, own: x * own if x.sum() > 0 else x),  # no graph
    ],
)
def test_what_parameters_do_besides_is_refused_by_name(shape: tuple[int, ...], use: Callable) -> None:
    with pytest.raises(UnsupportedModuleError, match=r"the model itself is a With with weights of its own \(own\)"):
        sslth.extract(With(torch.rand(shape) + 0.5, use), torch.rand(1, 1, 5, 5), 8, progress=False)


def test_modules_with_weights_are_left_alone_and_refused() -> None:
    model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.LayerNorm(4))
    with pytest.raises(UnsupportedModuleError, match="1 is a LayerNorm with weights of its own"):
        sslth.extract(model, torch.rand(2, 1, 6), 8, progress=False)
    carried = sslth.extract(
        nn.Sequential(With(torch.rand(3, 1, 1), torch.mul), nn.LayerNorm(3)), torch.rand(2, 1, 5, 5), 64,
        carry_over=["1"], progress=False,
    )  # fmt: skip
    assert [layer["name"] for layer in carried.summary()["layers"]] == ["0.conv", "0.own"]
    inside = sslth.extract(
        nn.Sequential(With(torch.rand(3, 1, 1), torch.mul), nn.Conv2d(3, 1, 1)), torch.rand(2, 1, 5, 5), 64,
        carry_over=["0"], progress=False,
    )  # fmt: skip
    assert [layer["name"] for layer in inside.summary()["layers"]] == ["1"]


def test_a_module_that_is_carried_over_need_not_be_called(net: nn.Module) -> None:
    net.head = nn.Sequential(nn.LayerNorm(2))
    ticket = sslth.extract(net, torch.rand(2, 1, 8, 8), 16, carry_over=["head.0"], progress=False)
    assert ticket.carry_over == ("head.0",)
    assert isinstance(ticket.to_module(net).get_submodule("head.0"), nn.LayerNorm)


class Spare(nn.Module):
    """A scale, and layers that the forward never calls."""

    def __init__(self, scaled: bool) -> None:
        super().__init__()
        self.spare = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU())
        self.conv = nn.Conv2d(1, 3, 3)
        self.own = nn.Parameter(torch.rand(3, 1, 1) + 0.5) if scaled else None
        self.own_2 = nn.Linear(4, 4)  # the name of a second scale
        self.lone = nn.BatchNorm1d(2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv(x)
        return hidden if self.own is None else torch.relu(hidden * self.own) * self.own.square()


@torch.no_grad()
def test_layers_that_are_never_called_stay_as_in_a_network_without_scales(tmp_path: Path) -> None:
    x = torch.rand(4, 1, 5, 5)
    without, model = Spare(scaled=False).eval(), Spare(scaled=True).eval()
    layers = sslth.extract(without, x, 256, progress=False).widths
    ticket = sslth.extract(model, x, 256, calibration=x, progress=False)
    assert sorted(ticket.widths) == sorted([*layers, "own", "own_3"])
    assert sorted(ticket.settings["compensation"]["kernels_not_refitted"]) == ["lone", "own_2", "spare.0", "spare.1"]
    ticket.save(tmp_path / "t")
    found = sslth.Ticket.load(tmp_path / "t").to_module(model, merged=True)
    assert torch.allclose(found(x), model(x), atol=0.2)
    point = torch.randn(5, 3, 1, 1)
    wanted = model.spare(point)
    assert float((found.spare(point) - wanted).norm() / wanted.norm()) < 0.1
    assert sslth.certify(ticket, model).upper < 1


@pytest.mark.parametrize(
    "unused", [nn.LayerNorm(3), nn.GRU(2, 2), nn.InstanceNorm2d(3), With(torch.rand(3), torch.add)]
)
def test_what_is_never_called_is_refused_by_its_name_or_carried_over(net: nn.Module, unused: nn.Module) -> None:
    net.unused = unused
    with pytest.raises(UnsupportedModuleError, match=f"^unused is a {type(unused).__name__} .*name it in carry_over$"):
        sslth.extract(net, torch.rand(2, 1, 8, 8), 16, progress=False)
    ticket = sslth.extract(net, torch.rand(2, 1, 8, 8), 16, carry_over=["unused"], progress=False)
    assert "block.skip" in ticket.widths
    assert type(ticket.to_module(net).unused) is type(unused)


def test_a_weight_that_is_read_and_not_called_is_refused_beside_scales_too() -> None:
    class Reading(With):
        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(super().forward(x), self.other.weight)

    model = Reading(torch.rand(3, 1, 1), torch.mul)
    model.other = nn.Conv2d(3, 3, 1)
    with pytest.raises(UnsupportedModuleError, match=r"the forward reads other\.weight itself"):
        sslth.extract(model, torch.rand(2, 1, 8, 8), 16, progress=False)


def test_the_parameter_that_does_something_else_is_the_one_that_is_named(net: nn.Module) -> None:
    model = nn.Sequential(net, With(torch.rand(2), torch.add))
    model[1].conv = nn.Identity()
    with pytest.raises(UnsupportedModuleError, match=r"^1 is a With with weights of its own \(own\); convolutions"):
        sslth.extract(model, torch.rand(2, 1, 8, 8), 16, progress=False)


def test_where_a_forward_cannot_be_traced_the_parameter_the_cause_and_the_remedy_are_named(net: nn.Module) -> None:
    x = torch.rand(2, 1, 5, 5)
    model = With(torch.rand(3, 1, 1), lambda x, own: x * own if x.sum() > 0 else x)
    with pytest.raises(UnsupportedModuleError) as caught:
        sslth.extract(model, x, 8, progress=False)
    assert "\n" not in str(caught.value)
    assert re.search(
        r"\(own\), .* the forward cannot be traced: .*control flow; change that, .* in carry", str(caught.value)
    )
    with pytest.raises(UnsupportedModuleError, match=r"^0 is a With .* \(own\), .*control flow"):
        sslth.extract(nn.Sequential(model, nn.Conv2d(3, 1, 1)), x, 8, progress=False)
    with pytest.raises(UnsupportedModuleError, match=r"^0 is a LayerNorm .*bias\); convolutions, .* in carry_over$"):
        sslth.extract(nn.Sequential(nn.LayerNorm(5), model), x, 8, progress=False)  # no graph would help it
    ticket = sslth.extract(net, torch.rand(2, 1, 8, 8), 16, progress=False)
    with pytest.raises(InvalidInputError, match=r"not the ticket's network: .*\(own\), .*control flow"):
        ticket.to_module(model)


def test_a_scale_has_no_offset_and_no_filters_for_one(net: nn.Module) -> None:
    x = torch.rand(4, 1, 8, 8)
    names = ["block.alpha", "block.gate", "block.skip", "last"]
    ticket = sslth.extract(net, x, 64, low=0.0, progress=False)
    scales = {kept.layer.name: kept for kept in ticket.layers if kept.layer.wiring.kind == "batch_norm"}
    assert sorted(scales) == names
    assert all(kept.constants == () and not kept.layer.wiring.has_bias for kept in scales.values())
    errors = sslth.certify(ticket, net).kernel_error_per_block
    assert all("bias" not in errors[name] for name in names)
    assert ticket.settings["compensation"]["added_bias"] == []
    refitted = sslth.extract(net, x, 64, low=0.0, calibration=x, progress=False)  # where there is something to fit
    assert sorted(refitted.settings["compensation"]["added_bias"]) == names


@torch.no_grad()
def test_tickets_in_which_scales_have_offsets_of_zeros_still_serve(net: nn.Module, tmp_path: Path) -> None:
    x = torch.rand(4, 1, 8, 8)
    names = ["block.alpha", "block.gate", "block.skip", "last"]
    sslth.extract(with_scales_as_layers(net, x[:1], (), names), x, 64, low=0.0, progress=False).save(tmp_path / "t")
    old, new = sslth.Ticket.load(tmp_path / "t"), sslth.extract(net, x, 64, low=0.0, progress=False)
    assert all(kept.layer.wiring.has_bias for kept in old.layers if kept.layer.name in names)
    assert torch.allclose(old.to_module(net)(x), new.to_module(net)(x), atol=1e-4)
    assert fingerprint(old.plain_target(net)) == old.fingerprint != new.fingerprint
    report = sslth.certify(old, net)
    assert 0 < report.lower < report.upper < math.inf


def test_what_cannot_be_run_is_refused(net: nn.Module) -> None:
    with pytest.raises(
        UnsupportedModuleError, match=r"\(last\), .* but the model fails at the example input: .*channels"
    ):
        sslth.extract(net, torch.rand(2, 3, 8, 8), 16, progress=False)
    with pytest.raises(UnsupportedModuleError, match="last"):
        sslth.extract(net.to("meta"), torch.rand(2, 1, 8, 8), 16, progress=False)


@torch.no_grad()
def test_one_parameter_of_two_scales() -> None:
    model = With(torch.tensor([0.5, 1.0, 2.0]).reshape(3, 1, 1), lambda x, own: torch.relu(x * own) * own.square())
    ticket = sslth.extract(model, torch.rand(2, 1, 5, 5), 1024, progress=False)
    assert [layer["name"] for layer in ticket.summary()["layers"]] == ["conv", "own", "own_2"]
    x = 2 * torch.rand(8, 1, 5, 5) - 1
    assert float((ticket.to_module()(x) - model(x)).norm() / model(x).norm()) < 0.02


class Gated(nn.Module):
    """Two scales that are equal while the gate is 0, beside a module with the name that a second one would have."""

    def __init__(self, gate: Tensor) -> None:
        super().__init__()
        self.conv, self.gate_2 = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 3, 1)
        self.gate = nn.Parameter(gate)
        self.inner = nn.Module()
        self.inner.same = self.gate

    def forward(self, x: Tensor) -> Tensor:
        share = torch.sigmoid(self.gate)
        hidden = self.conv(x * share)  # one number, for one channel and for three
        return self.gate_2(hidden) * share + hidden * (1 - torch.sigmoid(self.inner.same))


@torch.no_grad()
def test_names_of_scales_depend_on_the_forward_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained, fresh = Gated(torch.tensor(0.7)), Gated(torch.tensor(0.0))
    x = torch.rand(8, 1, 5, 5)
    ticket = sslth.extract(trained, x, 1024, low=0.0, progress=False)
    assert list(ticket.widths) == ["conv", "gate_2", "gate", "gate_3", "gate_4"]
    assert float((ticket.to_module()(x) - trained(x)).norm() / trained(x).norm()) < 0.02
    ticket.save(tmp_path / "t")
    assert torch.equal(sslth.Ticket.load(tmp_path / "t").to_module(fresh)(x), ticket.to_module()(x))


@torch.no_grad()
def test_a_ticket_with_scales_can_be_copied_and_sent(net: nn.Module) -> None:
    x = torch.rand(2, 1, 8, 8)
    ticket = sslth.extract(net, x, 16, low=0.0, progress=False)
    for twin in (copy.deepcopy(ticket), pickle.loads(pickle.dumps(ticket))):
        assert torch.equal(twin.to_module()(x), ticket.to_module()(x))
