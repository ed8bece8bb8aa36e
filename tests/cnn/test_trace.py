"""Traces are checked against the model, and every failure carries one sentence."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslth.cnn.trace import canonical_names, operation_name, tensors_of, trace


class Forward(nn.Module):
    def __init__(self, function: object) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.function = function

    def forward(self, x: Tensor) -> object:
        return self.function(self.layer, x)  # type: ignore[operator]


def counted(layer: nn.Module, x: Tensor) -> Tensor:
    layer.calls = getattr(layer, "calls", 0) + 1  # type: ignore[assignment]
    return x * layer.calls


def overwritten(layer: nn.Module, x: Tensor) -> Tensor:
    y = layer(x)
    view = y.view(-1, 3)
    return F.relu(y, inplace=True) + view


def augmented(layer: nn.Module, x: Tensor) -> Tensor:
    y = layer(x)
    z = y[:, 0]
    y += 1
    return y.sum(1) + z


GOOD = {
    "plain": lambda layer, x: F.relu(layer(x)),
    "tuple": lambda layer, x: (layer(x), [x]),
    "dict": lambda layer, x: {"a": layer(x)},
    "overwrites what nobody reads": lambda layer, x: layer(x).relu_().view(-1),
    "fresh copy": lambda layer, x: F.relu(layer(x).clone(), inplace=True) + x,
}
BAD = {
    "control flow": (lambda layer, x: layer(x) if x.sum() > 0 else x, "cannot be traced"),
    "no tensor": (lambda _, x: x.ndim, "something else than tensors"),
    "random": (lambda layer, x: layer(x) + torch.randn(3), "something else than the model"),
    "state": (counted, "something else than the model"),
    "fails": (lambda layer, x: layer(x[:, :2]), "fails at the example"),
    "nan": (lambda layer, x: layer(x) / 0 * 0, "not finite"),
    "overwritten": (overwritten, "overwrites in place"),
    "augmented": (augmented, "something else than the model"),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_forward_has_a_graph(name: str) -> None:
    model = Forward(GOOD[name])
    x = torch.ones(2, 3)
    traced = trace(model, x)
    assert traced.reason is None
    assert traced.graph_module is not None
    found, wanted = tensors_of(traced.graph_module(x.clone())), tensors_of(model(x.clone()))
    assert found is not None
    assert wanted is not None
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("name", BAD)
def test_a_bad_forward_has_a_reason(name: str) -> None:
    function, words = BAD[name]
    traced = trace(Forward(function), torch.ones(2, 3))
    assert traced.graph_module is None
    assert traced.reason is not None
    assert words in traced.reason
    assert "\n" not in traced.reason


def test_the_model_is_left_alone() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(), nn.ReLU(inplace=True)).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    x = torch.ones(2, 3)
    assert trace(model, x).reason is None
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(x, torch.ones(2, 3))


def test_shared_modules_have_one_canonical_name() -> None:
    layer = nn.Linear(2, 2)
    assert canonical_names(nn.ModuleDict({"a": layer, "b": nn.Sequential(layer)}))["b.0"] == "a"


def test_a_function_named_like_torchs_is_not_torchs() -> None:
    traced = trace(nn.Sequential(nn.Linear(3, 3), nn.ReLU()), torch.ones(1, 3))
    assert traced.graph_module is not None
    graph = traced.graph_module.graph

    def relu(x: Tensor) -> Tensor:
        return -x

    assert operation_name(graph.call_function(relu)) is None
    assert operation_name(graph.call_function(torch.relu_)) == "relu"
    assert operation_name(graph.call_method("relu_")) == "relu"


def test_hooks_and_patched_forwards_are_refused() -> None:
    hooked = nn.Sequential(nn.Linear(3, 3))
    hooked[0].register_forward_hook(lambda *call: 2 * call[-1])
    patched = nn.Sequential(nn.Linear(3, 3))
    patched[0].forward = lambda x: -x  # type: ignore[method-assign]
    assert "hooks" in str(trace(hooked, torch.ones(1, 3)).reason)
    assert "replaced" in str(trace(patched, torch.ones(1, 3)).reason)
