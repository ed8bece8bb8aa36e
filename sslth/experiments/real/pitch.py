"""The pitch tracker around CREPE: frames of a sound, and the pitch that 360 activations stand for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["FRAME_LIMIT", "RATE", "Track", "cents_of", "decode", "frames_of", "hertz_of", "track_pitch"]

FloatArray = npt.NDArray[np.float64]

RATE = 16_000  # samples a second
FRAME = 1024
HOP = 160  # ten milliseconds
FRAME_LIMIT = 32.0  # no entry of a normalised frame is larger: sqrt(1023) is the most, for a single click
_FIRST_CENTS, _CENTS_PER_BIN = 1997.3794084376191, 20.0  # above 10 Hz: 31.7 Hz, near the lowest C of a piano
_AT_ONCE = 64
_REACH = 4  # bins on either side of the largest


@dataclass(frozen=True, eq=False)
class Track:
    """The pitch of a sound over time.

    Attributes
    ----------
    seconds : float64[frames]
        The frames' middles.
    cents : float64[frames]
        Above 10 Hz.
    confidence : float64[frames]
        The largest activation.
    """

    seconds: FloatArray
    cents: FloatArray
    confidence: FloatArray


def frames_of(sound: FloatArray, hop: int = HOP) -> Tensor:
    """Frames of 1,024 samples, one every `hop`, each shifted and scaled to mean 0 and standard deviation 1.

    The sound is padded with zeros, so that frame i is centred at sample i * hop. float32[frames, 1024]; a silent
    frame stays zero. Entries are within sqrt(1023) of zero, whatever the sound.
    """
    padded = np.pad(np.asarray(sound, dtype=np.float64), FRAME // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::hop]
    centred = windows - windows.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    return torch.from_numpy((centred / np.maximum(spread, 1e-10)).astype(np.float32))


def decode(activations: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Cents above 10 Hz and confidence: the mean of nine pitches around the largest activation, weighted by activation.

    activations float64[frames, 360], between 0 and 1.

    Examples
    --------
    >>> one = np.zeros((1, 360))
    >>> one[0, 100:102] = 0.5
    >>> cents, confidence = decode(one)
    >>> round(float(cents[0]), 3), float(confidence[0])
    (4007.379, 0.5)
    """
    bins = np.arange(activations.shape[1])
    top = activations.argmax(axis=1)
    near = np.abs(bins - top[:, None]) <= _REACH
    weights = np.where(near, activations, 0.0)
    total = np.maximum(weights.sum(axis=1), np.finfo(float).tiny)
    cents = _FIRST_CENTS + _CENTS_PER_BIN * (weights * bins).sum(axis=1) / total
    return cents, activations.max(axis=1)


def hertz_of(cents: FloatArray) -> FloatArray:
    """Frequency of a pitch in cents above 10 Hz."""
    result: FloatArray = 10.0 * 2.0 ** (np.asarray(cents) / 1200.0)
    return result


def cents_of(hertz: FloatArray) -> FloatArray:
    """Cents above 10 Hz of a frequency."""
    result: FloatArray = 1200.0 * np.log2(np.asarray(hertz) / 10.0)
    return result


@torch.no_grad()
def track_pitch(sound: FloatArray, network: Callable[[Tensor], Tensor], hop: int = HOP) -> Track:
    """The pitch of a sound at 16 kHz, a frame every `hop` samples, by a network from frames to 360 logits."""
    frames = frames_of(sound, hop)
    logits = torch.cat([network(some) for some in torch.split(frames, _AT_ONCE)])
    cents, confidence = decode(torch.sigmoid(logits.double()).numpy())
    return Track(np.arange(len(frames)) * hop / RATE, cents, confidence)
