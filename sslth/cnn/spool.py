"""Bytes that are written once and read many times: in memory while they are few, then in a file without a name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import IO, Any

from sslth.errors import InvalidInputError

__all__ = ["Spool", "room_is_there"]

_HELD = 1 << 18  # bytes in memory; many spools may be open


class Spool:
    """Grows at its end only; any thread may read what is there. The file goes with the last reference to the spool.

    Raises
    ------
    InvalidInputError
        If there is no room for the file.

    Examples
    --------
    >>> spool = Spool()
    >>> spool.add([b"kept ", b"filters"]), spool.add([b"!"])
    ((0, 12), (12, 1))
    >>> spool.read(5, 7)
    b'filters'
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._file: IO[bytes] | None = None
        self._end = 0
        self._adding, self._moving = Lock(), Lock()  # one adds at a time, and may read meanwhile

    def add(self, parts: Iterable[bytes]) -> tuple[int, int]:
        """Append the parts, one behind the other; where they start and how long they are."""
        with self._adding:
            start = self._end
            for part in parts:
                with self._moving:
                    self._append(part)
            return start, self._end - start

    def read(self, start: int, size: int) -> bytes:
        """`size` bytes from `start` on, which must have been written."""
        with self._moving:  # the file has taken over all that was held, or nothing
            if self._file is None:
                return bytes(self._held[start : start + size])
            file = self._file.fileno()
        found = b""
        while len(found) < size:  # one call reads at most 2 GiB
            found += os.pread(file, size - len(found), start + len(found))
        return found

    def _append(self, part: bytes) -> None:
        if self._file is None and len(self._held) + len(part) <= _HELD:
            self._held += part
        else:
            with room_is_there():
                if self._file is None:
                    file = tempfile.TemporaryFile(prefix="sslth-kept-", buffering=0)  # noqa: SIM115 - closed with self
                    _write(file, self._held, 0)
                    self._file, self._held = file, bytearray()
                _write(self._file, part, self._end)
        self._end += len(part)

    def __reduce__(self) -> tuple[Any, ...]:
        """Sent elsewhere it is empty, and one for all that is sent along: who has a part of it sends that himself."""
        return Spool, ()

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()


def _write(file: IO[bytes], part: bytes | bytearray, place: int) -> None:
    """At its place, so that what a full disk has cut short does no harm to what comes later."""
    view = memoryview(part)
    while view:
        written = os.pwrite(file.fileno(), view, place)
        view, place = view[written:], place + written


@contextmanager
def room_is_there() -> Iterator[None]:
    """An `OSError` of a temporary file as a sentence."""
    try:
        yield
    except OSError as error:  # also where no folder can be written at all
        where = f" to {tempfile.tempdir}" if tempfile.tempdir else ""
        raise InvalidInputError(f"cannot write kept filters{where} ({error.strerror or error}); set TMPDIR") from None
