"""How much memory may be used: asked before anything large is allocated."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from pathlib import Path

from sslth.errors import InvalidInputError

__all__ = ["available_bytes", "parse_bytes", "peak_bytes", "require_bytes"]

_BUDGET = "SSLTH_MEMORY_BYTES"
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def parse_bytes(memory: str | int, name: str = "memory") -> int:
    """The number of bytes that a size means.

    Raises
    ------
    InvalidInputError
        If it is not a positive number with a unit, or without one; `name` says what was given.

    Examples
    --------
    >>> parse_bytes("1.5 GiB")
    1610612736
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", str(memory))
    if match is None or match[2].lower() not in _UNITS or float(match[1]) == 0:
        raise InvalidInputError(f"{name} is {memory!r}; write a size such as '1GiB' or '500MB'")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def available_bytes() -> int | None:
    """What may be allocated: the environment's SSLTH_MEMORY_BYTES, else what the system says is free; None if unknown.

    Raises
    ------
    InvalidInputError
        If the variable is not a whole number.
    """
    budget = os.environ.get(_BUDGET)
    if budget is not None:
        if not budget.isdigit():
            raise InvalidInputError(f"the environment variable {_BUDGET} is {budget!r}; it must be a number of bytes")
        return int(budget)
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def peak_bytes() -> int | None:
    """The largest resident size that this process has had; None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else 1024 * size


def require_bytes(needed: int, what: str) -> None:
    """Refuse what does not fit.

    Raises
    ------
    InvalidInputError
        If more is needed than is available.
    """
    if needed < 1 << 24:  # not worth a look
        return
    available = available_bytes()
    if available is not None and needed > available:
        raise InvalidInputError(
            f"{what} needs {needed / 2**30:.3g} GiB, but {available / 2**30:.3g} GiB are available;"
            f" use fewer rows or coordinates, or set {_BUDGET}"
        )
