"""`njit` as every kernel uses it: cached where a cache can be written, never with fastmath, releasing the GIL."""

from __future__ import annotations

from typing import Any

import numba

__all__ = ["njit"]


def njit(function: Any) -> Any:
    """Compile on first call; fall back to an uncached kernel where no cache folder is writable."""
    try:
        return numba.njit(function, cache=True, nogil=True)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        return numba.njit(function, nogil=True)
