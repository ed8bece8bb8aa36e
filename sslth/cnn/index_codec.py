"""Rising filter numbers as bytes: gaps in LEB128, about one byte a kept filter; in stretches, however many they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from sslth.errors import TicketFileError

__all__ = ["packed", "unpacked"]

Filters = npt.NDArray[np.uint32]
_LONGEST = 5  # bytes of seven bits for 32 bits


def packed(stretches: Iterable[Filters]) -> Iterator[bytes]:
    """Bytes of rising numbers that come in stretches; where those end makes no difference.

    Numbers t_0 < t_1 < ... are stored as t_0, t_1 - t_0 - 1, ...: seven bits a byte, lowest first, the top bit set on
    all bytes but the last of a number. Some 60 bytes a number of a stretch meanwhile.

    Examples
    --------
    >>> list(b"".join(packed([np.array([3, 4], dtype=np.uint32), np.array([304], dtype=np.uint32)])))
    [3, 0, 171, 2]
    """
    before = -1
    for here in stretches:
        if here.size:
            numbers = np.concatenate([[before], here.astype(np.int64)])
            yield _encode(numbers[1:] - numbers[:-1] - 1).tobytes()
            before = int(here[-1])


def unpacked(chunks: Iterable[bytes], limit: int, name: str) -> Iterator[Filters]:
    """Undo `packed`: the numbers, which are below `limit`, in stretches of as many as a chunk of bytes holds.

    Raises
    ------
    TicketFileError
        If a number is too long, not complete, or names a filter that does not exist; `name` is the layer's.

    Examples
    --------
    >>> [stretch.tolist() for stretch in unpacked([bytes([3, 0, 171]), bytes([2])], 1000, "conv")]
    [[3, 4], [304]]
    """
    rest, before = b"", -1
    for chunk in chunks:
        data = np.frombuffer(rest + chunk, dtype=np.uint8)
        ends = np.flatnonzero(data < 0x80)
        done = int(ends[-1]) + 1 if ends.size else 0
        rest = data[done:].tobytes()
        if len(rest) >= _LONGEST:
            raise _too_long(name)
        if done:
            filters = before + np.cumsum(_decode(data[:done], ends, name) + 1)
            before = int(filters[-1])
            if before >= limit:
                raise TicketFileError(f"layer {name} of the ticket keeps filter {before} of {limit}")
            yield filters.astype(np.uint32)
    if rest:
        raise TicketFileError(f"layer {name} of the ticket ends in the middle of a filter number")


def _encode(values: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    if int(values.max()) < 0x80:
        return values.astype(np.uint8)
    length = np.ones(values.size, dtype=np.int64)
    for i in range(1, _LONGEST):
        length += values >= 1 << 7 * i
    starts = np.cumsum(length) - length
    data = np.zeros(int(length.sum()), dtype=np.uint8)
    for i in range(_LONGEST):
        long_enough = length > i
        bits = (values[long_enough] >> 7 * i) & 0x7F
        more = (length[long_enough] > i + 1).astype(np.int64) << 7
        data[starts[long_enough] + i] = bits | more
    return data


def _decode(data: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64], name: str) -> npt.NDArray[np.int64]:
    if ends.size == data.size:
        return data.astype(np.int64)
    starts = np.concatenate([np.zeros(1, dtype=np.int64), ends[:-1] + 1])
    length = ends - starts + 1
    if int(length.max()) > _LONGEST:
        raise _too_long(name)
    values = np.zeros(ends.size, dtype=np.int64)
    for i in range(_LONGEST):
        long_enough = length > i
        values[long_enough] |= (data[starts[long_enough] + i].astype(np.int64) & 0x7F) << 7 * i
    return values


def _too_long(name: str) -> TicketFileError:
    return TicketFileError(f"layer {name} of the ticket holds a filter number of more than {_LONGEST} bytes")
