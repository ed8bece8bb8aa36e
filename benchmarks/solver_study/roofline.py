"""What the machine can do with the same number of states: sort them, or copy their bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["REFERENCE", "REFERENCES", "measure_reference", "reference_parameters"]

REFERENCE = "roofline"  # the kind of a stored reference
REFERENCES = ("sort float64", "sort int64", "copy float64")


def reference_parameters(largest: int) -> list[dict[str, Any]]:
    """The measurements: arrays of 2^10, 2^12, … up to `largest` entries."""
    counts = [1 << bits for bits in range(10, 31, 2) if 1 << bits <= largest]
    return [{"kind": REFERENCE, "what": what, "entries": count} for count in counts for what in REFERENCES]


def measure_reference(parameters: Mapping[str, Any], repetitions: int = 3) -> dict[str, Any]:
    """Entries a second, best of three runs of at least a millisecond each."""
    kind, dtype = parameters["what"].split()
    count: int = parameters["entries"]
    words = np.random.default_rng(0).integers(0, 2**62, count)
    values = words.astype(dtype)
    buffer = values.copy()
    loops = max(1, (1 << 18) // count)
    best = float("inf")
    for _ in range(repetitions):
        best = min(best, _sort(values, buffer, loops) if kind == "sort" else _time(np.copyto, buffer, values, loops))
    return {"entries_per_second": count * loops / best}


def _sort(values: Any, buffer: Any, loops: int) -> float:
    """The copy that undoes the sort is not counted."""
    seconds = 0.0
    for _ in range(loops):
        np.copyto(buffer, values)
        started = time.perf_counter()
        buffer.sort()
        seconds += time.perf_counter() - started
    return seconds


def _time(copy: Callable[[Any, Any], object], buffer: Any, values: Any, loops: int) -> float:
    started = time.perf_counter()
    for _ in range(loops):
        copy(buffer, values)
    return time.perf_counter() - started
