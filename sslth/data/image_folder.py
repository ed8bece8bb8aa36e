"""Images on disk, a folder for each class, as PNG, JPEG and what else Pillow reads."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sslth.data.splits import Examples, Splits, split_arrays, split_rows
from sslth.errors import InvalidInputError

__all__ = ["SUFFIXES", "load_image_folder"]

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_GREY = ("1", "L")
_VALIDATION_NAMES = ("validation", "val", "valid")
_MOST_ENTRIES = 1 << 30  # 4 GiB as float32

ByteArray = npt.NDArray[np.uint8]


def load_image_folder(
    folder: Path,
    *,
    size: tuple[int, int] | None = None,
    validation: float = 0.16,
    test: float = 0.2,
    seed: int = 0,
) -> Splits:
    """Read a folder of classes, or of parts `train`, `test` and perhaps `validation` (`val`) with classes inside.

    Classes are numbered in the order of their names; files that are no images by their suffix, and names that begin
    with a dot, are left out. Images become float32[m, channels, height, width] in [0, 1]: one channel if all are grey,
    else three. Without parts of their own, `validation` and `test` are shares of the whole, each class in proportion;
    with `train` and `test` only, `validation` is a share of `train`. Everything is read into memory.

    Parameters
    ----------
    size : tuple of int
        (height, width) to resize to, bilinearly; without it all images must have the same size already.

    Raises
    ------
    InvalidInputError
        If a folder is missing or empty, an image has no class, cannot be read or has another size, a part has a class
        that `train` lacks, or Pillow is missing.
    """
    if not folder.is_dir():
        raise InvalidInputError(f"there is no folder {folder}")
    if size is not None and not (len(size) == 2 and min(size) >= 1):
        raise InvalidInputError(f"size is {size!r}; (height, width) is needed")
    if not (folder / "train").is_dir():
        names = _classes(folder)
        paths, labels = _listed(folder, names)
        return split_arrays(_floats(_read(paths, size)), labels, validation=validation, test=test, seed=seed)
    names = _classes(folder / "train")
    parts = {"train": folder / "train", "test": folder / "test"}
    for name in _VALIDATION_NAMES:
        if (folder / name).is_dir():
            parts["validation"] = folder / name
            break
    listed = {}
    for part, place in parts.items():
        if not place.is_dir():
            raise InvalidInputError(f"{folder} has a folder train but no folder {part}")
        unknown = sorted(set(_classes(place, least=1)) - set(names))
        if unknown:
            raise InvalidInputError(f"{place} has the class {unknown[0]!r}, which {parts['train']} lacks")
        listed[part] = _listed(place, names)
    inputs = _floats(_read([path for paths, _ in listed.values() for path in paths], size))  # all of one form
    found, start = {}, 0
    for part, (paths, labels) in listed.items():
        found[part] = Examples(torch.from_numpy(inputs[start : start + len(paths)]), torch.tensor(labels))
        start += len(paths)
    if "validation" not in found:
        whole = found["train"]
        kept, held = split_rows(whole.labels, validation, seed)
        found["train"] = Examples(whole.inputs[kept], whole.labels[kept])
        found["validation"] = Examples(whole.inputs[held], whole.labels[held])
    return Splits(found["train"], found["validation"], found["test"], len(names))


def _classes(folder: Path, least: int = 2) -> list[str]:
    stray = [path.name for path in sorted(folder.iterdir()) if path.is_file() and _is_image(path)]
    if stray:
        raise InvalidInputError(f"{folder / stray[0]} has no class; put it into the folder of its class")
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(names) < least:
        raise InvalidInputError(f"{folder} has {len(names)} folders of classes; at least {least} are needed")
    return names


def _listed(folder: Path, names: Sequence[str]) -> tuple[list[Path], list[int]]:
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        place = folder / name
        if not place.is_dir():
            continue  # a test part need not have every class
        found = sorted(path for path in place.iterdir() if path.is_file() and _is_image(path))
        if not found:
            raise InvalidInputError(f"{place} holds no image ({', '.join(SUFFIXES)})")
        paths += found
        labels += [label] * len(found)
    return paths, labels


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _read(paths: Sequence[Path], size: tuple[int, int] | None) -> ByteArray:
    """uint8[m, channels, height, width], three channels unless every image is grey."""
    images = [_opened(path, size) for path in paths]
    channels = 1 if all(image.ndim == 2 for image in images) else 3
    shape = images[0].shape[:2]
    for path, image in zip(paths, images, strict=True):
        if image.shape[:2] != shape:
            raise InvalidInputError(
                f"{path} has {image.shape[0]} x {image.shape[1]} pixels, {paths[0]} {shape[0]} x {shape[1]}; "
                "resize them, or load them in Python with size=(height, width)"
            )
    if len(images) * channels * shape[0] * shape[1] > _MOST_ENTRIES:
        raise InvalidInputError(f"{len(images):,} images of {shape[0]} x {shape[1]} pixels need more than 4 GiB")
    whole = np.empty((len(images), channels, *shape), dtype=np.uint8)
    for row, image in zip(whole, images, strict=True):
        row[:] = image if image.ndim == 2 else image.transpose(2, 0, 1)
    return whole


def _opened(path: Path, size: tuple[int, int] | None) -> ByteArray:
    """uint8[height, width] of a grey image, uint8[height, width, 3] of any other."""
    image_module = _pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", image_module.DecompressionBombWarning)
            with image_module.open(path) as opened:
                image = opened.convert("L" if opened.mode in _GREY else "RGB")
        if size is not None:
            image = image.resize((size[1], size[0]), image_module.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError, EOFError) as error:  # Pillow raises all four for damaged files
        raise InvalidInputError(f"cannot read {path}: {' '.join(str(error).split()) or 'damaged'}") from None
    except (image_module.DecompressionBombWarning, image_module.DecompressionBombError) as error:
        raise InvalidInputError(f"{path} is too large an image: {' '.join(str(error).split())}") from None
    return np.asarray(image, dtype=np.uint8)


def _floats(images: ByteArray) -> npt.NDArray[np.float32]:
    return images.astype(np.float32) / np.float32(255)


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise InvalidInputError("image folders need Pillow; install it: pip install pillow") from None
    return Image
