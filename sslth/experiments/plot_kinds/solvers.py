"""The plot of solvers beside each other: error against n, and error against seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sslth.errors import InvalidInputError
from sslth.experiments.figure_style import INK, MARKERS, PALETTE, styled, tidy
from sslth.experiments.plot_kinds.plot_kind import PlotKind, Table
from sslth.experiments.store import Row

__all__ = ["PLOT"]

_MOST_FAMILIES = 4
# colour, marker and its filling, line: beyond six solvers the markers are hollow
_LOOKS = [
    {"color": colour, "marker": marker, "markerfacecolor": "white" if line == ":" else colour, "linestyle": line}
    for line, (colour, marker) in product("-:", zip(PALETTE, MARKERS, strict=True))
]
_FAMILY = ("law", "d", "k")


def table(rows: Sequence[Row]) -> Table:
    """One dict an instance and solver, without failed cells and instances that have no subset of size k."""
    points = [
        {key: row.parameters[key] for key in ("law", "d", "k", "n", "instance", "seed", "solver")}
        | {"limit": _limit(row.parameters), "error": row.result["error"], "lower_bound": row.result["lower_bound"]}
        | {"seconds": row.result["seconds"], "status": row.result["status"]}
        for row in rows
        if row.result is not None and row.result["error"] is not None
    ]
    return sorted(
        points, key=lambda p: (*(str(p[key]) for key in _FAMILY), p["n"], p["solver"], str(sorted(p.items())))
    )


@styled
def draw(points: Table) -> Figure:
    """A row of two axes for each law, d and k: medians with all instances, and what is proved."""
    families = list(dict.fromkeys(tuple(point[key] for key in _FAMILY) for point in points))
    solvers = sorted({point["solver"] for point in points})
    if len(families) > _MOST_FAMILIES or len(solvers) > len(_LOOKS):
        raise InvalidInputError(
            f"{len(families)} combinations of law, d and k and {len(solvers)} solvers are too many for one figure; "
            f"at most {_MOST_FAMILIES} and {len(_LOOKS)}"
        )
    looks = dict(zip(solvers, _LOOKS, strict=False))
    figure = Figure(figsize=(10.5, 1.3 + 3.6 * len(families)), layout="constrained")
    grid = figure.subplots(len(families), 2, squeeze=False)
    for (left, right), family in zip(grid, families, strict=True):
        some = [point for point in points if tuple(point[key] for key in _FAMILY) == family]
        most = max(point["n"] for point in some)
        _over_n(left, _of_the_longest_runs(some), looks)
        _over_seconds(right, [point for point in some if point["n"] == most], looks)
        law, d, k = family
        size = "" if k is None else f", k = {k}"
        left.set_title(f"{law}, d = {d}{size}")
        right.set_title(f"{law}, d = {d}{size}, n = {most:,}")
    handles = [Line2D([], [], label=solver, **look) for solver, look in looks.items()]
    handles.append(Line2D([], [], color=INK, linestyle="--", label="median of the largest proved lower bounds"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def summary(points: Table) -> dict[str, Any]:
    """For each family, n, solver and limit: how many instances, how many proved optimal, median error and seconds."""
    keys = (*_FAMILY, "n", "solver", "limit")
    groups = _grouped(points, lambda point: tuple(point[key] for key in keys))
    return {
        "medians": [
            dict(zip(keys, group, strict=True))
            | {
                "instances": len(some),
                "optimal": sum(point["status"] == "OPTIMAL" for point in some),
                "error": float(np.median([point["error"] for point in some])),
                "seconds": float(np.median([point["seconds"] for point in some])),
            }
            for group, some in groups.items()
        ]
    }


def _place(point: dict[str, Any]) -> tuple[Any, ...]:
    """Where a point stands in the table; no two have the same place but for their tolerance."""
    k = -1 if point["k"] is None else point["k"]
    words = (point["solver"], point["seed"], point["instance"], point["limit"], point["error"])
    return (point["law"], point["d"], k, point["n"], *words)


def _limit(parameters: Any) -> str:
    seconds, work = parameters["time_limit"], parameters["max_work"]
    words = ("" if seconds is None else f"{seconds:g} s", "" if work is None else f"{work:,} sums")
    return ", ".join(word for word in words if word)


def _grouped(points: Iterable[dict[str, Any]], key: Callable[[dict[str, Any]], Any]) -> dict[Any, Table]:
    groups: dict[Any, Table] = {}
    for point in points:
        groups.setdefault(key(point), []).append(point)
    return groups


def _of_the_longest_runs(points: Table) -> Table:
    """For each solver and n the points of one limit, that with which it took longest."""
    kept: Table = []
    for some in _grouped(points, lambda point: (point["solver"], point["n"])).values():
        limits = _by_limit(some)
        medians = {limit: float(np.median([p["seconds"] for p in same])) for limit, same in limits.items()}
        kept += limits[max(medians, key=lambda limit: (medians[limit], limit))]
    return kept


def _by_limit(points: Table) -> dict[Any, Table]:
    return _grouped(points, lambda point: point["limit"])


def _over_n(axes: Axes, points: Table, looks: dict[str, Any]) -> None:
    for solver, some in _grouped(points, lambda point: point["solver"]).items():
        by_n = _grouped(some, lambda point: point["n"])
        curve = [(n, float(np.median([p["error"] for p in by_n[n]]))) for n in sorted(by_n)]
        _curve(axes, [(p["n"], p["error"]) for p in some], curve, looks[solver])
    instances = _grouped(points, lambda point: (point["n"], point["seed"], point["instance"]))
    proved: dict[int, list[float]] = {}
    for (n, _, _), some in instances.items():
        proved.setdefault(n, []).append(max(point["lower_bound"] for point in some))
    ns = sorted(proved)
    medians = [float(np.median(proved[n])) for n in ns]
    shown = [(n, bound) for n, bound in zip(ns, medians, strict=True) if bound > 0]
    axes.plot([n for n, _ in shown], [bound for _, bound in shown], color=INK, linestyle="--", linewidth=1.4)
    axes.set_yscale("log")
    if ns[-1] > 8 * ns[0]:
        axes.set_xscale("log")
    axes.set_xlabel("n")
    axes.set_ylabel("error (sup norm)")
    tidy(axes)


def _over_seconds(axes: Axes, points: Table, looks: dict[str, Any]) -> None:
    for solver, some in _grouped(points, lambda point: point["solver"]).items():
        medians = [
            (float(np.median([p["seconds"] for p in same])), float(np.median([p["error"] for p in same])))
            for same in _by_limit(some).values()
        ]
        _curve(axes, [(p["seconds"], p["error"]) for p in some], sorted(medians), looks[solver])
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("seconds")
    axes.set_ylabel("error (sup norm)")
    tidy(axes)


def _curve(axes: Axes, every: list[tuple[Any, float]], medians: list[tuple[Any, float]], look: dict[str, Any]) -> None:
    """All points small and pale, medians large and joined; an error of 0 has no place on a log axis."""
    pale = {"color": look["color"], "linestyle": "none", "marker": ".", "markersize": 4, "alpha": 0.45}
    for points, style in ((every, pale), (medians, {**look, "markersize": 6, "linewidth": 1.6})):
        shown = [(x, y) for x, y in points if y > 0]
        axes.plot([x for x, _ in shown], [y for _, y in shown], **style)


PLOT = PlotKind("solvers", ("solver",), table, draw, summary)
