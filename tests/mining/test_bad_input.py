"""One sentence for everything that cannot be; and the package stays light."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

import sslth.mining
from sslth.data.splits import Splits
from sslth.errors import InvalidInputError
from sslth.mining import mine

Build = Callable[[], nn.Module]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keep": 0.0}, "keep is 0.0"),
        ({"keep": 1.01}, "keep is 1.01"),
        ({"keep": math.nan}, "keep is nan"),
        ({"keep": 1e-5}, "is none"),
        ({"epochs": -1}, "epochs is -1"),
        ({"finetune_epochs": 1.5}, "epochs is 1.5"),
        ({"device": "abacus"}, "no device 'abacus'"),
        ({"method": "nonsense"}, "no method 'nonsense'"),
        ({"on_empty": "hope"}, "on_empty is 'hope'"),
        ({"method": "edge_popup", "keep": 0.004}, "empties 5.weight|empties 6.weight"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str, mlp: Build, blobs: Splits) -> None:
    arguments = {"method": "random", "epochs": 0, **arguments}
    with pytest.raises(InvalidInputError, match=message):
        mine(mlp, blobs, arguments.pop("method"), **arguments)


def test_models_that_do_not_fit_the_data(blobs: Splits) -> None:
    with pytest.raises(InvalidInputError, match="labels go up to 2, but the model has 2 outputs"):
        mine(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), blobs, "random")
    with pytest.raises(InvalidInputError, match="does not take inputs of shape"):
        mine(nn.Linear(5, 3), blobs, "random")
    with pytest.raises(InvalidInputError, match="one row of class scores"):
        mine(nn.Conv2d(1, 3, 3), blobs, "random")
    with pytest.raises(InvalidInputError, match=r"a torch\.nn\.Module is needed"):
        mine(lambda: "network", blobs, "random")  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("name", sslth.mining.__all__)
def test_public_names_exist_and_are_documented(name: str) -> None:
    assert getattr(sslth.mining, name).__doc__
    assert name in dir(sslth.mining)


def test_the_package_is_light_until_it_is_used() -> None:
    script = "import sys, sslth.mining; print([n for n in ('torch', 'numpy', 'sslth.cnn') if n in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert loaded.strip() == "[]"
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = sslth.mining.nonsense
