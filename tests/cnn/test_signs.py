"""Layers that cannot see negative inputs are recognised, others are not."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslth.cnn.signs import nonnegative_inputs
from sslth.cnn.trace import trace


class Between(nn.Module):
    """A layer, something, and a layer whose input's sign is asked for."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.function = function
        self.second = nn.LazyConv2d(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.function(self.first(x)))  # type: ignore[operator]


def sees_nonnegative(function: object) -> bool:
    torch.manual_seed(0)
    x = torch.randn(2, 2, 6, 6)
    model = Between(function)
    model(x)
    traced = trace(model, x)
    assert traced.reason is None
    answers = nonnegative_inputs(traced, ["first", "second"], input_nonnegative=False)
    assert not answers["first"]
    return answers["second"]


YES = {
    "relu": F.relu,
    "module": nn.ReLU(),
    "relu6": nn.ReLU6(inplace=True),
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "softmax": lambda x: x.softmax(1),
    "hardsigmoid": nn.Hardsigmoid(),
    "abs": lambda x: x.abs(),
    "square": lambda x: x**2,
    "self product": lambda x: x * x,
    "exp": torch.exp,
    "clamp": lambda x: x.clamp(min=0.0),
    "pools": nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(2)),
    "shapes": lambda x: F.relu(x).transpose(2, 3).contiguous().view(x.size(0), 4, 9, 4).permute(0, 1, 3, 2),
    "sum": lambda x: F.relu(x) + torch.sigmoid(x) * 3,
    "cat": lambda x: torch.cat([x.relu(), x.abs()], 1),
    "gelu after relu": nn.Sequential(nn.ReLU(), nn.GELU(), nn.Tanh(), nn.LeakyReLU(), nn.ELU()),
    "pad": lambda x: F.pad(F.relu(x), (1, 1), value=0.5),
    "zero pad": nn.Sequential(nn.ReLU(), nn.ZeroPad2d(1), nn.Identity(), nn.Dropout()),
    "slice": lambda x: F.relu(x)[:, 1:],
    "maximum": lambda x: torch.maximum(x, x.relu()),
    "division": lambda x: x.relu() / 255,
    "mean": lambda x: x.relu().mean((2, 3), keepdim=True),
}
NO = {
    "nothing": lambda x: x,
    "tanh": torch.tanh,
    "gelu": F.gelu,
    "leaky": nn.LeakyReLU(),
    "batch norm": nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4)),
    "difference": lambda x: F.relu(x) - F.sigmoid(x),
    "negated": lambda x: -F.relu(x),
    "negative number": lambda x: F.relu(x) * -1.0,
    "half of a sum": lambda x: F.relu(x) + x,
    "half of a cat": lambda x: torch.cat([x.relu(), x], 1),
    "negative pad": lambda x: F.pad(F.relu(x), (1, 1), value=-0.5),
    "clamp below": lambda x: x.clamp(min=-1.0),
    "clamp above": lambda x: x.relu().clamp(max=-1.0),
    "log softmax": lambda x: F.log_softmax(x, 1),
    "bicubic": lambda x: F.interpolate(x.relu(), scale_factor=2, mode="bicubic"),
    "cube": lambda x: x**3,
    "unknown": lambda x: x.relu().roll(1, 2).log1p(),
}


@pytest.mark.parametrize("name", YES)
def test_nonnegative(name: str) -> None:
    assert sees_nonnegative(YES[name])


@pytest.mark.parametrize("name", NO)
def test_unknown_or_negative(name: str) -> None:
    assert not sees_nonnegative(NO[name])


class CalledTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.alias = self.layer
        self.unused = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(F.relu(self.alias(x)))


@pytest.mark.parametrize("input_nonnegative", [True, False])
def test_every_call_counts_under_every_name(input_nonnegative: bool) -> None:
    traced = trace(CalledTwice(), torch.ones(1, 3))
    answers = nonnegative_inputs(traced, ["layer", "alias", "unused"], input_nonnegative)
    assert answers == {"layer": input_nonnegative, "alias": input_nonnegative, "unused": False}


def test_without_a_graph_nothing_is_known() -> None:
    traced = trace(nn.Linear(3, 3), torch.ones(1, 2))
    assert nonnegative_inputs(traced, ["a"], input_nonnegative=True) == {"a": False}
