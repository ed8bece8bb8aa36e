"""The result store: one SQLite file that has the result of every cell as soon as it is there."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from sslth.errors import InvalidInputError
from sslth.experiments.cells import canonical_json, cell_key, key_of_json, result_json

__all__ = ["FORMAT_VERSION", "Evaluated", "Row", "Store"]

FORMAT_VERSION = 1  # PRAGMA user_version; raise it whenever the table or the meaning of a column changes
APPLICATION_ID = int.from_bytes(b"SSLT", "big")  # PRAGMA application_id: tells our files from other programs'
SQLITE_MAGIC = b"SQLite format 3\x00"
SMALLEST_PAGE = 512  # bytes; no SQLite database is shorter
MOST_VARIABLES = 500  # in one statement; old releases of SQLite take 999
WAIT_SECONDS = 60.0  # how long a writer waits for another process that is writing

_TABLE = """
CREATE TABLE cells (
    key TEXT PRIMARY KEY,
    kind TEXT,
    parameters TEXT NOT NULL,
    result TEXT,
    error TEXT,
    seconds REAL NOT NULL,
    CHECK ((result IS NULL) <> (error IS NULL))
) WITHOUT ROWID
"""


@dataclass(frozen=True)
class Evaluated:
    """What came out of one cell: `result`, or the `error` in one line, and the wall-clock `seconds` it took."""

    parameters: Mapping[str, Any]
    result: Mapping[str, Any] | None
    error: str | None
    seconds: float


@dataclass(frozen=True)
class Row:
    """One cell that has been evaluated.

    Attributes
    ----------
    key : str
        SHA-256 of the canonical JSON of the parameters.
    parameters : dict
    result : dict or None
        None if the cell failed.
    error : str or None
        Why it failed, in one line; None if it did not.
    seconds : float
        Wall-clock time of its evaluation.
    """

    key: str
    parameters: dict[str, Any]
    result: dict[str, Any] | None
    error: str | None
    seconds: float


class Store:
    """An open result store; use it as a context manager.

    The file is in WAL mode and every call that puts is one transaction: after `kill -9` it holds all that was put,
    several processes may put into it at once, and the first result of a cell stays.

    Parameters
    ----------
    path : path-like
        Created if it does not exist, unless `read_only`.
    read_only : bool
        Open an existing store and promise to change nothing in it.

    Raises
    ------
    InvalidInputError
        If the file is no SQLite file, is damaged, belongs to another program or another format version,
        cannot be written, or (read-only) does not exist. The file is left as it was. Here and later, also if
        the disk is full.

    Examples
    --------
    >>> with Store(":memory:") as store:
    ...     store.put({"kind": "toy", "n": 3}, {"error": 0.5}, seconds=0.1)
    ...     store.get({"n": 3, "kind": "toy"})
    {'error': 0.5}
    """

    def __init__(self, path: str | os.PathLike[str], *, read_only: bool = False) -> None:
        self.path = Path(path)
        self.read_only = read_only
        self._connection = _connect(self.path, read_only)
        try:
            with self._explained("open"):
                self._prepare()
        except BaseException:  # also Ctrl-C: whatever it is, it is raised again with the file closed
            self._connection.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def shared(self) -> Path | None:
        """The path under which another process on this machine can open it; None if it is in memory."""
        return None if str(self.path) == ":memory:" else self.path.absolute()

    def close(self) -> None:
        """Close the file; a closed store cannot be used again."""
        self._connection.close()

    def get(self, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the result of a cell; None if it has not been evaluated or has failed."""
        row = self.row(parameters)
        return None if row is None else row.result

    def row(self, parameters: Mapping[str, Any]) -> Row | None:
        """Return all that is known of a cell; None if it has not been evaluated."""
        with self._explained("read"):
            found = self._connection.execute(
                "SELECT key, parameters, result, error, seconds FROM cells WHERE key = ?",
                (cell_key(parameters),),
            ).fetchone()
        return None if found is None else self._row(found)

    def rows(self, kind: str | None = None) -> list[Row]:
        """Return the evaluated cells, failed ones too, ordered by key.

        Parameters
        ----------
        kind : str or None
            Only the cells whose parameter `kind` is this; None for all.
        """
        where, values = ("", ()) if kind is None else ("WHERE kind = ?", (kind,))
        with self._explained("read"):
            found = self._connection.execute(
                f"SELECT key, parameters, result, error, seconds FROM cells {where} ORDER BY key", values
            ).fetchall()
        return [self._row(values) for values in found]

    def rows_of(self, keys: Iterable[str]) -> list[Row]:
        """Return what is stored of these cells, ordered by key."""
        wanted = sorted(set(keys))
        found: list[Any] = []
        with self._explained("read"):
            for start in range(0, len(wanted), MOST_VARIABLES):
                some = wanted[start : start + MOST_VARIABLES]
                marks = ",".join("?" * len(some))
                found += self._connection.execute(
                    f"SELECT key, parameters, result, error, seconds FROM cells WHERE key IN ({marks}) ORDER BY key",
                    some,
                ).fetchall()
        return [self._row(values) for values in found]

    def keys(self, *, failed: bool = True) -> set[str]:
        """Return the keys of all evaluated cells, with or without those that failed."""
        where = "" if failed else "WHERE error IS NULL"
        with self._explained("read"):
            return {key for (key,) in self._connection.execute(f"SELECT key FROM cells {where}")}

    def put(self, parameters: Mapping[str, Any], result: Mapping[str, Any], seconds: float) -> None:
        """Store the result of a cell, in place of an error if there is one; an older result stays.

        Numbers that are not finite are stored as null, with the reason beside them (`error`, `error_reason`).
        """
        self.put_one(Evaluated(parameters, result, None, seconds))

    def put_error(self, parameters: Mapping[str, Any], error: str, seconds: float) -> None:
        """Store why a cell failed, in place of an older error; an older result stays."""
        self.put_one(Evaluated(parameters, None, error, seconds))

    def put_one(self, finished: Evaluated) -> None:
        """`put` or `put_error`, whichever it calls for."""
        self.put_all([finished])

    def put_all(self, finished: Iterable[Evaluated]) -> None:
        """`put` or `put_error` for each, in one transaction: all of them are stored, or none."""
        rows = [_stored(cell) for cell in finished]
        with self._explained("write to"), self._transaction():
            keys = [(row[0],) for row in rows]
            self._connection.executemany("DELETE FROM cells WHERE key = ? AND error IS NOT NULL", keys)
            self._connection.executemany("INSERT OR IGNORE INTO cells VALUES (?, ?, ?, ?, ?, ?)", rows)

    def forget(self, keys: Iterable[str]) -> int:
        """Remove what is stored of these cells, in one transaction; returns how many there were."""
        with self._explained("write to"), self._transaction():
            cursor = self._connection.executemany("DELETE FROM cells WHERE key = ?", [(key,) for key in keys])
            return max(0, cursor.rowcount)

    def version(self) -> int:
        """Return a number that changes when another connection has changed the file; cheap."""
        with self._explained("read"):
            return self._number("PRAGMA data_version")

    def _prepare(self) -> None:
        if not self.read_only:
            with self._transaction():  # takes the write lock: two processes cannot both create the table
                if self._is_new():
                    self._connection.execute(_TABLE)
                    self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    self._connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        self._check()
        if not self.read_only:
            _use_write_ahead_log(self._connection)

    def _is_new(self) -> bool:
        return self._number("PRAGMA user_version") == 0 and self._number("SELECT count(*) FROM sqlite_master") == 0

    def _check(self) -> None:
        if self._number("PRAGMA application_id") != APPLICATION_ID:
            raise InvalidInputError(f"{self.path} is an SQLite file of another program; nothing was changed in it")
        version = self._number("PRAGMA user_version")
        if version != FORMAT_VERSION:
            raise InvalidInputError(
                f"{self.path} is a result store of version {version} and this is version {FORMAT_VERSION}; "
                "nothing was changed in it: use the release that wrote it, or start a new store"
            )
        (verdict,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise _damaged(self.path, " ".join(str(verdict).split()))

    def _number(self, query: str) -> int:
        return int(self._connection.execute(query).fetchone()[0])

    def _row(self, values: tuple[str, str, str | None, str | None, float]) -> Row:
        key, parameters, result, error, seconds = values
        try:
            outcome = None if result is None else json.loads(result)
            return Row(key, json.loads(parameters), outcome, error, seconds)
        except (TypeError, ValueError) as problem:
            raise _damaged(self.path, f"cell {key} is not JSON") from problem

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:  # also Ctrl-C: a transaction left open would lock other processes out
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _explained(self, verb: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, sqlite3.ProgrammingError) as error:
            raise InvalidInputError(
                f"cannot {verb} the result store {self.path}: {error}; what was stored before is kept"
            ) from error
        except sqlite3.DatabaseError as error:
            raise _damaged(self.path, str(error)) from error


def _stored(cell: Evaluated) -> tuple[str, str | None, str, str | None, str | None, float]:
    """The columns of one cell."""
    kind = cell.parameters.get("kind")
    text = canonical_json(cell.parameters)
    result = None if cell.result is None else result_json(cell.result)
    error = None if result is not None else cell.error or "unknown error"
    return key_of_json(text), kind if isinstance(kind, str) else None, text, result, error, float(cell.seconds)


def _connect(path: Path, read_only: bool) -> sqlite3.Connection:
    """Open the file, after the checks that need no SQLite: its own messages name no path."""
    if str(path) == ":memory:":
        return sqlite3.connect(":memory:", isolation_level=None)
    if read_only and not path.exists():
        raise InvalidInputError(f"there is no result store {path}")
    if not path.parent.is_dir():
        raise InvalidInputError(f"cannot create the result store {path}: there is no folder {path.parent}")
    if path.exists():
        _check_magic(path)
    # SQLite reads a WAL file in a folder that it cannot write only as immutable; with the log of a dead writer
    # beside it the file alone is not the whole store.
    frozen = not path.with_name(path.name + "-wal").exists() and not os.access(path.parent, os.W_OK)
    mode = "mode=rwc" if not read_only else "mode=ro&immutable=1" if frozen else "mode=ro"
    try:
        return sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?{mode}", uri=True, timeout=WAIT_SECONDS, isolation_level=None
        )
    except sqlite3.Error as error:
        verb = "read" if read_only else "write"
        raise InvalidInputError(f"cannot {verb} the result store {path}: {error}") from error


def _check_magic(path: Path) -> None:
    """Refuse a file that some other program wrote, before SQLite touches it. An empty file is a new store."""
    try:
        with path.open("rb") as stream:
            start = stream.read(SMALLEST_PAGE)
    except OSError as error:
        raise InvalidInputError(f"cannot read the result store {path}: {error.strerror or error}") from error
    if start and not start.startswith(SQLITE_MAGIC):
        raise InvalidInputError(f"{path} is not an SQLite file and so no result store; nothing was changed in it")
    if start and len(start) < SMALLEST_PAGE:  # SQLite would take it for an empty database and write over it
        raise _damaged(path, "it ends within its first page")


def _damaged(path: Path, detail: str) -> InvalidInputError:
    return InvalidInputError(
        f"the result store {path} is damaged ({detail}); it was left as it is: "
        "move it away and run again, or restore a copy"
    )


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch to WAL where the file system can; elsewhere the rollback journal is as safe, only slower."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            with closing(connection.execute("PRAGMA journal_mode = WAL")) as cursor:
                cursor.fetchall()
            break
        except sqlite3.OperationalError as error:
            # SQLite does not wait by itself for a process that is switching at the same moment.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    # Enough in WAL mode: a killed process loses nothing, a power cut the last transactions but never the file.
    connection.execute("PRAGMA synchronous = NORMAL")
