"""Compensation without data: channel means, the constant channel in every form of the ticket, what it is worth."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save
from scipy.stats import norm as normal
from torch import Tensor, nn

import sslth
from sslth.cnn.channel_means import channel_means
from sslth.cnn.compensation import zero_padding_shows
from sslth.cnn.kept_layer import merged_layer
from sslth.cnn.layers import Wiring, find_layers, wiring_of
from sslth.cnn.plain import find_folds, plain_network
from sslth.cnn.ticket_file import sealed, ticket_bytes
from sslth.cnn.trace import trace
from sslth.errors import InvalidInputError, TicketFileError

SOLVER = "sorted_pursuit"  # quick to compile and to run


def with_norms(*modules: nn.Module) -> nn.Sequential:
    """A network whose batch norms have seen something."""
    model = nn.Sequential(*modules)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.4)
    return model.eval()


def padded_networks() -> dict[str, tuple[nn.Sequential, tuple[int, ...]]]:
    """Networks whose padding shows: by stride, groups, dilation, depth, and transposed."""
    torch.manual_seed(3)
    return {
        "stride": (
            nn.Sequential(nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False), nn.ReLU(), nn.Flatten()),
            (2, 7, 6),
        ),
        "groups": (nn.Sequential(nn.Conv2d(4, 6, 3, padding=2, groups=2, dilation=2), nn.Tanh()), (4, 5, 5)),
        "depthwise": (nn.Sequential(nn.Conv2d(10, 10, 3, padding=1, groups=10, bias=False)), (10, 4, 4)),
        "transposed": (
            nn.Sequential(nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2)),
            (4, 3, 3),
        ),
        "same": (nn.Sequential(nn.Conv1d(2, 3, 5, padding="same"), nn.ReLU(), nn.Conv1d(3, 2, 3, padding=1)), (2, 9)),
    }


def inputs(shape: tuple[int, ...], count: int = 6) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("name", padded_networks())
def test_the_constant_channel_is_the_same_in_every_form(name: str, tmp_path: Path) -> None:
    model, shape = padded_networks()[name]
    x = inputs(shape)
    ticket = sslth.extract(model, x, width=40, progress=False, solver=SOLVER)
    for kept in ticket.layers:
        assert kept.layer.tap_constants == 80
        assert len(kept.taps) == kept.layer.wiring.groups
        assert sum(filters.size for filters in kept.taps) > 0
    with torch.no_grad():
        found = ticket.to_module().double()(x.double())
        merged = ticket.to_module(merged=True)(x)
        torch.testing.assert_close(merged.double(), found, rtol=1e-4, atol=1e-5)
        pruned = ticket.random_network()
        for kept in ticket.layers:
            masks = ticket.masks(kept.layer.name)
            assert masks.keep.shape == (kept.layer.filters,)
            assert int(masks.keep.sum()) == kept.kept
            pruned.get_submodule(kept.layer.name).prune(masks.blocked, masks.keep)  # type: ignore[operator]
        torch.testing.assert_close(pruned(x).double(), found, rtol=1e-4, atol=1e-5)
        ticket.save(tmp_path / "t")
        loaded = sslth.Ticket.load(tmp_path / "t")
        assert ticket_bytes(loaded) == (tmp_path / "t").read_bytes()
        assert torch.equal(loaded.to_module(model)(x), ticket.to_module()(x))
    report = sslth.certify(ticket, model, data=x, starts=2, steps=3, hops=0, slope_steps=0)
    with torch.no_grad():
        apart = float((found - model.double()(x.double())).abs().max())
    assert apart * (1 - 1e-6) <= report.lower <= report.upper < math.inf
    assert math.isfinite(report.float32_error)


def test_the_constant_channel_by_hand() -> None:
    """One layer, zero input: what is left is the bias and the taps that reach the image, place by place."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1))
    ticket = sslth.extract(model, torch.zeros(1, 1, 3, 3), width=60, progress=False, solver=SOLVER)
    kept = ticket.layers[0]
    layer = merged_layer(ticket.seed, kept)
    assert layer.taps is not None
    assert layer.bias is not None
    expected = np.zeros((2, 3, 3))
    for o, i, j in np.ndindex(2, 3, 3):
        reached = [
            float(layer.taps[o, 0, a, b]) for a, b in np.ndindex(3, 3) if 0 <= i + a - 1 < 3 and 0 <= j + b - 1 < 3
        ]
        expected[o, i, j] = math.fsum(reached) + float(layer.bias[o])
    with torch.no_grad():
        found = ticket.to_module().double()(torch.zeros(1, 1, 3, 3).double())[0]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)
    assert math.frexp(kept.layer.tap_value)[0] == 0.5


def test_taps_are_cancelled_at_every_tap() -> None:
    """With the means that were assumed, what all kernels add up to is the target's, tap by tap."""
    torch.manual_seed(5)
    model = with_norms(nn.Conv2d(2, 6, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 3, 3, padding=1))
    x = inputs((2, 5, 5), 1)
    folds = find_folds(trace(model, x), x)
    plain = plain_network(model, folds)
    wirings = {name: wiring_of(module) for name, module in find_layers(plain).items()}
    box = (np.asarray(-1.0), np.asarray(1.0))
    means = channel_means(model, trace(plain, x.double()), folds, wirings, box, (2, 5, 5))["3"]
    assert means.origin == "batch norm's running statistics"
    weights, wanted = torch.from_numpy(means.positive).reshape(1, -1, 1, 1), plain[3].weight.detach()
    errors = []
    for compensate in (True, False):
        ticket = sslth.extract(model, x, width=300, progress=False, solver=SOLVER, compensate=compensate)
        layer = ticket.merged_layers()["3"]
        error = ((layer.positive - wanted) * weights).sum(dim=1)
        errors.append(float((error if layer.taps is None else error + layer.taps[:, 0]).norm()))
    assert errors[0] < errors[1] / 4
    assert ticket.settings["compensation"]["matched"] == "weights"
    assert all(kept.layer.tap_constants == 0 for kept in ticket.layers)


def test_means_after_batch_norm_are_those_of_a_normal_law() -> None:
    torch.manual_seed(6)
    model = with_norms(nn.Conv2d(1, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 2, 1), nn.AvgPool2d(2))
    model.append(nn.Conv2d(2, 2, 1))
    x = torch.rand(1, 1, 10, 10)
    folds = find_folds(trace(model, x), x)
    plain = plain_network(model, folds)
    wirings = {name: wiring_of(module) for name, module in find_layers(plain).items()}
    means = channel_means(model, trace(plain, x.double()), folds, wirings, (np.zeros(()), np.ones(())), (1, 10, 10))
    batch_norm = model[1]
    beta, gamma = batch_norm.bias.detach().numpy(), batch_norm.weight.detach().numpy()
    expected = beta * normal.cdf(beta / gamma) + gamma * normal.pdf(beta / gamma)  # E[relu(N(beta, gamma^2))]
    np.testing.assert_allclose(means["3"].positive, expected, rtol=0.03, atol=0.01)
    assert not means["3"].negative.any()
    weight, bias = model[3].weight.detach().numpy()[:, :, 0, 0], model[3].bias.detach().numpy()
    signed = means["5"].positive - means["5"].negative
    np.testing.assert_allclose(signed, weight @ means["3"].positive + bias, rtol=0.02, atol=0.02)
    np.testing.assert_allclose(means["0"].positive, 0.5, atol=0.02)
    assert means["0"].origin == "the input box"


def test_it_lowers_the_error_where_batch_norm_knows_the_means() -> None:
    """Inputs that batch norm's statistics are true of: the error falls, and the ticket says by how much."""
    torch.manual_seed(7)
    model = nn.Sequential(
        *(nn.Conv2d(2, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1)),
    )
    x = nn.functional.interpolate(torch.rand(64, 2, 2, 2), size=(8, 8), mode="bilinear", align_corners=True)
    with torch.no_grad():
        for _ in range(60):
            model.train()(x)
    model.eval()
    ticket = sslth.extract(model, x, width=700, low=0.0, high=1.0, progress=False, solver=SOLVER)
    note = ticket.summary()["settings"]["compensation"]
    measured = note["output_error"]
    assert measured["with"] < 0.8 * measured["without"]
    with torch.no_grad():
        y, z = model.double()(x.double()), ticket.to_module(merged=True).double()(x.double())
    error = float((z - y).norm() / (y - y.mean(dim=0)).norm())
    assert measured["with"] == pytest.approx(error, rel=0.01)
    assert note["matched_error"].keys() == {"0", "3", "6"}
    report = sslth.certify(ticket, model, starts=1, steps=1, hops=0, slope_steps=0)
    assert report.matched_error == note["matched_error"]
    assert report.output_error == measured
    # aimed at the user's kernels, so the two errors are one
    assert report.kernel_error["3"] == pytest.approx(note["matched_error"]["3"], rel=0.01)


def test_a_layer_without_bias_gets_filters_for_one_and_the_ticket_says_so(tmp_path: Path) -> None:
    torch.manual_seed(8)
    model = nn.Sequential(nn.Linear(5, 4, bias=False), nn.ReLU(), nn.Linear(4, 3))
    ticket = sslth.extract(model, torch.rand(1, 5), width=100, low=0.0, high=1.0, progress=False, solver=SOLVER)
    assert ticket.settings["compensation"]["added_bias"] == ["0"]
    assert ticket.layers[0].layer.constants == 200
    assert ticket.masks("0").keep.size == 5 * 200 + 200
    ticket.save(tmp_path / "t")
    loaded = sslth.Ticket.load(tmp_path / "t")
    x = torch.rand(7, 5)
    with torch.no_grad():
        assert torch.equal(loaded.to_module()(x), ticket.to_module()(x))
        torch.testing.assert_close(loaded.to_module(merged=True)(x), ticket.to_module()(x), rtol=1e-4, atol=1e-5)
    bare = sslth.extract(
        model, torch.rand(1, 5), width=100, low=0.0, high=1.0, progress=False, solver=SOLVER, compensate=False
    )
    assert bare.layers[0].constants == ()


def test_where_padding_shows() -> None:
    assert zero_padding_shows(Wiring("conv2d", 1, 1, True, (3, 3), padding=(1, 0)))
    assert zero_padding_shows(Wiring("conv2d", 1, 1, True, (3, 3), padding="same"))
    assert zero_padding_shows(Wiring("conv_transpose1d", 1, 1, True, (2,), (2,), (0,), dilation=(1,)))
    assert not zero_padding_shows(Wiring("conv2d", 1, 1, True, (3, 3)))
    assert not zero_padding_shows(Wiring("conv2d", 1, 1, True, (3, 3), padding="valid"))
    assert not zero_padding_shows(Wiring("conv2d", 1, 1, True, (3, 3), padding=(1, 1), padding_mode="reflect"))
    assert not zero_padding_shows(Wiring("conv2d", 1, 1, True, (1, 1), padding=(1, 1)))
    assert not zero_padding_shows(Wiring("linear", 4, 2, True))


def test_compensate_false_and_calibration_contradict() -> None:
    with pytest.raises(InvalidInputError, match="compensate=False"):
        sslth.extract(nn.Linear(2, 1), torch.rand(1, 2), compensate=False, calibration=torch.rand(3, 2))


def hostile(content: bytes, **changes: object) -> bytes:
    """The file with another constant channel, and a checksum that fits."""
    size = int.from_bytes(content[:8], "little")
    metadata = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["sslth"])
    for key, value in changes.items():
        if value is None:
            del metadata["layers"][0][key]
        else:
            metadata["layers"][0][key] = value
    metadata["sha256"] = "0" * 64
    return sealed(save(load(content), {"sslth": json.dumps(metadata)}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tap_value": 0.3}, "not a power of two"),
        ({"tap_value": -0.5}, "not a power of two"),
        ({"tap_value": 1}, "not a power of two"),
        ({"tap_value": 2.0**300}, "not a power of two"),
        ({"tap_value": "x" * 100}, "not a power of two"),
        ({"tap_value": None}, "tap_value"),
        ({"tap_constants": None}, "blocks; its shape asks for"),
        ({"tap_constants": 0}, "tap_constants"),
        ({"tap_constants": 2.5}, "tap_constants"),
        ({"tap_constants": 2**40}, "tap_constants"),
        ({"tap_constants": 1}, "of 1"),
        ({"added_bias": None}, "bias without constants"),
        ({"added_bias": 1}, "not a bool"),
        ({"added_bias": False}, "bias without constants"),
        ({"bias": True}, "bias without constants"),
        ({"kind": "linear", "kernel_size": [1, 1], "stride": [1, 1], "padding": [0, 0]}, "constant input channel"),
    ],
)
def test_hostile_constant_channels_are_refused(tmp_path: Path, changes: dict, message: str) -> None:
    model, shape = padded_networks()["stride"]
    ticket = sslth.extract(model, inputs(shape), width=40, progress=False, solver=SOLVER)
    path = tmp_path / "t"
    path.write_bytes(hostile(ticket_bytes(ticket)))
    assert sslth.Ticket.load(path).layers[0].layer.tap_constants == 80
    path.write_bytes(hostile(ticket_bytes(ticket), **changes))
    with pytest.raises(TicketFileError, match=message) as caught:
        sslth.Ticket.load(path)
    assert "\n" not in str(caught.value)


def test_files_without_compensation_are_as_they_were() -> None:
    """No new field where there is nothing new: earlier readers read such files."""
    model, shape = padded_networks()["groups"]
    ticket = sslth.extract(model, inputs(shape), width=12, progress=False, solver=SOLVER, compensate=False)
    content = ticket_bytes(ticket)
    assert b"tap_" not in content
    assert b"added_bias" not in content
