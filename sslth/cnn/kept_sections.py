"""A layer's kept filters in a ticket file: how many each block keeps, and their packed numbers in one row."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain, repeat

import numpy as np
import numpy.typing as npt

from sslth.cnn.index_codec import unpacked
from sslth.cnn.kept_filters import KeptFilters
from sslth.cnn.spool import Spool
from sslth.cnn.tensor_file import TensorFile
from sslth.errors import TicketFileError

__all__ = ["kept_blocks"]


def kept_blocks(
    file: TensorFile, prefix: str, limits: Sequence[tuple[int, int]], name: str, spool: Spool
) -> list[KeptFilters]:
    """The blocks of one layer, copied to the spool; `limits` say of how many the filter numbers are below what.

    Raises
    ------
    TicketFileError
        If there are not as many blocks, bytes are missing or left over, a number is too long, or a filter does not
        exist.
    """
    kept, counts = (file.tensors[f"{prefix}.{part}"] for part in ("kept", "counts"))
    if (kept.dtype, len(kept.shape), counts.dtype, len(counts.shape)) != ("U8", 1, "U32", 1):
        raise TicketFileError(f"layer {name} of the ticket has tensors of another type than uint8 and uint32")
    wanted = sum(blocks for _, blocks in limits)  # a damaged file may ask for more than memory holds
    if counts.shape != (wanted,):
        raise TicketFileError(f"layer {name} of the ticket has {counts.shape[0]} blocks; its shape asks for {wanted}")
    sizes = file.values(f"{prefix}.counts").astype(np.int64)
    ends = _ends_of_blocks(file.pieces(f"{prefix}.kept"), np.cumsum(sizes), kept.nbytes, name)
    start, _ = spool.add(file.pieces(f"{prefix}.kept"))
    blocks = []
    below = chain.from_iterable(repeat(limit, blocks) for limit, blocks in limits)
    for first, last, size, limit in zip([0, *ends], ends, sizes.tolist(), below, strict=False):
        blocks.append(KeptFilters(size, last - first, start + first, spool))
        deque(unpacked(blocks[-1].chunks(), limit, name), maxlen=0)  # raises, if a filter does not exist
    return blocks


def _ends_of_blocks(pieces: Iterator[bytes], upto: npt.NDArray[np.int64], size: int, name: str) -> list[int]:
    """Behind which byte the numbers upto[0], upto[1], ... end; the last one at the end of all `size` bytes."""
    found: list[int] = [0] * int(np.searchsorted(upto, 0, side="right"))
    numbers = place = last = 0
    for piece in pieces:
        stops = np.flatnonzero(np.frombuffer(piece, dtype=np.uint8) < 0x80) + (place + 1)
        stop = int(np.searchsorted(upto, numbers + stops.size, side="right"))
        found += stops[upto[len(found) : stop] - numbers - 1].tolist()
        numbers, place = numbers + stops.size, place + len(piece)
        last = int(stops[-1]) if stops.size else last
    total = int(upto[-1]) if upto.size else 0
    if numbers != total or last != size:
        raise TicketFileError(f"layer {name} of the ticket lists {numbers} kept filters, but announces {total}")
    return found
