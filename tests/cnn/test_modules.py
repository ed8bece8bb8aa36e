"""The pruned pair where nothing, or next to nothing, is kept."""

from __future__ import annotations

import torch
from torch import nn

from sslth.cnn.layers import wiring_of
from sslth.cnn.modules import PrunedPair


def test_a_group_that_keeps_nothing_gives_zeros() -> None:
    torch.manual_seed(0)
    for module in (nn.Conv2d(3, 6, 3, groups=3, bias=False), nn.ConvTranspose2d(3, 6, 3, groups=3, bias=False)):
        wiring = wiring_of(module)
        x, scales, kernels = torch.randn(2, 3, 5, 5), torch.tensor([0.5, 2.0]), torch.randn(2, 2, 3, 3)
        none = torch.empty(0), torch.empty(0, 6)
        pair = PrunedPair(wiring, 4.0, torch.tensor([0, 2]), scales, kernels, *none)  # channel 1 is a group of its own
        with torch.no_grad():
            for channel, (scale, kernel) in enumerate(zip(scales, kernels, strict=True)):
                weight = torch.zeros_like(module.weight)
                place = 2 * channel
                if isinstance(module, nn.ConvTranspose2d):
                    weight[place] = scale * kernel / 4
                else:
                    weight[2 * place : 2 * place + 2, 0] = scale * kernel / 4
                module.weight.copy_(weight)
                outputs = slice(2 * place, 2 * place + 2)
                torch.testing.assert_close(pair(x)[:, outputs], module(torch.relu(x))[:, outputs], rtol=1e-5, atol=1e-6)
            assert not pair(x)[:, 2:4].any()
