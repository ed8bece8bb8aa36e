"""The kept filter numbers of one block: packed, about a byte each, and unpacked stretch by stretch where they are used.

A wide network keeps more numbers than memory holds, and whoever reads them wants a few at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from sslth.cnn.index_codec import packed as packed_bytes
from sslth.cnn.index_codec import unpacked
from sslth.cnn.spool import Spool

__all__ = ["Keeping", "KeptFilters", "Numbers", "stretches_of"]

Filters = npt.NDArray[np.uint32]

_STRETCH = 1 << 16
_CHUNK = 1 << 16  # bytes
_LIMIT = 1 << 32


@dataclass(frozen=True, eq=False)
class KeptFilters:
    """Rising filter numbers uint32[size]; an array to NumPy, and read-only.

    Examples
    --------
    >>> kept = KeptFilters.of(np.array([3, 4, 304], dtype=np.uint32))
    >>> kept.size, kept.nbytes, kept.numbers().tolist()
    (3, 4, [3, 4, 304])
    >>> [stretch.tolist() for stretch in kept.joined(KeptFilters.of(np.array([7], dtype=np.uint32))).stretches(2)]
    [[3, 4], [7, 304]]
    """

    size: int
    nbytes: int
    start: int
    spool: Spool

    @classmethod
    def of(cls, filters: Filters | KeptFilters, spool: Spool | None = None) -> KeptFilters:
        """Pack numbers, in whatever order they are, no two of them equal; or move packed ones to this spool."""
        if isinstance(filters, KeptFilters):
            spool = Spool() if spool is None else spool
            start, length = spool.add(filters.chunks())
            return cls(filters.size, length, start, spool)
        numbers = filters if _rising(filters) else np.sort(filters)
        return cls.packed(numbers.size, stretches_of(numbers, _STRETCH), spool)

    @classmethod
    def none(cls) -> KeptFilters:
        """No filters."""
        return cls(0, 0, 0, Spool())

    @classmethod
    def packed(cls, size: int, stretches: Iterable[Filters], spool: Spool | None) -> KeptFilters:
        """Pack `size` rising numbers that come in stretches."""
        spool = Spool() if spool is None else spool
        start, length = spool.add(packed_bytes(stretches))
        return cls(size, length, start, spool)

    def chunks(self) -> Iterator[bytes]:
        """The packed bytes, a few at a time."""
        stop = self.start + self.nbytes
        for start in range(self.start, stop, _CHUNK):
            yield self.spool.read(start, min(_CHUNK, stop - start))

    def stretches(self, size: int) -> Iterator[Filters]:
        """The numbers in turn, `size` at a time, fewer at the end."""
        held: list[Filters] = []
        count = 0
        for here in unpacked(self.chunks(), _LIMIT, ""):
            held.append(here)
            count += here.size
            if count >= size:
                numbers = np.concatenate(held)
                whole = count - count % size
                yield from (numbers[start : start + size] for start in range(0, whole, size))
                held, count = [numbers[whole:]], count - whole
        if count:
            yield np.concatenate(held)

    def numbers(self) -> Filters:
        """All of them: uint32[size]."""
        return np.concatenate([np.empty(0, dtype=np.uint32), *unpacked(self.chunks(), _LIMIT, "")])

    def joined(self, others: KeptFilters) -> KeptFilters:
        """These and those of another sign."""
        if not others.size or not self.size:
            return self if not others.size else others
        merged = _merged(self.stretches(_STRETCH), others.stretches(_STRETCH))
        return self.packed(self.size + others.size, merged, others.spool)

    def __len__(self) -> int:
        return self.size

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("kept filters are packed: there is no array without a copy")
        return self.numbers().astype(np.uint32 if dtype is None else dtype, copy=False)

    def __deepcopy__(self, _memo: object) -> KeptFilters:
        return self  # nothing changes it, and every wide block of a copy would open a file of its own

    def __reduce__(self) -> tuple[Any, ...]:  # another process gets the bytes themselves, in as many spools as here
        return _restored, (self.size, b"".join(self.chunks()), self.spool)


Numbers = Filters | KeptFilters
"""What a search finds: packed, where they are many."""


class Keeping:
    """Numbers that are kept as they come, each above all before; they are packed, and do not stay in memory.

    Examples
    --------
    >>> keeping = Keeping()
    >>> keeping.add(np.array([1, 5], dtype=np.uint32))
    >>> keeping.add(np.array([9], dtype=np.uint32))
    >>> keeping.with_others(np.array([7, 3], dtype=np.uint32)).numbers().tolist()
    [1, 3, 5, 7, 9]
    """

    def __init__(self, spool: Spool | None = None) -> None:
        self._spool = Spool() if spool is None else spool
        self._packed: list[KeptFilters] = []
        self._waiting: list[Filters] = []
        self._count = 0

    def add(self, filters: Filters) -> None:
        """Rising numbers."""
        self._waiting.append(filters)
        self._count += filters.size
        if self._count >= _STRETCH:
            self._pack()

    def with_others(self, others: Filters) -> KeptFilters:
        """All that were added, and others in any order."""
        self._pack()
        added = chain.from_iterable(part.stretches(_STRETCH) for part in self._packed)
        size = sum(part.size for part in self._packed) + others.size
        return KeptFilters.packed(size, _merged(added, stretches_of(np.sort(others), _STRETCH)), None)

    def __reduce__(self) -> tuple[Any, ...]:  # another process gets the bytes themselves
        self._pack()
        return _keeping_again, (self._packed,)

    def _pack(self) -> None:
        if self._count:
            self._packed.append(KeptFilters.of(np.concatenate(self._waiting), self._spool))
        self._waiting, self._count = [], 0


def _keeping_again(parts: Iterable[KeptFilters]) -> Keeping:
    keeping = Keeping()
    keeping._packed = [KeptFilters.of(part, keeping._spool) for part in parts]
    return keeping


def stretches_of(filters: Numbers, size: int) -> Iterator[Filters]:
    """Numbers in turn, `size` at a time, whether they are packed or not."""
    if isinstance(filters, KeptFilters):
        return filters.stretches(size)
    return (filters[start : start + size] for start in range(0, filters.size, size))


def _restored(size: int, data: bytes, spool: Spool) -> KeptFilters:
    start, length = spool.add([data])
    return KeptFilters(size, length, start, spool)


def _rising(filters: Filters) -> bool:
    """Checked in stretches: of a wide block they are many."""
    stretches = (filters[start : start + _STRETCH + 1] for start in range(0, filters.size, _STRETCH))
    return all(bool((here[1:] > here[:-1]).all()) for here in stretches)


def _merged(first: Iterator[Filters], second: Iterator[Filters]) -> Iterator[Filters]:
    """Two rising sequences as one."""
    nothing = np.empty(0, dtype=np.uint32)
    a, b = next(first, nothing), next(second, nothing)
    while a.size and b.size:
        end = min(a[-1], b[-1])
        here, there = (int(np.searchsorted(part, end, side="right")) for part in (a, b))
        yield np.sort(np.concatenate([a[:here], b[:there]]))
        a = a[here:] if here < a.size else next(first, nothing)
        b = b[there:] if there < b.size else next(second, nothing)
    for rest, more in ((a, first), (b, second)):
        if rest.size:
            yield rest
            yield from more
