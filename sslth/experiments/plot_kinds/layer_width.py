"""Error against width in one figure: what solvers reach, the optimum where it is known, counting and the theorem."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from sslth.errors import InvalidInputError
from sslth.experiments.figure_style import INK, MARKERS, PALETTE, styled, tidy
from sslth.experiments.plot_kinds.plot_kind import PlotKind, Table
from sslth.experiments.reference_widths import structured_shape
from sslth.experiments.store import Row

__all__ = ["PLOT", "nsn_error"]

_MOST_PANELS = 6
_SERIES = {
    "meet_in_the_middle": "exact optimum (proved)",
    "message_passing": "message passing",
    "sorted_pursuit": "sorted pursuit",
}
_LOWEST = 1e-9  # counting falls exponentially: below this it is cut off
_WIDEST = 3e7
_LARGEST_THEOREM_ERROR = 0.25
_WANTED = 0.01
_DIGITS = {"side": 3, "channels": 16, "depth": 3}  # the largest sizes of the digits CNN


def table(rows: Sequence[Row]) -> Table:
    """One dict a layer or network of one width, solver and repetition."""
    points = []
    for row in rows:
        if row.result is None:
            continue
        p, found = row.parameters, row.result
        if p["kind"] == "layer_width":
            what = f"one layer, {p['c_in']} → {p['c_out']} channels, {p['side']}×{p['side']} kernels"
            sizes = {"side": p["side"], "channels": p["c_out"], "depth": 1}
            point = {"panel": what, "whole": False, "n": p["n"], "d": found["d"], "error": found["median_entry_error"]}
            point |= {"largest": found["entry_error"] if p["c_in"] > 1 else None, "blocks": 2 * p["c_in"]}
            point |= {"floor": found["floor"], "proved": found["proved_optimal"]}
        else:
            whole = f"{p['depth']} layers, {p['channels']} channels, {p['side']}×{p['side']} kernels"
            sizes = _DIGITS if p["target"] == "digits" else {key: p[key] for key in _DIGITS}
            what = "the digits CNN" if p["target"] == "digits" else f"random CNN, {whole}"
            point = {"panel": what, "whole": True, "n": p["width"], "d": None, "error": found["relative_output_error"]}
            point |= {"largest": None, "blocks": None}
            point |= {"floor": found["floor_error"], "proved": False}
        point |= sizes
        points.append(point | {"solver": p["solver"], "repetition": p["repetition"], "seed": p["seed"]})
    keys = ("panel", "solver", "n", "seed", "repetition")
    return sorted(points, key=lambda p: (p["whole"], p["blocks"] or 0, p["channels"], *(p[key] for key in keys)))


@styled
def draw(points: Table) -> Figure:
    """One panel a layer or network: medians, smallest to largest, the floor, and where the theorem begins."""
    panels = list(dict.fromkeys(point["panel"] for point in points))
    if len(panels) > _MOST_PANELS:
        raise InvalidInputError(
            f"{len(panels)} layers and networks are too many for one figure; at most {_MOST_PANELS}"
        )
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(1.0 + 5.2 * columns, 1.2 + 4.2 * lines), layout="constrained")
    every = figure.subplots(lines, columns, squeeze=False).ravel()
    handles: dict[str, Any] = {}
    for axes, panel in zip(every, panels, strict=False):
        some = [point for point in points if point["panel"] == panel]
        axes.set_xscale("log")
        axes.set_yscale("log")
        _solvers(axes, some)
        _floor(axes, some)
        if some[0]["whole"]:
            widths = sorted({point["n"] for point in some})
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xticks(widths, [f"{width:,}" for width in widths])
            axes.text(0.04, 0.05, _theorem_in_words(some[0]), transform=axes.transAxes, fontsize=10)
        else:
            _theorem(axes, some)
        axes.set_ylim(max(_LOWEST, axes.get_ylim()[0]), 3.0)
        axes.set_title(panel + ("" if some[0]["whole"] else f" (d = {some[0]['d']})"))
        axes.set_xlabel("width n: random filters for each channel and sign")
        axes.set_ylabel("relative output error" if some[0]["whole"] else "largest error of an entry, ‖K_b‖₁ = 1")
        tidy(axes)
        for line, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, line)
    for axes in every[len(panels) :]:
        axes.set_axis_off()
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3)
    return figure


def _solvers(axes: Axes, some: Table) -> None:
    for number, (solver, label) in enumerate(_SERIES.items()):
        chosen = [p for p in some if p["solver"] == solver and (p["proved"] or solver != "meet_in_the_middle")]
        if not chosen:
            continue
        ns = sorted({point["n"] for point in chosen})
        errors = [np.array([point["error"] for point in chosen if point["n"] == n]) for n in ns]
        look: dict[str, Any] = {"color": PALETTE[number], "marker": MARKERS[number]}
        axes.plot(ns, [np.median(e) for e in errors], label=label, linewidth=1.8, markersize=5, **look)
        axes.fill_between(ns, [e.min() for e in errors], [e.max() for e in errors], color=PALETTE[number], alpha=0.2)
        largest = [[p["largest"] for p in chosen if p["n"] == n and p["largest"] is not None] for n in ns]
        if all(largest):
            axes.plot(ns, [np.median(e) for e in largest], color=PALETTE[number], linestyle="-.", linewidth=1.2)
            axes.plot([], [], color="#555555", linestyle="-.", linewidth=1.2, label="largest of the 2·c_in blocks")


def _floor(axes: Axes, some: Table) -> None:
    ns = sorted({point["n"] for point in some})
    floors = [float(np.median([point["floor"] for point in some if point["n"] == n])) for n in ns]
    below = next((i for i, floor in enumerate(floors) if floor < _LOWEST), len(ns))
    shown = [(n, floor) for n, floor in zip(ns, floors, strict=True) if floor > 0.0][: below + 1]
    axes.plot([n for n, _ in shown], [f for _, f in shown], color=INK, linestyle="--", label="first-moment floor")


def _theorem(axes: Axes, some: Table) -> None:
    """The width of the NSN theorem, n = k², k = C·d³·log(d/ε), with C = 1, and with the least C for the optimum."""
    d = some[0]["d"]
    least = _least_constant(some)
    for constant, style, label in ((1.0, "-", "theorem, C = 1"), (least, ":", "theorem, least C for the optimum")):
        if constant is None:
            continue
        n = np.geomspace(2.0, _WIDEST, 800)
        errors = np.array([nsn_error(width, d, constant) for width in n])
        kept = (errors <= _LARGEST_THEOREM_ERROR) & (errors >= _LOWEST)
        axes.plot(n[kept], errors[kept], color="#CC79A7", linestyle=style, linewidth=2.0, label=label)


def nsn_error(n: float, d: int, constant: float) -> float:
    """Return the ε with n = k², k = C·d³·log(d/ε): what the theorem promises of n rows, if its constant is C.

    Examples
    --------
    >>> round(nsn_error(100.0, 1, 1.0) / math.exp(-10.0), 6)
    1.0
    """
    return float(d * math.exp(-min(700.0, math.sqrt(n) / (constant * d**3))))


def _theorem_in_words(point: dict[str, Any]) -> str:
    """The width of the structured theorem with C = 1, which is far beyond any axis."""
    width = structured_shape(point["side"], point["channels"], point["depth"], _WANTED)
    return f"theorem, C = 1, for ε = {_WANTED:g}:\nn = {width:.0e}"


def _least_constant(some: Table) -> float | None:
    """The smallest C for which the median optimum is no worse than promised, at errors up to 1/4."""
    exact = [point for point in some if point["proved"]]
    found = []
    for n in sorted({point["n"] for point in exact}):
        error = float(np.median([point["error"] for point in exact if point["n"] == n]))
        if 0.0 < error <= _LARGEST_THEOREM_ERROR:
            d = some[0]["d"]
            found.append(math.sqrt(n) / (d**3 * math.log(d / error)))
    return max(found, default=None)


def summary(points: Table) -> dict[str, Any]:
    """For each panel the medians by solver and width, the least C, and the width that the whole theorem asks for."""
    found = []
    for panel in dict.fromkeys(point["panel"] for point in points):
        some = [point for point in points if point["panel"] == panel]
        medians = [
            {"solver": solver, "n": n} | _medians_of(some, solver, n)
            for solver, n in sorted({(point["solver"], point["n"]) for point in some})
        ]
        least = None if some[0]["whole"] else _least_constant(some)
        asked = structured_shape(some[0]["side"], some[0]["channels"], some[0]["depth"], _WANTED)
        found.append({"panel": panel, "least_constant": least, "structured_theorem_at_one": asked, "medians": medians})
    return {"panels": found}


def _medians_of(some: Table, solver: str, n: int) -> dict[str, float | None]:
    chosen = [point for point in some if point["solver"] == solver and point["n"] == n]
    columns = {key: [point[key] for point in chosen if point[key] is not None] for key in ("error", "largest", "floor")}
    return {key: float(np.median(values)) if values else None for key, values in columns.items()}


PLOT = PlotKind("layer-width", ("layer_width", "network_width"), table, draw, summary)
