"""Whether the tickets do the job: the same faces, the same pitch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from sslth.experiments.real.face_detection import Faces, detect_faces
from sslth.experiments.real.pitch import Track, cents_of, track_pitch
from sslth.experiments.real.sounds import Sound

__all__ = ["Heard", "Seen", "box_difference", "compare_faces", "compare_pitch"]

FloatArray = npt.NDArray[np.float64]
Image = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

ENOUGH_PIXELS, ENOUGH_CENTS = 1.0, 5.0
_CONFIDENT = 0.5


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture, and the faces that target and ticket find in it."""

    name: str
    image: Image
    target: Faces
    ticket: Faces

    def as_json(self) -> dict[str, Any]:
        """Counts, boxes and the largest difference of a side; None where the faces are not the same."""
        difference = box_difference(self.target.boxes, self.ticket.boxes)
        return {
            "picture": self.name,
            "faces_target": len(self.target.boxes),
            "faces_ticket": len(self.ticket.boxes),
            "proposals_target": list(self.target.proposals),
            "proposals_ticket": list(self.ticket.proposals),
            "largest_box_difference_pixels": None if difference is None else float(difference.max(initial=0.0)),
            "faces_within_a_pixel": 0 if difference is None else int((difference <= ENOUGH_PIXELS).sum()),
        }


@dataclass(frozen=True, eq=False)
class Heard:
    """A sound, and the pitch that target and ticket hear in it."""

    sound: Sound
    target: Track
    ticket: Track

    def as_json(self) -> dict[str, Any]:
        """Differences in cents: over all frames, and over those where the target is confident."""
        apart = np.abs(self.target.cents - self.ticket.cents)
        confident = self.target.confidence >= _CONFIDENT
        return {
            "sound": self.sound.name,
            "frames": len(apart),
            "frames_confident": int(confident.sum()),
            "largest_difference_cents": float(apart.max()),
            "largest_difference_cents_confident": float(apart[confident].max(initial=0.0)),
            "share_within_5_cents": float((apart <= ENOUGH_CENTS).mean()),
            "median_error_of_target_cents": float(np.median(self.errors(self.target)[confident])),
            "median_error_of_ticket_cents": float(np.median(self.errors(self.ticket)[confident])),
        }

    def errors(self, track: Track) -> FloatArray:
        """Cents from the nearest voice that is played, in every frame."""
        samples = np.minimum(np.round(track.seconds * 16_000).astype(int), self.sound.hertz.shape[1] - 1)
        result: FloatArray = np.abs(track.cents - cents_of(self.sound.hertz[:, samples])).min(axis=0)
        return result


def box_difference(first: FloatArray, second: FloatArray) -> FloatArray | None:
    """The largest difference of a side for every box of `first` and its nearest in `second`.

    None unless they are as many and each is the nearest of exactly one.

    Examples
    --------
    >>> a = np.array([[0.0, 0.0, 10.0, 10.0], [50.0, 0.0, 60.0, 10.0]])
    >>> box_difference(a, a[::-1] + 0.25)
    array([0.25, 0.25])
    >>> box_difference(a, a[:1]) is None
    True
    """
    if len(first) != len(second):
        return None
    if len(first) == 0:
        return np.zeros(0)
    apart = np.abs(first[:, None] - second[None]).max(axis=2)
    nearest = apart.argmin(axis=1)
    if len(np.unique(nearest)) != len(second):
        return None
    result: FloatArray = apart[np.arange(len(first)), nearest]
    return result


def compare_faces(
    scenes: Sequence[tuple[str, Image]], targets: Sequence[nn.Module], tickets: Sequence[nn.Module], smallest: float
) -> list[Seen]:
    """Run both detectors on every picture; each is three networks: proposing, refining, deciding."""
    return [
        Seen(name, image, *(detect_faces(image, *networks, smallest=smallest) for networks in (targets, tickets)))
        for name, image in scenes
    ]


def compare_pitch(sounds: Sequence[Sound], target: nn.Module, ticket: nn.Module) -> list[Heard]:
    """Run both trackers on every sound."""
    return [Heard(sound, track_pitch(sound.samples, target), track_pitch(sound.samples, ticket)) for sound in sounds]
