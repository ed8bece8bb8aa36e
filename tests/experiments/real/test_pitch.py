"""Frames, and the pitch that activations stand for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from sslth.experiments.real.pitch import FRAME_LIMIT, cents_of, decode, frames_of, hertz_of, track_pitch
from sslth.experiments.real.sounds import chords, sweep, synthetic_sounds

FIRST = 1997.3794084376191


def plain_decode(activations: list[float]) -> float:
    top = max(range(360), key=lambda b: activations[b])
    near = [b for b in range(360) if abs(b - top) <= 4]
    return sum(activations[b] * (FIRST + 20.0 * b) for b in near) / sum(activations[b] for b in near)


@pytest.mark.parametrize("centre", [0.0, 1.7, 5.5, 100.3, 355.9, 359.0])
def test_decoding_equals_its_plain_twin_and_finds_a_bump(centre: float) -> None:
    bump = np.exp(-0.5 * ((np.arange(360) - centre) / 1.25) ** 2)
    cents, confidence = decode(bump[None])
    assert cents[0] == pytest.approx(plain_decode(bump.tolist()), abs=1e-9)
    assert confidence[0] == bump.max()
    if 5 <= centre <= 354:  # a bump that is cut off at the end of the scale has its mean elsewhere
        assert cents[0] == pytest.approx(FIRST + 20 * centre, abs=0.2)


def test_only_bins_around_the_largest_count() -> None:
    activations = np.zeros((1, 360))
    activations[0, 50], activations[0, 200], activations[0, 204], activations[0, 205] = 0.8, 0.9, 0.3, 0.85
    cents, _ = decode(activations)
    assert cents[0] == pytest.approx(FIRST + 20 * (0.9 * 200 + 0.3 * 204) / 1.2)


def test_silence_is_a_number() -> None:
    cents, confidence = decode(np.zeros((2, 360)))
    assert np.isfinite(cents).all()
    assert confidence.tolist() == [0.0, 0.0]


def test_cents_and_hertz_are_inverse() -> None:
    hertz = np.array([31.7, 440.0, 1975.5])
    np.testing.assert_allclose(hertz_of(cents_of(hertz)), hertz, rtol=1e-12)
    assert cents_of(np.array([880.0]))[0] - cents_of(np.array([440.0]))[0] == pytest.approx(1200.0)


def test_frames_are_normalised_and_centred() -> None:
    rng = np.random.default_rng(0)
    sound = rng.normal(size=4000) * 5 + 2
    frames = frames_of(sound, hop=200)
    assert frames.dtype == torch.float32
    assert frames.shape == (21, 1024)
    assert float(frames.mean(dim=1).abs().max()) < 1e-6
    np.testing.assert_allclose(frames.std(dim=1, unbiased=False).numpy(), 1.0, rtol=1e-5)
    middle = sound[2000 - 512 : 2000 + 512]
    np.testing.assert_allclose(frames[10].numpy(), (middle - middle.mean()) / middle.std(), rtol=1e-4, atol=1e-5)


def test_no_frame_leaves_the_box() -> None:
    click = np.zeros(3000)
    click[1500] = 1e6
    largest = float(frames_of(click, hop=16).abs().max())
    assert largest == pytest.approx(np.sqrt(1023), rel=1e-4)
    assert largest <= FRAME_LIMIT
    assert float(frames_of(np.zeros(3000)).abs().max()) == 0.0


def test_tracker_reads_what_the_network_says() -> None:
    def counting_network(frames: Tensor) -> Tensor:
        """Its logits peak at the bin that the zero crossings of a frame ask for."""
        crossings = ((frames[:, 1:] > 0) != (frames[:, :-1] > 0)).sum(dim=1)
        hertz = crossings.double() / 2 / (1023 / 16000)
        bins = (1200 * torch.log2(hertz / 10) - FIRST) / 20
        return 5.0 - 2.0 * (torch.arange(360) - bins[:, None]) ** 2

    sound = sweep("steady", 500.0, 500.0, 0.5, partials=1)
    track = track_pitch(sound.samples, counting_network)
    assert len(track.cents) == 51
    assert np.abs(track.cents[5:-5] - cents_of(np.array([500.0]))).max() < 60  # one crossing more or less in 64
    assert track.seconds[10] == pytest.approx(0.1)


def test_sounds_have_the_frequencies_they_say() -> None:
    tone = sweep("steady", 250.0, 250.0, 1.0, partials=3)
    spectrum = np.abs(np.fft.rfft(tone.samples))
    assert sorted(np.argsort(spectrum)[-3:].tolist()) == [250, 500, 750]
    assert spectrum[500] / spectrum[250] == pytest.approx(0.5, rel=1e-6)
    chord = chords("two", [(200.0, 300.0), (400.0, 500.0)], 1.0, partials=1)
    second = np.abs(np.fft.rfft(chord.samples[16000:]))
    assert sorted(np.argsort(second)[-2:].tolist()) == [400, 500]
    assert second[400] / second[500] == pytest.approx(2.0, rel=1e-6)
    for sound in synthetic_sounds():
        assert sound.hertz.shape[1] == len(sound.samples)
        assert (sound.hertz > 31.7).all()
        assert (sound.hertz < 1975.5).all()  # the pitches that the network knows
