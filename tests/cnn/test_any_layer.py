"""Every kind of convolution, and batch norm folded or alone: extraction, certificate, file, random network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import sslth
from sslth.cnn.plain import find_folds, plain_network
from sslth.cnn.trace import trace
from sslth.errors import InvalidInputError, UnsupportedModuleError


def networks() -> dict[str, tuple[nn.Sequential, tuple[int, ...]]]:
    torch.manual_seed(0)
    found: dict[str, tuple[nn.Sequential, tuple[int, ...]]] = {
        "conv2d": (
            nn.Sequential(
                nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 3, 2)
            ),
            (2, 8, 8),
        ),
        "conv1d": (
            nn.Sequential(
                nn.Conv1d(2, 4, 5, padding=2, padding_mode="circular"),
                *(nn.BatchNorm1d(4), nn.ReLU(), nn.Conv1d(4, 3, 3, stride=2, dilation=2)),
            ),
            (2, 16),
        ),
        "conv3d": (
            nn.Sequential(nn.Conv3d(2, 4, 2), nn.BatchNorm3d(4), nn.ReLU(), nn.Conv3d(4, 2, 2, groups=2)),
            (2, 5, 5, 5),
        ),
        "transposed": (
            nn.Sequential(
                nn.ConvTranspose2d(2, 4, 3, stride=2, output_padding=1, padding=1),
                *(nn.BatchNorm2d(4), nn.Tanh(), nn.ConvTranspose2d(4, 4, 2, groups=2), nn.BatchNorm2d(4)),
            ),
            (2, 5, 5),
        ),
        "depthwise": (
            nn.Sequential(
                *(nn.Conv2d(3, 12, 1), nn.BatchNorm2d(12), nn.ReLU6()),
                *(nn.Conv2d(12, 12, 3, padding=1, groups=12, bias=False), nn.BatchNorm2d(12), nn.Conv2d(12, 4, 1)),
            ),
            (3, 6, 6),
        ),
        "linear": (nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)), (6,)),
        "norm alone": (nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3)), (6,)),
    }
    for model, _ in found.values():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.3, 2)
                module.weight.data.uniform_(0.5, 1.5)
                module.bias.data.normal_(0, 0.2)
        model.eval()
    return found


def inputs(shape: tuple[int, ...]) -> Tensor:
    return torch.rand(8, *shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("name", networks())
def test_a_ticket_computes_the_network(name: str, tmp_path: Path) -> None:
    model, shape = networks()[name]
    x = inputs(shape)
    with torch.no_grad():
        expected = model(x)
        ticket = sslth.extract(model, x, width=512, progress=False)
        kept, merged = ticket.to_module()(x), ticket.to_module(merged=True)(x)
        assert float((kept - expected).norm() / expected.norm()) < 0.15
        torch.testing.assert_close(merged, kept, rtol=1e-4, atol=1e-5)
        ticket.save(tmp_path / "ticket.safetensors")
        loaded = sslth.Ticket.load(tmp_path / "ticket.safetensors")
        assert torch.equal(loaded.to_module(model)(x), kept)
        assert torch.equal(loaded.to_module()(x), kept)
    assert loaded.folds == ticket.folds


@pytest.mark.parametrize("name", networks())
def test_the_certificate_speaks_of_the_model_with_its_batch_norm(name: str) -> None:
    model, shape = networks()[name]
    x = inputs(shape)
    ticket = sslth.extract(model, x, width=128, progress=False)
    report = sslth.certify(ticket, model, data=x, starts=4, steps=5)
    with torch.no_grad():
        apart = (ticket.to_module().double()(x.double()) - model.double()(x.double())).abs().max()
    assert report.same_target
    assert report.reason is None
    assert float(apart) * (1 - 1e-6) <= report.lower <= report.upper < float("inf")


@pytest.mark.parametrize("name", networks())
def test_the_pruned_random_network_is_the_ticket(name: str) -> None:
    model, shape = networks()[name]
    ticket = sslth.extract(model, inputs(shape), width=12, progress=False)
    network = ticket.random_network()
    for kept in ticket.layers:
        masks = ticket.masks(kept.layer.name)
        network.get_submodule(kept.layer.name).prune(masks.blocked, masks.keep)  # type: ignore[operator]
    with torch.no_grad():
        torch.testing.assert_close(network(inputs(shape)), ticket.to_module()(inputs(shape)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", networks())
def test_the_plain_network_is_the_model(name: str) -> None:
    model, shape = networks()[name]
    x = inputs(shape)
    plain = plain_network(model, find_folds(trace(model, x), x))
    assert not any(isinstance(module, nn.modules.batchnorm._NormBase) for module in plain.modules())
    with torch.no_grad():
        torch.testing.assert_close(plain(x.double()), model.double()(x.double()), rtol=1e-12, atol=1e-12)


class Shared(nn.Module):
    """A convolution called twice, a batch norm that follows only one of the calls, and one after a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)
        self.other = nn.Conv2d(2, 2, 1)
        self.last = nn.BatchNorm2d(2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(torch.relu(self.conv(x))))
        z = self.other(y)
        return self.last(z + y) + z


def test_a_norm_is_folded_only_where_it_alone_reads_the_layer() -> None:
    torch.manual_seed(1)
    model = Shared().eval()
    x = torch.rand(4, 2, 5, 5)
    assert find_folds(trace(model, x), x) == {}
    ticket = sslth.extract(model, x, width=512, low=0.0, high=1.0, progress=False)
    assert [kept.layer.wiring.kind for kept in ticket.layers] == ["conv2d", "batch_norm", "conv2d", "batch_norm"]
    with torch.no_grad():
        assert float((ticket.to_module()(x) - model(x)).norm() / model(x).norm()) < 0.02


class Rearranged(nn.Module):
    """The same modules, but the norm does not follow the convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)
        self.norm = nn.BatchNorm2d(2)
        self.first = True

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) if self.first else self.conv(self.norm(x))


def test_a_certificate_is_refused_where_a_fold_does_not_hold() -> None:
    model = Rearranged().eval()
    ticket = sslth.extract(model, torch.rand(1, 2, 4, 4), width=32, progress=False)
    assert ticket.folds == {"norm": "conv"}
    model.first = False
    with pytest.raises(InvalidInputError, match="does not follow it alone"):
        sslth.certify(ticket, model, starts=1, steps=1)


def test_what_is_carried_over_is_named_and_kept() -> None:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 2)).eval()
    x = torch.rand(16, 4)
    with pytest.raises(UnsupportedModuleError, match=r"1 is a LayerNorm.*carry_over"):
        sslth.extract(model, x, width=64, progress=False)
    ticket = sslth.extract(model, x, width=512, carry_over={"1"}, progress=False)
    assert ticket.summary()["carried_over"] == ["1"]
    with torch.no_grad():
        assert float((ticket.to_module()(x) - model(x)).norm() / model(x).norm()) < 0.02
    with pytest.raises(InvalidInputError, match="carry_over names the module '7'"):
        sslth.extract(model, x, width=64, carry_over=["7"], progress=False)
