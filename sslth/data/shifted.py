"""Images that are not what a network was trained on: turned, blurred, noisy, shuffled, or of classes it never saw."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sslth.data.splits import Examples, Splits
from sslth.errors import InvalidInputError

__all__ = ["OpenSet", "blurred", "noisy", "open_set", "rotated", "shuffled_pixels"]


def rotated(examples: Examples, low: float = 45.0, high: float = 135.0, *, seed: int = 0) -> Examples:
    """Turn each image about its centre by an angle drawn from [low, high] degrees, either way round.

    Bilinear; what comes in from outside is 0, and values stay within those of the image. Labels stay.

    Parameters
    ----------
    examples : Examples
        Inputs float32[m, channels, height, width].

    Examples
    --------
    >>> dot = torch.zeros(1, 1, 3, 3)
    >>> dot[0, 0, 0, 1] = 1.0
    >>> turned = rotated(Examples(dot, torch.tensor([0])), 180.0, 180.0)
    >>> turned.inputs[0, 0].round().tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    from scipy.ndimage import rotate

    images = _images(examples)
    rng = np.random.default_rng(seed)
    angles = rng.uniform(low, high, len(images)) * rng.choice([-1.0, 1.0], len(images))
    turned = [
        np.clip(rotate(image, angle, axes=(2, 1), reshape=False, order=1), image.min(), image.max())
        for image, angle in zip(images, angles, strict=True)
    ]
    return _with_inputs(examples, np.stack(turned))


def blurred(examples: Examples, deviation: float = 1.0) -> Examples:
    """Smooth each image by a Gaussian of so many pixels; outside is 0. Labels stay."""
    from scipy.ndimage import gaussian_filter

    if not deviation > 0.0:
        raise InvalidInputError(f"deviation is {deviation}; a width in pixels above 0 is needed")
    images = _images(examples)
    return _with_inputs(examples, gaussian_filter(images, (0.0, 0.0, deviation, deviation), mode="constant"))


def noisy(examples: Examples, deviation: float = 0.3, *, seed: int = 0) -> Examples:
    """Add independent normal noise to each pixel and cut the sum to the range of the inputs. Labels stay."""
    if not deviation > 0.0:
        raise InvalidInputError(f"deviation is {deviation}; a standard deviation above 0 is needed")
    images = _images(examples)
    noise = np.random.default_rng(seed).normal(0.0, deviation, images.shape)
    return _with_inputs(examples, np.clip(images + noise, images.min(), images.max()))


def shuffled_pixels(examples: Examples, *, seed: int = 0) -> Examples:
    """Noise with the grey levels of the data: the pixels of each image in a random order of its own. Labels stay.

    Examples
    --------
    >>> images = Examples(torch.arange(4.0).reshape(1, 1, 2, 2), torch.tensor([0]))
    >>> sorted(shuffled_pixels(images).inputs.flatten().tolist())
    [0.0, 1.0, 2.0, 3.0]
    """
    images = _images(examples)
    flat = images.reshape(*images.shape[:2], -1)
    orders = np.random.default_rng(seed).permuted(np.tile(np.arange(flat.shape[2]), (len(flat), 1)), axis=1)
    mixed = np.take_along_axis(flat, orders[:, None], axis=2)  # channels of a pixel stay together
    return _with_inputs(examples, mixed.reshape(images.shape))


@dataclass(frozen=True, eq=False)
class OpenSet:
    """Data in which some classes are known and others never seen.

    Attributes
    ----------
    splits : Splits
        The known classes only, labelled 0, 1, … in the order of `known`.
    novel : Examples
        The test part's examples of the classes that were left out, under their own labels.
    known, left_out : tuple of int
        Class labels of the original data.
    """

    splits: Splits
    novel: Examples
    known: tuple[int, ...]
    left_out: tuple[int, ...]


def open_set(splits: Splits, left_out: Sequence[int] | None = None, *, seed: int = 0) -> OpenSet:
    """Leave classes out of all three parts: the given ones, or half of all (rounded down), drawn by the seed.

    Raises
    ------
    InvalidInputError
        If that leaves no class, leaves none out, or names a class that the test part does not have.
    """
    if left_out is None:
        order = np.random.default_rng(seed).permutation(splits.classes)
        gone = tuple(sorted(int(label) for label in order[: splits.classes // 2]))
    else:
        gone = tuple(sorted(set(left_out)))
    known = tuple(label for label in range(splits.classes) if label not in gone)
    if not gone or not known or len(known) + len(gone) != splits.classes:
        raise InvalidInputError(f"cannot leave out {list(gone)} of the classes 0 to {splits.classes - 1}")
    names = torch.full((splits.classes,), -1)
    names[list(known)] = torch.arange(len(known))
    parts = []
    for name, part in splits.parts():
        rows = names[part.labels] >= 0
        if not bool(rows.any()):
            raise InvalidInputError(f"{name} has no example of the classes {list(known)}")
        parts.append(Examples(part.inputs[rows], names[part.labels[rows]]))
    rows = names[splits.test.labels] < 0
    if not bool(rows.any()):
        raise InvalidInputError(f"the test part has no example of the classes {list(gone)}")
    novel = Examples(splits.test.inputs[rows], splits.test.labels[rows])
    return OpenSet(Splits(parts[0], parts[1], parts[2], len(known)), novel, known, gone)


def _images(examples: Examples) -> npt.NDArray[np.float64]:
    if examples.inputs.dim() != 4:
        raise InvalidInputError(
            f"inputs have shape {list(examples.inputs.shape)}; images [m, channels, h, w] are needed"
        )
    return examples.inputs.detach().cpu().numpy().astype(np.float64)


def _with_inputs(examples: Examples, images: npt.NDArray[np.float64]) -> Examples:
    inputs: Tensor = torch.from_numpy(np.ascontiguousarray(images)).to(examples.inputs.dtype)
    return dataclasses.replace(examples, inputs=inputs)
