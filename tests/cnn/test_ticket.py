"""A ticket is what it says: the masked random network, the pruned pair and the merged network are one function."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sslth
from sslth.cnn.modules import PrunedPair, RandomPair
from sslth.cnn.torch_weights import draw_rows
from sslth.data.digits import Split
from sslth.errors import InvalidInputError
from sslth.subset_sum.random_weights import Part


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def masked_random_network(ticket: sslth.Ticket, model: nn.Module | None = None) -> nn.Module:
    """Mask the dense random network by hand: multiply its weights by `ticket.masks`."""
    network = ticket.random_network(model)
    for name, pair in pairs(network, RandomPair):
        masks = ticket.masks(name)
        filters = pair.v.shape[0]
        with torch.no_grad():
            pair.v.mul_(torch.from_numpy(masks.blocked[:filters]))
            pair.u.mul_(torch.from_numpy(masks.keep[:filters])[:, None, None, None])
            biases = filters + pair.constant_u.shape[0]
            pair.constant_u.mul_(torch.from_numpy(masks.keep[filters:biases])[:, None])
            if pair.constant_channel is None:
                assert masks.keep.size == biases
            else:
                pair.constant_channel.kernels.mul_(torch.from_numpy(masks.keep[biases:])[:, None, None, None])
    return network


def pairs(network: nn.Module, kind: type) -> Iterator[tuple[str, nn.Module]]:
    return ((name, module) for name, module in network.named_modules() if isinstance(module, kind))


@torch.no_grad()
def test_masked_random_network_equals_the_deployed_module_on_real_images(trained: nn.Module, digits: Split) -> None:
    ticket = sslth.extract(trained, digits.test_images[:1], width=64, low=0.0, high=1.0, progress=False)
    images = digits.test_images[:100]
    masked = masked_random_network(ticket).double()(images.double())
    assert relative(ticket.to_module().double()(images.double()), masked) < 1e-12
    assert relative(ticket.to_module()(images).double(), masked) < 1e-5
    assert relative(ticket.to_module(merged=True)(images).double(), masked) < 1e-5
    # the unmasked one is another function, so the equality above says something
    assert relative(ticket.random_network().double()(images.double()), masked) > 0.1


@torch.no_grad()
def test_prune_does_what_masking_by_hand_does(trained: nn.Module, digits: Split) -> None:
    ticket = sslth.extract(trained, digits.test_images[:1], width=16, low=0.0, high=1.0, progress=False)
    network = ticket.random_network()
    for name, pair in pairs(network, RandomPair):
        masks = ticket.masks(name)
        pair.prune(masks.blocked, masks.keep)
    images = digits.test_images[:10]
    assert torch.equal(network(images), masked_random_network(ticket)(images))


@torch.no_grad()
def test_random_weights_are_those_of_the_seed(ticket: sslth.Ticket) -> None:
    small = sslth.extract(ticket.model, torch.zeros(1, 1, 8, 8), width=8, seed=9, low=0.0, high=1.0, progress=False)
    pair = dict(pairs(small.random_network(), RandomPair))["conv2"]
    v = pair.v.reshape(8, 16, 8)  # channel, filter, input channel
    u = pair.u.reshape(8, 16, 16 * 9)
    for channel in (0, 5):
        t = torch.arange(16)
        assert torch.equal(v[channel], draw_rows(9, 1, Part.V, channel, t, 8))
        assert torch.equal(u[channel], draw_rows(9, 1, Part.U, channel, t, 144))


@torch.no_grad()
def test_both_signs_own_forward_and_a_layer_used_twice(skipping: nn.Module) -> None:
    x = torch.rand(20, 2, 9, 7) * 2 - 1
    ticket = sslth.extract(skipping, x[:1], width=512, seed=3, progress=False)
    assert [kept.layer.nonnegative for kept in ticket.layers] == [False, False, False]
    expected = skipping(x)
    assert relative(ticket.to_module()(x), expected) < 0.05
    assert relative(ticket.to_module(merged=True)(x), ticket.to_module()(x)) < 1e-5
    small = sslth.extract(skipping, x[:1], width=32, seed=3, progress=False)
    assert relative(masked_random_network(small)(x), small.to_module()(x)) < 1e-5


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("groups", [1, 2])
@torch.no_grad()
def test_convolutions_of_every_wiring(padding_mode: str, groups: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(
            4, 6, (3, 2), stride=(1, 2), padding=(2, 1), dilation=(2, 1), groups=groups, padding_mode=padding_mode
        )
    )
    x = torch.randn(5, 4, 8, 9).clamp(-1, 1)
    ticket = sslth.extract(model, x, width=400, progress=False)
    assert relative(ticket.to_module()(x), model(x)) < 0.05
    assert relative(ticket.to_module(merged=True)(x), ticket.to_module()(x)) < 1e-5
    small = sslth.extract(model, x, width=20, progress=False)
    assert relative(masked_random_network(small)(x), small.to_module()(x)) < 1e-5


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("padding_mode", ["zeros", "circular"])
@torch.no_grad()
def test_padding_by_name(padding: str, padding_mode: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, (5, 3), padding=padding, dilation=(1, 2), padding_mode=padding_mode))
    x = torch.rand(2, 2, 9, 9)
    ticket = sslth.extract(model, x, width=1000, low=0, high=1, progress=False)
    assert ticket.to_module()(x).shape == model(x).shape
    assert relative(ticket.to_module()(x), model(x)) < 0.05


@torch.no_grad()
def test_tiles_do_not_change_the_function(ticket: sslth.Ticket, digits: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    images = digits.test_images[:8]
    whole = ticket.to_module().double()(images.double())
    monkeypatch.setattr("sslth.cnn.modules._TILE_BYTES", 8 * 8 * 8 * 8 * 11)
    assert relative(ticket.to_module().double()(images.double()), whole) < 1e-13


def test_pruned_pair_holds_no_masks_and_only_kept_filters(ticket: sslth.Ticket) -> None:
    for name, pair in pairs(ticket.to_module(), PrunedPair):
        masks = ticket.masks(name)
        taps = 0 if pair.constant_channel is None else pair.constant_channel.scales.numel()
        assert pair.scales.numel() + pair.constant_scales.numel() + taps == masks.keep.sum()
        assert masks.blocked.shape == (masks.keep.size, pair.wiring.in_channels)
        assert masks.blocked.sum(axis=1).max() == 1
    assert ticket.kept_filters == sum(ticket.masks(kept.layer.name).keep.sum() for kept in ticket.layers)
    assert ticket.total_filters == sum(ticket.masks(kept.layer.name).keep.size for kept in ticket.layers)


def test_only_filters_with_a_positive_scale_are_kept_where_inputs_are_not_negative(ticket: sslth.Ticket) -> None:
    for kept in ticket.layers:
        assert kept.layer.nonnegative
        for block, filters in kept.blocks(ticket.seed):
            assert (block.scales(filters) > 0).all()


def test_merged_layers_are_the_exact_kept_sums(ticket: sslth.Ticket) -> None:
    kept = ticket.layers[1]
    merged = ticket.merged_layers()[kept.layer.name]
    block, filters = kept.blocks(ticket.seed)[3]
    from fractions import Fraction

    for entry in (0, 77):
        exact = sum(Fraction(x) for x in block.rows(filters, block.scales(filters))[:, entry]) / Fraction(
            kept.layer.gain
        )
        o, tap = divmod(entry, 9)
        found = float(merged.positive[o, 3].flatten()[tap])
        radius = float(merged.positive_radius[o, 3].flatten()[tap])
        assert abs(Fraction(found) - exact) <= Fraction(radius)
        assert radius <= 1e-15 * max(1.0, abs(found))


def test_summary_and_repr(ticket: sslth.Ticket) -> None:
    import json

    summary = json.loads(json.dumps(ticket.summary()))
    assert summary["kept_filters"] == ticket.kept_filters
    assert [layer["name"] for layer in summary["layers"]] == ["conv1", "conv2", "linear"]
    assert [layer["d"] for layer in summary["layers"]] == [72, 144, 10]
    # one an input channel, one for the bias, one for the constant channel where padding shows
    assert [layer["blocks"] for layer in summary["layers"]] == [3, 10, 65]
    assert f"kept_filters={ticket.kept_filters}" in repr(ticket)


def test_wrong_layer_and_wrong_model(ticket: sslth.Ticket, skipping: nn.Module, trained: nn.Module) -> None:
    with pytest.raises(InvalidInputError, match="no layer 'conv9'"):
        ticket.masks("conv9")
    with pytest.raises(InvalidInputError, match="not the ticket's network"):
        ticket.to_module(skipping)
    other = nn.Sequential(*trained.children())
    with pytest.raises(InvalidInputError, match="has no layer 'conv1'"):
        ticket.to_module(other)


def test_dense_random_network_of_a_huge_width_is_refused_before_allocating(ticket: sslth.Ticket) -> None:
    import dataclasses

    wide = dataclasses.replace(
        ticket,
        layers=tuple(
            dataclasses.replace(kept, layer=dataclasses.replace(kept.layer, width=10**7)) for kept in ticket.layers
        ),
    )
    with pytest.raises(InvalidInputError, match="GiB"):
        wide.random_network()


def test_nothing_kept_still_computes_zeros_of_the_right_shape() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), nn.Flatten(), nn.Linear(3, 2, bias=False))
    with torch.no_grad():
        for weights in model.parameters():
            weights.zero_()
    ticket = sslth.extract(model, torch.zeros(1, 2, 3, 3), width=4, progress=False)
    assert ticket.kept_filters == 0
    assert np.array_equal(ticket.to_module()(torch.rand(2, 2, 3, 3)).numpy(), np.zeros((2, 2)))


@torch.no_grad()
def test_a_float64_model_gives_float64_modules() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)).double()
    x = torch.rand(3, 1, 4, 4, dtype=torch.float64)
    ticket = sslth.extract(model, x, width=600, low=0.0, high=1.0, progress=False)
    assert relative(ticket.to_module()(x), model(x)) < 0.01
    assert relative(ticket.to_module(merged=True)(x), ticket.to_module()(x)) < 1e-13
