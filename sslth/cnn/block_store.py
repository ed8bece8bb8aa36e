"""Finished blocks on disk, so that an extraction that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from functools import lru_cache
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from sslth.cnn.index_codec import unpacked
from sslth.cnn.kept_filters import KeptFilters, Numbers
from sslth.cnn.own_weights import OwnPair, digest_of_pairs
from sslth.cnn.random_layer import Block
from sslth.errors import InvalidInputError, TicketFileError

__all__ = ["BlockStore", "block_key"]

Filters = npt.NDArray[np.uint32]
FloatArray = npt.NDArray[np.float64]

_REVISION = 4  # of the searches: raise it whenever one of them may find other filters for the same block
_APPLICATION_ID = int.from_bytes(b"SSLB", "big")  # tells our files from other programs'
_WAIT_SECONDS = 60.0
_TABLES = (
    "CREATE TABLE IF NOT EXISTS blocks (key BLOB PRIMARY KEY, size INTEGER, filters BLOB) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS notes (key BLOB PRIMARY KEY, said TEXT) WITHOUT ROWID",
)


def block_key(block: Block, sign: int, target: FloatArray, searched_by: str) -> bytes:
    """SHA-256 of all that the kept filters of a block depend on: its random rows, its target, the search. O(d)."""
    layer = block.layer
    named = {
        "revision": _REVISION,
        "seed": block.seed,
        "layer": layer.index,
        "law": layer.law,
        "own": None if layer.own is None else _digest(layer.own),
        "channel": block.channel,
        "constant": block.is_constant,
        "tap": block.is_tap,
        "size": block.size,
        "sign": sign,
        "search": searched_by,
    }
    digest = hashlib.sha256(json.dumps(named, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(target, dtype="<f8").tobytes())
    return digest.digest()


@lru_cache(maxsize=256)
def _digest(pair: OwnPair) -> str:
    return digest_of_pairs({"": pair})


class BlockStore:
    """An SQLite file of kept filters by `block_key`; each is there for good as soon as `put` returns.

    The file is in WAL mode: `kill -9` loses nothing that was put. About a byte a kept filter.

    Parameters
    ----------
    path : path-like
        Created if it does not exist.

    Raises
    ------
    InvalidInputError
        If the file is not such a store, or cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        try:
            self._database = sqlite3.connect(self.path, timeout=_WAIT_SECONDS)
        except sqlite3.Error as error:
            raise self._trouble(error) from None
        try:
            found = self._database.execute("PRAGMA application_id").fetchone()[0]
            tables = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if tables and found != _APPLICATION_ID:
                raise sqlite3.DatabaseError("it is another program's database")
            with self._database:
                self._database.execute("PRAGMA journal_mode = WAL")
                self._database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                for table in _TABLES:
                    self._database.execute(table)
        except sqlite3.Error as error:
            self._database.close()
            raise self._trouble(error) from None

    def get(self, key: bytes, block: Block) -> Filters | None:
        """The kept filters of a block, sorted; None if it has not been put."""
        try:
            row = self._database.execute("SELECT size, filters FROM blocks WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise self._trouble(error) from None
        if row is None:
            return None
        try:
            found = list(unpacked([row[1]], block.size, block.layer.name))
            filters = np.concatenate([np.empty(0, dtype=np.uint32), *found])
            if filters.size != row[0]:
                raise ValueError(f"a block of {row[0]} filters lists {filters.size}")
            return filters
        except (TicketFileError, ValueError, TypeError, OverflowError) as error:
            raise self._trouble(error) from None

    def put(self, key: bytes, filters: Numbers) -> None:
        """Store the kept filters of a block; the first ones stay."""
        kept = KeptFilters.of(filters)
        try:
            with self._database:
                self._database.execute(
                    "INSERT OR IGNORE INTO blocks VALUES (?, ?, ?)", (key, kept.size, b"".join(kept.chunks()))
                )
        except sqlite3.Error as error:
            raise self._trouble(error) from None

    def note(self, key: bytes) -> dict[str, Any] | None:
        """What was noted under this key; None if nothing was."""
        try:
            row = self._database.execute("SELECT said FROM notes WHERE key = ?", (key,)).fetchone()
            return None if row is None else dict(json.loads(row[0]))
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise self._trouble(error) from None

    def put_note(self, key: bytes, said: dict[str, Any]) -> None:
        """Note what an extraction decided by the clock, so that it is decided once; the first note stays."""
        try:
            with self._database:
                self._database.execute("INSERT OR IGNORE INTO notes VALUES (?, ?)", (key, json.dumps(said)))
        except sqlite3.Error as error:
            raise self._trouble(error) from None

    def __len__(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM blocks").fetchone()[0])

    def __enter__(self) -> BlockStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._database.close()

    def _trouble(self, error: Exception) -> InvalidInputError:
        said = " ".join(str(error).split())
        return InvalidInputError(
            f"{self.path} cannot be used to store finished blocks: cannot write or read it ({said}); remove it"
        )
