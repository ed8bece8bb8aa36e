"""Writing files so that nobody ever sees half of one: write beside, then rename."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from sslth.errors import InvalidInputError

__all__ = ["write_atomically", "write_bytes"]


def write_atomically(path: str | os.PathLike[str], write: Callable[[IO[bytes]], object]) -> None:
    """Call `write` on a temporary file in the same folder, then rename it to `path`.

    Whatever goes wrong, `path` is either what it was before or complete, and no temporary file stays.

    Raises
    ------
    InvalidInputError
        If the folder does not exist or cannot be written, or the disk is full.
    """
    path = Path(path)
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        with os.fdopen(descriptor, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # noqa: PTH101 - mkstemp makes files that only the owner reads
        os.replace(temporary, path)  # noqa: PTH105 - the name is a string from mkstemp
        temporary = None
    except OSError as error:
        raise InvalidInputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """`write_atomically` for content that is already there."""
    write_atomically(path, lambda stream: stream.write(content))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
