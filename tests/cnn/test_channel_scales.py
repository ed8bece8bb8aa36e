"""Parameters that a forward multiplies channels by: layers of the ticket; whatever else parameters do is refused."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import sslth
from sslth.cnn.channel_scales import with_scales_as_layers
from sslth.errors import UnsupportedModuleError


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


def test_what_cannot_be_run_is_refused(net: nn.Module) -> None:
    with pytest.raises(UnsupportedModuleError, match=r"\(last\); .* takes one input, and runs and can be traced"):
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
