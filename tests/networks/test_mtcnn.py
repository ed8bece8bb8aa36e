"""The detector's networks: names and shapes of the published weights, ceil-mode pooling, the order of flattening."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import sslth
from sslth.networks.mtcnn import ONet, PNet, RNet, column_by_column, mtcnn

# The state dicts in the wheel facenet-pytorch 2.6.0.
PUBLISHED = {
    PNet: {
        "conv1": (10, 3, 3, 3), "prelu1": (10,), "conv2": (16, 10, 3, 3), "prelu2": (16,), "conv3": (32, 16, 3, 3),
        "prelu3": (32,), "conv4_1": (2, 32, 1, 1), "conv4_2": (4, 32, 1, 1),
    },
    RNet: {
        "conv1": (28, 3, 3, 3), "prelu1": (28,), "conv2": (48, 28, 3, 3), "prelu2": (48,), "conv3": (64, 48, 2, 2),
        "prelu3": (64,), "dense4": (128, 576), "prelu4": (128,), "dense5_1": (2, 128), "dense5_2": (4, 128),
    },
    ONet: {
        "conv1": (32, 3, 3, 3), "prelu1": (32,), "conv2": (64, 32, 3, 3), "prelu2": (64,), "conv3": (64, 64, 3, 3),
        "prelu3": (64,), "conv4": (128, 64, 2, 2), "prelu4": (128,), "dense5": (256, 1152), "prelu5": (256,),
        "dense6_1": (2, 256), "dense6_2": (4, 256), "dense6_3": (10, 256),
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", PUBLISHED)
def test_state_dict_is_the_published_one(kind: type[nn.Module]) -> None:
    expected = {}
    for name, shape in PUBLISHED[kind].items():
        expected[f"{name}.weight"] = shape
        if "prelu" not in name:
            expected[f"{name}.bias"] = shape[:1]
    found = {name: tuple(values.shape) for name, values in kind().state_dict().items()}
    assert found == expected
    assert list(found) == list(expected)


def test_pooling_rounds_up_and_windows_are_two_pixels_apart() -> None:
    torch.manual_seed(0)
    network = PNet().eval()
    image = torch.rand(1, 3, 17, 24)
    logits, offsets = network(image)
    # 17 x 24: 15 x 22, pooled up to 8 x 11, then 6 x 9 and 4 x 7
    assert logits.shape == (1, 2, 4, 7)
    assert offsets.shape == (1, 4, 4, 7)
    # a window inside the picture sees only its own twelve pixels
    alone, moved = network(image[:, :, 2:14, 6:18])
    torch.testing.assert_close(logits[:, :, 1, 3], alone[:, :, 0, 0])
    torch.testing.assert_close(offsets[:, :, 1, 3], moved[:, :, 0, 0])


def test_flattening_goes_by_columns_then_rows_then_channels() -> None:
    x = torch.arange(12.0).reshape(1, 2, 3, 2)  # channel, row, column
    expected = [float(x[0, c, h, w]) for w in range(2) for h in range(3) for c in range(2)]
    assert column_by_column(x)[0].tolist() == expected


@pytest.mark.parametrize(("index", "size", "heads"), [(0, 12, 2), (1, 24, 2), (2, 48, 3)])
def test_a_ticket_computes_all_heads(index: int, size: int, heads: int) -> None:
    torch.manual_seed(index)
    network = mtcnn()[index].eval()
    for module in network.modules():
        if isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, -0.5, 1.2)
    inputs = torch.rand(3, 3, size, size) * 2 - 1
    # solver and width only make it quick: what is tested is that the ticket is wired as the network is
    ticket = sslth.extract(network, inputs, 16, seed=1, solver="sorted_pursuit", progress=False)
    assert {kept.layer.name for kept in ticket.layers} == {
        name for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)
    }
    merged = ticket.to_module(merged=True)
    with torch.no_grad():
        pairs, sums = ticket.to_module()(inputs), merged(inputs)
        assert len(pairs) == len(sums) == heads
        for pair, total in zip(pairs, sums, strict=True):
            torch.testing.assert_close(pair, total, rtol=1e-3, atol=1e-3 * float(total.abs().max()))
    assert torch.equal(merged.prelu1.weight, network.prelu1.weight)


def test_small_ticket_of_pnet_is_close() -> None:
    torch.manual_seed(0)
    network = PNet().eval()
    inputs = torch.rand(20, 3, 12, 12) * 2 - 1
    ticket = sslth.extract(network, inputs, 4096, progress=False)
    with torch.no_grad():
        for target, found in zip(network(inputs), ticket.to_module(merged=True)(inputs), strict=True):
            assert float((found - target).norm() / target.norm()) < 0.1
