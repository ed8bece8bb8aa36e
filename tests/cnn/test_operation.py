"""The two ways to convolve many channels into few give the same sums."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sslth.cnn.layers import wiring_of
from sslth.cnn.operation import convolve, convolve_many, pad_input

LAYERS = {
    "plain": nn.Conv2d(1, 4, 3),
    "padded": nn.Conv2d(1, 4, 3, padding=1),
    "padded more than it reaches": nn.Conv2d(1, 4, 3, padding=3),
    "padded by name": nn.Conv2d(1, 4, 3, padding="same"),
    "dilated, oblong": nn.Conv2d(1, 4, (2, 3), padding=(0, 2), dilation=(2, 3)),
    "strided": nn.Conv2d(1, 4, 3, padding=1, stride=2),
    "reflected": nn.Conv2d(1, 4, 3, padding=1, padding_mode="reflect"),
    "1-D": nn.Conv1d(1, 4, 5, padding=2),
    "3-D": nn.Conv3d(1, 4, 2, padding=1),
    "transposed": nn.ConvTranspose2d(1, 4, 3, stride=2, padding=1, output_padding=1),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", list(LAYERS))
def test_many_channels_into_few(name: str, dtype: torch.dtype) -> None:
    wiring = wiring_of(LAYERS[name])
    rank = len(wiring.kernel_size)
    drawn = torch.Generator().manual_seed(0)
    x = pad_input(torch.randn(2, 50, *(9, 7, 6)[:rank], generator=drawn, dtype=dtype), wiring)
    kernel = torch.randn(50, 4, *wiring.kernel_size, generator=drawn, dtype=dtype)
    plain = convolve(x, kernel if wiring.transposed else kernel.transpose(0, 1), wiring, groups=1)
    found = convolve_many(x, kernel, wiring)
    assert found.shape == plain.shape
    assert torch.allclose(found, plain, rtol=0.0, atol=1e-4 if dtype == torch.float32 else 1e-12)
