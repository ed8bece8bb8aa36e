"""docs/format.md says enough: a reader written from it alone rebuilds the kernels of every kind of layer."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

import sslth
from sslth.cnn.kept_filters import KeptFilters
from sslth.cnn.kept_layer import KeptLayer
from sslth.subset_sum.kernels.normal import CENTRAL_BITS, LOG2_BITS, TAIL_BITS

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "format.md"


@pytest.fixture(scope="module")
def reader() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reader_from_the_page", HERE / "reader_from_the_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def network(kind: str) -> tuple[nn.Module, tuple[int, ...]]:
    torch.manual_seed(7)
    norm = nn.BatchNorm2d(4)
    assert norm.running_mean is not None
    norm.running_mean.normal_(0, 0.3)
    layers: dict[str, tuple[list[nn.Module], tuple[int, ...]]] = {
        "conv1d": ([nn.Conv1d(2, 4, 3, padding="same"), nn.ReLU(), nn.Conv1d(4, 2, 3, stride=2)], (2, 9)),
        "folded": (
            [nn.Conv2d(2, 4, 3, padding=1, groups=2, bias=False), norm, nn.ReLU(), nn.Conv2d(4, 2, 1)],
            (2, 5, 5),
        ),
        "norm alone": ([nn.Tanh(), norm, nn.Conv2d(4, 2, (1, 2))], (4, 3, 3)),
        "conv3d": ([nn.Conv3d(2, 2, 2, dilation=2)], (2, 4, 4, 4)),
        "transposed": ([nn.ConvTranspose2d(4, 6, (2, 3), stride=2, groups=2)], (4, 3, 3)),
        "carried over": ([nn.Linear(4, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 2)], (4,)),
    }
    modules, shape = layers[kind]
    return nn.Sequential(*modules).eval(), shape


def compare(reader: ModuleType, ticket: sslth.Ticket, path: Path) -> None:
    ticket.save(path)
    found = reader.merged_kernels(path)
    expected = ticket.merged_layers()
    assert list(found) == list(expected)
    for name, layer in expected.items():
        parts = {part: getattr(layer, part) for part in ("positive", "negative", "bias", "taps")}
        parts = {part: values.numpy() for part, values in parts.items() if values is not None}
        assert set(found[name]) == set(parts)
        for part, values in parts.items():
            assert found[name][part].shape == values.shape
            assert np.abs(found[name][part] - values).max() <= 1e-12 * np.abs(values).max()
        assert any(values.any() for values in parts.values())


@pytest.mark.parametrize("kind", ["conv1d", "folded", "norm alone", "conv3d", "transposed", "carried over"])
def test_a_stranger_rebuilds_the_kernels(kind: str, reader: ModuleType, tmp_path: Path) -> None:
    model, shape = network(kind)
    carried = {"1"} if kind == "carried over" else set()
    ticket = sslth.extract(
        model,
        torch.rand(2, *shape),
        width=48,
        seed=2**40 + 5,
        carry_over=carried,
        solver="sorted_pursuit",
        progress=False,
    )
    compare(reader, ticket, tmp_path / "ticket.safetensors")


@pytest.mark.parametrize("law", ["uniform", "kaiming"])
def test_a_stranger_rebuilds_other_laws(law: str, reader: ModuleType, tmp_path: Path) -> None:
    model, shape = network("folded")
    ticket = sslth.extract(
        model, torch.rand(2, *shape), width=48, low=0.0, source=law, solver="sorted_pursuit", progress=False
    )
    compare(reader, ticket, tmp_path / "ticket.safetensors")


def test_a_stranger_rebuilds_a_constant_channel_and_an_added_bias(reader: ModuleType, tmp_path: Path) -> None:
    model, shape = network("folded")
    ticket = sslth.extract(model, torch.rand(2, *shape), width=48, solver="sorted_pursuit", progress=False)
    layers = []
    for kept in ticket.layers:
        numbers = [np.array([group, 7, 300], dtype=np.uint32) for group in range(kept.layer.wiring.groups)]
        layer = dataclasses.replace(kept.layer, tap_constants=400, tap_value=0.25)
        layers.append(KeptLayer(layer, kept.channels, kept.constants, tuple(map(KeptFilters.of, numbers))))
    compare(reader, dataclasses.replace(ticket, layers=tuple(layers)), tmp_path / "ticket.safetensors")


def test_a_stranger_finds_a_flipped_bit(reader: ModuleType, tmp_path: Path) -> None:
    model, shape = network("conv3d")
    path = tmp_path / "ticket.safetensors"
    sslth.extract(model, torch.rand(2, *shape), width=48, solver="sorted_pursuit", progress=False).save(path)
    content = bytearray(path.read_bytes())
    content[-3] ^= 16
    path.write_bytes(content)
    with pytest.raises(ValueError, match="checksum"):
        reader.read_file(path)


def test_the_reader_imports_nothing_of_ours() -> None:
    tree = ast.parse((HERE / "reader_from_the_page.py").read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    allowed = sys.stdlib_module_names | {"numpy"}
    assert {name.split(".")[0] for name in imported} <= allowed


def test_the_page_has_the_coefficients_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for bits in (*LOG2_BITS, *CENTRAL_BITS, *TAIL_BITS):
        assert f"{bits:08X}" in page
