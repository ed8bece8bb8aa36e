"""What users pass, checked: devices by name."""

from __future__ import annotations

import warnings

import pytest
import torch

from sslth.cnn import arguments
from sslth.cnn.arguments import resolve_device
from sslth.errors import InvalidInputError


@pytest.mark.parametrize("device", ["", "abacus", "cuda:-1", "cuda:99", "meta", "hpu"])
def test_a_device_that_cannot_be_used_is_one_sentence(device: str) -> None:
    with pytest.raises(InvalidInputError, match=f"device '{device}' cannot be used .*; try 'cpu'") as caught:
        resolve_device(device)
    assert "\n" not in str(caught.value)


def test_cuda_where_there_is_none() -> None:
    if torch.cuda.is_available():
        assert resolve_device("cuda").type == resolve_device("auto").type == "cuda"
        return
    assert resolve_device("auto") == torch.device("cpu")
    with pytest.raises(InvalidInputError, match="device 'cuda' cannot be used"):
        resolve_device("cuda")


def test_an_old_driver_is_one_sentence_and_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def zeros(*_: object, **__: object) -> torch.Tensor:
        warnings.warn("CUDA initialization: the driver is too old", UserWarning, stacklevel=2)
        raise RuntimeError("The NVIDIA driver on your system is too old\n(found version 9000).")

    monkeypatch.setattr(arguments.torch, "zeros", zeros)
    with pytest.raises(InvalidInputError, match=r"too old \(found version 9000\)") as caught:
        resolve_device("cuda")
    assert "\n" not in str(caught.value)
