"""A heat map of shares over rows n and something else, and where shares rise through one half."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sslth.experiments.plot_kinds.plot_kind import Table

__all__ = ["COUNTING", "HALF", "PROVED", "THEOREM", "Counts", "counts_over", "crossing", "heat_map", "measured_half"]

Counts = dict[tuple[int, int], tuple[int, int, int]]

HALF: dict[str, Any] = {"color": "#D55E00", "linestyle": "-", "linewidth": 2.2, "marker": "o"}
COUNTING: dict[str, Any] = {"color": "#000000", "linestyle": "--", "linewidth": 1.8}
PROVED: dict[str, Any] = {"color": "#E69F00", "linestyle": "-.", "linewidth": 2.0, "marker": "^"}
THEOREM: dict[str, Any] = {"color": "#CC79A7", "linestyle": ":", "linewidth": 2.4}


def counts_over(points: Table, column: str) -> Counts:
    """Hits, decided instances and open ones for each (value of the column, n), over all seeds."""
    counts: Counts = {}
    for p in points:
        hits, decided, left_open = counts.get((p[column], p["n"]), (0, 0, 0))
        counts[p[column], p["n"]] = (hits + p["hits"], decided + p["hits"] + p["misses"], left_open + p["open"])
    return counts


def heat_map(axes: Axes, counts: Mapping[tuple[int, int], tuple[int, int, int]]) -> Any:
    """Draw the shares, column by column at 0, 1, …; grey where nothing was measured. Returns the mesh."""
    columns, ns = sorted({x for x, _ in counts}), sorted({n for _, n in counts})
    share = np.full((len(ns), len(columns)), np.nan)
    for (x, n), (hits, decided, left_open) in counts.items():
        if decided:
            share[ns.index(n), columns.index(x)] = hits / decided
        if left_open:
            axes.text(columns.index(x), n, "?", ha="center", va="center")
    axes.set_facecolor("#DDDDDD")  # not measured
    edges = np.array([ns[0] - (ns[1] - ns[0]) / 2 if len(ns) > 1 else ns[0] - 0.5, *_between(ns)])
    image = axes.pcolormesh(np.arange(len(columns) + 1) - 0.5, edges, share, cmap="Blues", vmin=0.0, vmax=1.0)
    axes.set_xticks(range(len(columns)), [str(x) for x in columns])
    axes.set_ylim(edges[0], edges[-1])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return image


def _between(ns: list[int]) -> list[float]:
    steps = [b - a for a, b in itertools.pairwise(ns)] or [1]
    return [(a + b) / 2 for a, b in itertools.pairwise(ns)] + [ns[-1] + steps[-1] / 2]


def measured_half(counts: Counts, columns: Iterable[int]) -> dict[int, float | None]:
    """For each column the n at which half of the instances hit."""
    half: dict[int, float | None] = {}
    for x in columns:
        ns = sorted(n for at, n in counts if at == x and counts[at, n][1])
        half[x] = crossing(ns, [counts[x, n][0] / counts[x, n][1] for n in ns])
    return half


def crossing(ns: Sequence[int], shares: Sequence[float]) -> float | None:
    """Return where the last rise through 1/2 lies, interpolated; None if the shares do not go from below to above."""
    found = None
    for a, b, low, high in zip(ns, ns[1:], shares, shares[1:], strict=False):
        if low < 0.5 <= high:
            found = a + (b - a) * (0.5 - low) / (high - low)
    return found
