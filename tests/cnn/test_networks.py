"""The networks of sslth.networks through the whole main job, at a few channels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_networks import NORMS, SMALL, inputs_for, small_network
from torch import nn

import sslth
from sslth.cnn.layers import find_layers
from sslth.errors import InvalidInputError
from sslth.networks import trained_on_digits


def norms_of(model: nn.Module) -> set[str]:
    return {name for name, module in model.named_modules() if isinstance(module, NORMS)}


@pytest.mark.parametrize("name", SMALL)
def test_a_ticket_computes_the_network(name: str, tmp_path: Path) -> None:
    model, x = small_network(name).double(), inputs_for(name).double()
    ticket = sslth.extract(model, x, width=192, low=0.0, progress=False)
    every = set(find_layers(model, allow_norms=True)) | norms_of(model)
    assert {kept.layer.name for kept in ticket.layers} | set(ticket.folds) == every
    with torch.no_grad():
        expected, kept = model(x), ticket.to_module()(x)
        scale = float(expected.abs().max())
        torch.testing.assert_close(ticket.to_module(merged=True)(x), kept, rtol=1e-6, atol=1e-6 * scale)
        ticket.save(tmp_path / "ticket.safetensors")
        loaded = sslth.Ticket.load(tmp_path / "ticket.safetensors")
        assert torch.equal(loaded.to_module(model)(x), kept)
        assert loaded.folds == ticket.folds
        if isinstance(model, nn.Sequential):
            # without a model it is float32, and its pieces are summed in another order
            torch.testing.assert_close(loaded.to_module()(x.float()).double(), kept, rtol=1e-3, atol=1e-3 * scale)
        else:
            with pytest.raises(InvalidInputError, match="model"):
                loaded.to_module()

    report = sslth.certify(ticket, model, data=x, starts=3, steps=3, hops=0, slope_steps=0, work=1e6)
    apart = float((kept - expected).abs().max())
    assert report.same_target
    assert report.reason is None
    assert apart * (1 - 1e-6) <= report.lower <= report.upper < float("inf")


def test_the_error_falls_with_the_width() -> None:
    """At few channels and random weights a deep ticket is rough at width 192; it must get better at once."""
    model, x = small_network("resnet20"), inputs_for("resnet20")
    errors = []
    with torch.no_grad():
        expected = model(x)
        for width in (64, 1024):
            ticket = sslth.extract(model, x, width=width, low=0.0, progress=False)
            errors.append(float((ticket.to_module(merged=True)(x) - expected).norm() / expected.norm()))
    assert errors[1] < 0.2 * errors[0]
    assert errors[1] < 0.2


@pytest.mark.parametrize("name", ["resnet20", "resnet18", "vgg11_bn", "mobilenet_v2"])
def test_every_norm_is_folded(name: str) -> None:
    model = small_network(name)
    ticket = sslth.extract(model, inputs_for(name), width=4, low=0.0, progress=False)
    assert set(ticket.folds) == norms_of(model)
    assert not any(kept.layer.wiring.kind == "batch_norm" for kept in ticket.layers)


def test_only_linear_bottlenecks_and_what_adds_them_see_both_signs() -> None:
    model = small_network("mobilenet_v2")
    ticket = sslth.extract(model, inputs_for("mobilenet_v2"), width=4, low=0.0, progress=False)
    both = {kept.layer.name for kept in ticket.layers if not kept.layer.nonnegative}
    last = len(model.get_submodule("features")) - 1  # type: ignore[arg-type]
    assert both == {f"features.{number}.conv.0.0" for number in range(2, last)} | {f"features.{last}.0"}
    ticket = sslth.extract(small_network("resnet18"), inputs_for("resnet18"), width=4, low=0.0, progress=False)
    assert all(kept.layer.nonnegative for kept in ticket.layers)


def test_norms_before_the_relu_of_a_densenet_are_layers_of_their_own() -> None:
    ticket = sslth.extract(small_network("densenet"), inputs_for("densenet"), width=4, low=0.0, progress=False)
    alone = {kept.layer.name for kept in ticket.layers if kept.layer.wiring.kind == "batch_norm"}
    layers = [f"features.denseblock{block}.denselayer{layer}" for block in (1, 2) for layer in (1, 2)]
    assert alone == {f"{layer}.norm1" for layer in layers} | {"features.transition1.norm", "features.norm3"}
    assert ticket.folds == {f"{layer}.norm2": f"{layer}.conv1" for layer in layers} | {
        "features.norm0": "features.conv0"
    }


def test_a_norm_after_the_relu_is_a_layer_of_its_own() -> None:
    ticket = sslth.extract(small_network("cnn1d"), inputs_for("cnn1d"), width=4, low=0.0, progress=False)
    assert ticket.folds == {"bn1": "conv1", "bn3": "conv3"}
    assert [kept.layer.name for kept in ticket.layers if kept.layer.wiring.kind == "batch_norm"] == ["bn2"]


@pytest.mark.parametrize("name", ["cnn1d"])  # c5 of LeNet-5 has d = 3,000: no width that a test can afford reaches it
def test_a_ticket_of_a_trained_network_classifies_as_it_does(name: str) -> None:
    trained = trained_on_digits(name)
    assert trained.accuracy > 0.9
    x = trained.test_images
    ticket = sslth.extract(trained.model, x[:1], width=1024, low=0.0, progress=False)
    with torch.no_grad():
        same = trained.model(x).argmax(1) == ticket.to_module(merged=True)(x).argmax(1)
    assert float(same.double().mean()) >= 0.95
