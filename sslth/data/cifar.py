"""Reading the binary version of CIFAR-10 and CIFAR-100: one or two label bytes and 3,072 pixel bytes an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sslth.data.digits import Split
from sslth.data.splits import Splits, with_validation
from sslth.errors import InvalidInputError

__all__ = ["load_cifar10", "load_cifar100", "read_cifar"]

ByteArray = npt.NDArray[np.uint8]

_PIXELS = 3 * 32 * 32
_MOST_BYTES = 1 << 30  # the largest official file has 154 million
CIFAR10_TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
CIFAR10_TEST = ("test_batch.bin",)
CIFAR100_TRAIN, CIFAR100_TEST = ("train.bin",), ("test.bin",)


def read_cifar(
    path: Path, classes: Sequence[int] = (10,), *, records: int | None = None
) -> tuple[ByteArray, ByteArray]:
    """Return the images uint8[m, 3, 32, 32] (red, green, blue) and labels uint8[m, len(classes)] of one file.

    Parameters
    ----------
    classes : sequence of int
        How many classes each label byte of a record counts: (10,) in CIFAR-10, (20, 100) in CIFAR-100.
    records : int
        How many images the file must hold; any number but 0, if not given.

    Raises
    ------
    InvalidInputError
        If the file cannot be read, is empty, is no whole number of records, has another number of them than wanted,
        or a label is out of range.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "test_batch.bin"
    ...     _ = path.write_bytes(bytes([7]) + bytes(3072))
    ...     images, labels = read_cifar(path)
    >>> images.shape, labels.tolist()
    ((1, 3, 32, 32), [[7]])
    """
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise InvalidInputError(f"{path} has {size:,} bytes; files of CIFAR are below 1 GiB")
        content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise InvalidInputError(f"cannot read {path}: {error.strerror or error}") from None
    record = len(classes) + _PIXELS
    if len(content) == 0:
        raise InvalidInputError(f"{path} is empty")
    count, rest = divmod(len(content), record)
    if rest:
        raise InvalidInputError(
            f"{path} is cut short or of another kind: {len(content):,} bytes are no whole number of records of "
            f"{record:,}"
        )
    if records is not None and count != records:
        raise InvalidInputError(f"{path} holds {count:,} images; {records:,} belong there")
    rows = content.reshape(count, record)
    labels = rows[:, : len(classes)]
    for column, limit in enumerate(classes):
        bad = np.flatnonzero(labels[:, column] >= limit)
        if len(bad):
            raise InvalidInputError(
                f"{path} has the label {labels[bad[0], column]} in image {bad[0] + 1}; {limit} classes count from 0"
            )
    return rows[:, len(classes) :].reshape(count, 3, 32, 32), labels


def load_cifar10(folder: Path, *, validation: float = 0.1, seed: int = 0, official: bool = True) -> Splits:
    """Read data_batch_1.bin to data_batch_5.bin and test_batch.bin: images float32[m, 3, 32, 32] in [0, 1].

    A share of the training images, each class in proportion, becomes the validation part. Needs some 1.5 GB while it
    reads. Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.

    Parameters
    ----------
    official : bool
        Whether every file must hold its 10,000 images; otherwise any number.

    Raises
    ------
    InvalidInputError
        If a file is missing, damaged, mislabelled or of another size.
    """
    each = 10_000 if official else None
    return _loaded(folder, CIFAR10_TRAIN, CIFAR10_TEST, (10,), 0, (each, each), validation, seed)


def load_cifar100(
    folder: Path,
    *,
    labels: Literal["fine", "coarse"] = "fine",
    validation: float = 0.1,
    seed: int = 0,
    official: bool = True,
) -> Splits:
    """Read train.bin and test.bin of CIFAR-100, with its 100 fine or 20 coarse labels; else as `load_cifar10`."""
    if labels not in ("fine", "coarse"):
        raise InvalidInputError(f"labels is {labels!r}; choose 'fine' or 'coarse'")
    column = int(labels == "fine")
    counts = (50_000, 10_000) if official else (None, None)
    return _loaded(folder, CIFAR100_TRAIN, CIFAR100_TEST, (20, 100), column, counts, validation, seed)


def _loaded(
    folder: Path,
    train: Sequence[str],
    test: Sequence[str],
    classes: Sequence[int],
    column: int,
    counts: tuple[int | None, int | None],
    validation: float,
    seed: int,
) -> Splits:
    parts: list[Tensor] = []
    for names, records in zip((train, test), counts, strict=True):
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            hint = "; this reads the binary version, not the pickled one" if (folder / "batches.meta").exists() else ""
            raise InvalidInputError(f"{folder} has no file {missing[0]}{hint}")
        pairs = [read_cifar(folder / name, classes, records=records) for name in names]
        images = np.concatenate([images for images, _ in pairs])
        labels = np.concatenate([labels[:, column] for _, labels in pairs])
        parts += [
            torch.from_numpy(images.astype(np.float32)).div_(255),
            torch.from_numpy(labels.astype(np.int64)),
        ]
    return with_validation(Split(*parts), validation=validation, seed=seed, classes=classes[column])
