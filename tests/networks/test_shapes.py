"""Names, shapes and sizes: torchvision's state dicts load, and every network has what was published of it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from small_networks import NORMS, SMALL, inputs_for, small_network

from sslth import networks

# made by rule from the published architectures and torchvision's names; the totals below are torchvision's
STORED: dict[str, dict[str, list[int]]] = json.loads(
    (Path(__file__).parent / "torchvision_shapes.json").read_text(encoding="utf-8")
)
PARAMETERS = {
    "resnet18": 11_689_512,
    "vgg11_bn": 132_868_840,
    "mobilenet_v2": 3_504_872,
    "squeezenet1_0": 1_248_424,
    "squeezenet1_1": 1_235_496,
    "densenet121": 7_978_856,
}


def test_every_list_is_checked() -> None:
    assert STORED.keys() == PARAMETERS.keys()


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_stored_list_has_as_many_parameters_as_were_published(name: str) -> None:
    trained = [shape for entry, shape in STORED[name].items() if not entry.endswith(("mean", "var", "tracked"))]
    assert sum(math.prod(shape) for shape in trained) == PARAMETERS[name]


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_state_dict_is_torchvisions(name: str) -> None:
    with torch.device("meta"):
        found = getattr(networks, name)().state_dict()
    assert {entry: list(values.shape) for entry, values in found.items()} == STORED[name]
    assert list(found) == list(STORED[name])


def test_resnet20_counts_as_the_paper_does() -> None:
    model = networks.resnet20()
    # a stem, three stages of six convolutions, a linear layer: weights, batch norms, the bias
    kernels = 9 * (3 * 16 + 6 * 16**2 + 16 * 32 + 5 * 32**2 + 32 * 64 + 5 * 64**2) + 64 * 10
    norms = 2 * (7 * 16 + 6 * 32 + 6 * 64)
    assert sum(values.numel() for values in model.parameters()) == kernels + norms + 10 == 269_722
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_resnet20_shortcuts_append_channels_of_zeros() -> None:
    shortcut = networks.resnet20().get_submodule("layer2.0.downsample")
    x = torch.rand(1, 16, 4, 4)
    out = shortcut(x)
    assert torch.equal(out[:, :16], x[:, :, ::2, ::2])
    assert out.shape == (1, 32, 2, 2)
    assert not out[:, 16:].any()


@pytest.mark.parametrize("name", SMALL)
def test_a_small_version_computes_and_its_statistics_are_its_own(name: str) -> None:
    model = small_network(name)
    x = inputs_for(name)
    with torch.no_grad():
        out = model(x)
    assert out.shape == (8, 4)
    assert bool(torch.isfinite(out).all())
    assert float(out.std(dim=0).max()) > 0  # it sees its input
    for module in model.modules():
        if isinstance(module, NORMS):
            assert module.running_mean is not None
            assert module.running_var is not None
            assert float(module.running_mean.abs().max()) > 1e-3
            assert not torch.allclose(module.running_var, torch.ones(()), atol=1e-2)
