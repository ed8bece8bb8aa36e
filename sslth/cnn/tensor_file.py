"""Safetensors files whose tensors may be larger than memory: a header first, then values that come and go in pieces.

The bytes are those of the safetensors library, which wants every tensor whole.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from sslth.errors import TicketFileError

__all__ = ["StoredTensor", "TensorFile", "header_of", "read_header"]

_DTYPES: dict[str, npt.DTypeLike] = {"F64": "<f8", "U32": "<u4", "U8": "u1"}  # in the order of their tensors
_LARGEST_HEADER = 100_000_000  # bytes, as in the library
_METADATA = "__metadata__"
_PIECE = 1 << 20
_MOST_AXES = 64  # as in NumPy; to multiply more sizes than that may take for ever


@dataclass(frozen=True)
class StoredTensor:
    """One entry of the header; `start` and `stop` count from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def nbytes(self) -> int:
        """How many its values take."""
        return self.stop - self.start


Described = Mapping[str, tuple[str, tuple[int, ...]]]
"""Of each tensor its dtype and shape."""


def header_of(tensors: Described, metadata: Mapping[str, str]) -> tuple[bytes, list[str]]:
    """The first bytes of a file, length included, and the order in which values of dtype and shape have to follow."""
    names = sorted(tensors, key=lambda name: (list(_DTYPES).index(tensors[name][0]), name))
    header: dict[str, Any] = {_METADATA: dict(metadata)}
    end = 0
    for name in names:
        dtype, shape = tensors[name]
        start, end = end, end + math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, names


def read_header(stream: IO[bytes]) -> tuple[bytes, dict[str, str], dict[str, StoredTensor]]:
    """The first bytes of a file, its metadata and its tensors, which fill the rest of it; TicketFileError otherwise."""
    size = os.fstat(stream.fileno()).st_size
    start = stream.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(size - 8, _LARGEST_HEADER):
        raise TicketFileError("the file ends within its header, or is no safetensors file")
    text = stream.read(length)
    header = json.loads(text)
    if not isinstance(header, dict):
        raise TicketFileError("the file's header is not a JSON object")
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise TicketFileError("the file's metadata are not texts")
    tensors = {name: _stored(name, entry) for name, entry in header.items()}
    end = 0
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.start, tensor.stop)):
        if tensor.start != end:
            raise TicketFileError("the file's tensors overlap, or leave bytes between them")
        end = tensor.stop
    if 8 + length + end != size:
        raise TicketFileError(f"the file has {size} bytes, but its header speaks of {8 + length + end}")
    return start + text, metadata, tensors


def _stored(name: str, entry: Any) -> StoredTensor:
    fields = ("dtype", "shape", "data_offsets")
    if not isinstance(entry, dict) or set(entry) != set(fields):
        raise TicketFileError(f"the file's tensor {name[:60]!r} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = (entry[field] for field in fields)
    if dtype not in _DTYPES:
        raise TicketFileError(f"the file's tensor {name[:60]!r} is of another type than {', '.join(_DTYPES)}")
    if not _whole(shape) or not _whole(offsets) or len(offsets) != 2:
        raise TicketFileError(f"the file's tensor {name[:60]!r} has a shape or place that is no list of whole numbers")
    if len(shape) > _MOST_AXES:
        raise TicketFileError(f"the file's tensor {name[:60]!r} has {len(shape)} axes; at most {_MOST_AXES} are read")
    if math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize != offsets[1] - offsets[0]:
        raise TicketFileError(f"the file's tensor {name[:60]!r} has another size than its shape says")
    return StoredTensor(dtype, tuple(shape), *offsets)


def _whole(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 63 for value in values)


class TensorFile:
    """An open file, from which tensors are read; the stream must be one of `open(path, "rb")`.

    Attributes
    ----------
    header : bytes
        Length included.
    metadata : dict
    tensors : dict of StoredTensor
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.header, self.metadata, self.tensors = read_header(stream)

    def values(self, name: str) -> npt.NDArray[Any]:
        """A whole tensor."""
        tensor = self.tensors[name]
        flat: npt.NDArray[Any] = np.frombuffer(b"".join(self.pieces(name)), dtype=np.dtype(_DTYPES[tensor.dtype]))
        return flat.reshape(tensor.shape)

    def pieces(self, name: str | None = None) -> Iterator[bytes]:
        """The bytes of a tensor, or of all of them, a few at a time."""
        start, stop = 0, max((tensor.stop for tensor in self.tensors.values()), default=0)
        if name is not None:
            start, stop = self.tensors[name].start, self.tensors[name].stop
        while start < stop:
            self._stream.seek(len(self.header) + start)
            piece = self._stream.read(min(_PIECE, stop - start))
            if not piece:
                raise TicketFileError("the file has become shorter while it was read")
            start += len(piece)
            yield piece
