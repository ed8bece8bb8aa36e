"""Sorted filter numbers as bytes: gaps in LEB128, about one byte a kept filter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sslth.errors import TicketFileError

__all__ = ["decode_blocks", "encode_blocks"]

Filters = npt.NDArray[np.uint32]
_LONGEST = 5  # bytes of seven bits for 32 bits
_STRETCH = 1 << 16  # numbers that are worked on at a time: some 60 bytes each meanwhile


def encode_blocks(blocks: Sequence[Filters]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint32]]:
    """Bytes of all blocks in a row, and the number of filters of each.

    Within a block, sorted numbers t_0 < t_1 < ... are stored as t_0, t_1 - t_0 - 1, ...: seven bits a byte, lowest
    first, the top bit set on all bytes but the last of a number.

    Examples
    --------
    >>> data, counts = encode_blocks([np.array([3, 4, 304], dtype=np.uint32)])
    >>> data.tolist(), counts.tolist()
    ([3, 0, 171, 2], [3])
    """
    counts = np.array([block.size for block in blocks], dtype=np.uint32)
    parts: list[npt.NDArray[np.uint8]] = []
    waiting: list[npt.NDArray[np.int64]] = []
    held = 0
    for block in blocks:
        for start in range(0, block.size, _STRETCH):
            before = int(block[start - 1]) if start else -1
            here = block[start : start + _STRETCH].astype(np.int64)
            waiting.append(here - np.concatenate([[before], here[:-1]]) - 1)
            held += waiting[-1].size
            if held >= _STRETCH:
                parts.append(_encode(np.concatenate(waiting)))
                waiting, held = [], 0
    return np.concatenate([*parts, _encode(np.concatenate([*waiting, np.empty(0, dtype=np.int64)]))]), counts


def _encode(values: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
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


def decode_blocks(
    data: npt.NDArray[np.uint8], counts: npt.NDArray[np.uint32], limits: Sequence[int], name: str
) -> list[Filters]:
    """Undo `encode_blocks`; block i may hold filter numbers below limits[i].

    Raises
    ------
    TicketFileError
        If bytes are missing or left over, a number is too long, or a filter does not exist.
    """
    if counts.shape != (len(limits),):
        raise TicketFileError(
            f"layer {name} of the ticket has {counts.size} blocks, but its shape asks for {len(limits)}"
        )
    ends = np.flatnonzero(data < 0x80)
    total = int(counts.astype(np.int64).sum())
    if ends.size != total or (data.size and data[-1] >= 0x80):
        raise TicketFileError(f"layer {name} of the ticket lists {ends.size} kept filters, but announces {total}")
    starts = np.concatenate([np.zeros(1, dtype=np.int64), ends[:-1] + 1]) if total else ends
    length = ends - starts + 1
    if total and int(length.max()) > _LONGEST:
        raise TicketFileError(f"layer {name} of the ticket holds a filter number of more than {_LONGEST} bytes")
    values = np.zeros(total, dtype=np.int64)
    for i in range(_LONGEST):
        long_enough = length > i
        values[long_enough] |= (data[starts[long_enough] + i].astype(np.int64) & 0x7F) << 7 * i
    blocks: list[Filters] = []
    for block, limit in zip(np.split(values, np.cumsum(counts.astype(np.int64))[:-1]), limits, strict=True):
        filters = np.cumsum(block + 1) - 1
        if filters.size and int(filters[-1]) >= limit:
            raise TicketFileError(f"layer {name} of the ticket keeps filter {int(filters[-1])} of {limit}")
        blocks.append(filters.astype(np.uint32))
    return blocks
