"""MNIST-1D: by a stand-in of the documented interface, and by the package itself where it is installed."""

# ruff: noqa: NPY002 - the package draws from the global generators
from __future__ import annotations

import random
import sys
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from sslth.data.load import load_splits
from sslth.data.mnist1d import mnist1d_splits
from sslth.errors import InvalidInputError


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """`mnist1d.data` with get_dataset_args and make_dataset, which seeds the global generators as the package does."""

    def get_dataset_args(as_dict: bool = False) -> SimpleNamespace:
        assert not as_dict
        return SimpleNamespace(num_samples=5000, train_split=0.8, seed=42, final_seq_length=40)

    def make_dataset(args: SimpleNamespace) -> dict[str, np.ndarray]:
        random.seed(args.seed)
        np.random.seed(args.seed)
        labels = np.random.permutation(np.arange(args.num_samples) % 10)
        signals = np.random.randn(args.num_samples, args.final_seq_length) + labels[:, None]
        cut = int(args.num_samples * args.train_split)
        return {"x": signals[:cut], "x_test": signals[cut:], "y": labels[:cut], "y_test": labels[cut:]}

    data = ModuleType("mnist1d.data")
    data.__dict__.update(get_dataset_args=get_dataset_args, make_dataset=make_dataset)
    package = ModuleType("mnist1d")
    package.__dict__.update(data=data, __path__=[])
    monkeypatch.setitem(sys.modules, "mnist1d", package)
    monkeypatch.setitem(sys.modules, "mnist1d.data", data)


@pytest.mark.usefixtures("stand_in")
def test_three_parts_by_seed_and_no_trace_in_global_generators() -> None:
    states = random.getstate(), np.random.get_state()
    splits = mnist1d_splits(examples=500)
    assert random.getstate() == states[0]
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), states[1], strict=True))
    assert [len(part) for _, part in splits.parts()] == [320, 80, 100]
    assert splits.train.inputs.shape == (320, 1, 40)
    assert splits.train.inputs.dtype is torch.float32
    assert splits.classes == 10
    assert splits.fingerprint() == mnist1d_splits(examples=500).fingerprint()
    assert splits.fingerprint() != mnist1d_splits(examples=500, seed=1).fingerprint()
    assert len(load_splits("mnist1d").test) == 1000
    with pytest.raises(InvalidInputError, match="examples is 50"):
        mnist1d_splits(examples=50)


def test_a_missing_package_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "mnist1d"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mnist1d", None)
    with pytest.raises(InvalidInputError, match=r"pip install \"sslth\[mining\]\""):
        mnist1d_splits()


@pytest.mark.usefixtures("stand_in")
def test_a_broken_package_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mnist1d.data", ModuleType("mnist1d.data"))
    with pytest.raises(InvalidInputError, match="cannot be imported"):
        mnist1d_splits()


@pytest.mark.skipif(find_spec("mnist1d") is None, reason="the extra is not installed")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_package_itself() -> None:
    splits = mnist1d_splits(examples=500)
    assert splits.train.inputs.shape[1:] == (1, 40)
    assert splits.fingerprint() == mnist1d_splits(examples=500).fingerprint()
