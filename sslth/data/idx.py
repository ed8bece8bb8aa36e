"""Reading IDX files, the format of MNIST and its relatives: unsigned bytes behind a short header, perhaps gzipped."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from sslth.data.digits import Split
from sslth.errors import InvalidInputError

__all__ = ["load_idx_folder", "read_idx"]

ByteArray = npt.NDArray[np.uint8]

_UNSIGNED_BYTE = 8  # the only type of entry that the image sets use
_MOST_BYTES = 1 << 31  # MNIST has 47 million; a header that claims more is damaged
_PARTS = {
    "train-images": "idx3",
    "train-labels": "idx1",
    "t10k-images": "idx3",
    "t10k-labels": "idx1",
}


def read_idx(path: Path) -> ByteArray:
    """Return the array of unsigned bytes that an IDX file holds, in the shape of its header.

    A file whose name ends in `.gz` is unpacked. Nothing is ever unpickled. Cost O(size of the array).

    Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", 1998.

    Raises
    ------
    InvalidInputError
        If the file cannot be read, is no IDX file of unsigned bytes, is shorter or longer than its header says, or
        claims more than 2 GiB.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "labels"
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 1, 4]))
    ...     read_idx(path).tolist()
    [7, 1, 4]
    """
    content = _bytes_of(path)
    if len(content) < 4 or content[0] or content[1]:
        raise InvalidInputError(f"{path} is no IDX file: it does not start with two zero bytes")
    kind, dimensions = content[2], content[3]
    if kind != _UNSIGNED_BYTE:
        raise InvalidInputError(f"{path} holds entries of IDX type {kind:#04x}; only unsigned bytes (0x08) are read")
    start = 4 + 4 * dimensions
    if dimensions == 0 or len(content) < start:
        raise InvalidInputError(f"{path} ends within its header: {len(content)} bytes for {dimensions} dimensions")
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    wanted = math.prod(shape)
    found = len(content) - start
    if found != wanted:
        problem = "is cut short" if found < wanted else "has bytes left over"
        raise InvalidInputError(f"{path} {problem}: its header says {wanted:,} entries and {found:,} follow")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def load_idx_folder(folder: Path) -> Split:
    """Return the images (float32[m, 1, height, width] in [0, 1]) and labels (int64[m]) of a folder in MNIST's layout.

    The four files are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    `t10k-labels-idx1-ubyte`, each with or without `.gz`; a dot for the second hyphen (`images.idx3`) will do as well.

    Raises
    ------
    InvalidInputError
        If a file is missing or damaged, or images and labels do not fit together.
    """
    if not folder.is_dir():
        raise InvalidInputError(f"there is no folder {folder}")
    found = {part: read_idx(_file(folder, part, kind)) for part, kind in _PARTS.items()}
    tensors = []
    for part in ("train", "t10k"):
        images, labels = found[f"{part}-images"], found[f"{part}-labels"]
        if images.ndim != 3 or 0 in images.shape:
            raise InvalidInputError(
                f"{part} images of {folder} have shape {images.shape}; (m, height, width) is needed"
            )
        if labels.shape != images.shape[:1]:
            raise InvalidInputError(f"{folder} has {len(images)} {part} images but labels of shape {labels.shape}")
        tensors.append(torch.from_numpy(images.astype(np.float32)[:, None] / np.float32(255)))
        tensors.append(torch.from_numpy(labels.astype(np.int64)))
    if tensors[0].shape[1:] != tensors[2].shape[1:]:
        raise InvalidInputError(f"training and test images of {folder} differ in size")
    return Split(*tensors)


def _bytes_of(path: Path) -> bytes:
    try:
        if path.suffix != ".gz":
            if path.stat().st_size > _MOST_BYTES:
                raise InvalidInputError(f"{path} has {path.stat().st_size:,} bytes; image sets are below 2 GiB")
            return path.read_bytes()
        with gzip.open(path) as stream:
            content = stream.read(_MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:  # gzip says EOFError where a file is cut short
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise InvalidInputError(f"cannot read {path}: {reason}") from None
    if len(content) > _MOST_BYTES:
        raise InvalidInputError(f"{path} unpacks to more than 2 GiB; image sets are smaller")
    return content


def _file(folder: Path, part: str, kind: str) -> Path:
    names = [f"{part}{mark}{kind}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise InvalidInputError(f"{folder} has no file {names[0]} (or {names[0]}.gz)")
