"""Synthetic sounds of known pitch: sweeps and chords."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslth.experiments.real.pitch import RATE

__all__ = ["Sound", "chords", "sweep", "synthetic_sounds"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sound:
    """Samples at 16 kHz, and what is played.

    Attributes
    ----------
    name : str
    samples : float64[m]
    hertz : float64[voices, m]
        The fundamental frequency of every voice at each sample.
    """

    name: str
    samples: FloatArray
    hertz: FloatArray


def sweep(name: str, low: float, high: float, seconds: float, partials: int) -> Sound:
    """A voice that glides from one frequency to another, equally many cents a second, with 1/k partials."""
    share = np.arange(int(seconds * RATE)) / (seconds * RATE)
    hertz = low * (high / low) ** share
    return Sound(name, _voice(hertz, partials), hertz[None])


def chords(name: str, notes: Sequence[tuple[float, ...]], seconds: float, partials: int) -> Sound:
    """Chords one after another, all with the same number of voices, the first voice twice as loud as the others."""
    length = int(seconds * RATE)
    voices = [np.repeat(np.array(voice), length) for voice in zip(*notes, strict=True)]
    parts = [(2.0 if index == 0 else 1.0) * _voice(hertz, partials) for index, hertz in enumerate(voices)]
    return Sound(name, np.sum(parts, axis=0), np.stack(voices))


def synthetic_sounds() -> list[Sound]:
    """What the tracker is shown: pure and rich sweeps up and down, and a cadence of four chords of three voices."""
    c, d, e, f, g, a, b = (440.0 * 2.0 ** (step / 12.0) for step in (-9, -7, -5, -4, -2, 0, 2))
    cadence = [(c, e, g), (f, a, 2 * c), (g, b, 2 * d), (c, e, g)]
    return [
        sweep("sine, 60 to 1,200 Hz", 60.0, 1200.0, 3.0, partials=1),
        sweep("eight partials, 800 to 80 Hz", 800.0, 80.0, 3.0, partials=8),
        chords("chords C F G C", cadence, 0.75, partials=4),
    ]


def _voice(hertz: FloatArray, partials: int) -> FloatArray:
    phase = 2.0 * np.pi * np.cumsum(hertz) / RATE
    parts = [np.where(k * hertz < RATE / 2, np.sin(k * phase) / k, 0.0) for k in range(1, partials + 1)]
    result: FloatArray = np.sum(parts, axis=0)
    return result
