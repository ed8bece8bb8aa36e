"""`njit` as every kernel uses it: cached where a cache can be written, never with fastmath, releasing the GIL."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numba

__all__ = ["njit"]


def njit(function: Any) -> Any:
    """Compile on first call; run uncached where no cache folder is writable or the disk is full."""
    try:
        kernel = numba.njit(function, cache=True, nogil=True)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        return numba.njit(function, nogil=True)
    cache = getattr(kernel, "_cache", None)
    if cache is not None:  # numba has no public way to say that a cache which cannot be written is no error
        save = cache.save_overload

        def save_if_possible(signature: Any, compiled: Any) -> None:
            with suppress(OSError):
                save(signature, compiled)

        cache.save_overload = save_if_possible
    return kernel
