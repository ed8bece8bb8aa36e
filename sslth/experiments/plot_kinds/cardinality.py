"""Fixed cardinality: how often a subset of k rows hits, over k/n, beside the binary entropy and counting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sslth.errors import InvalidInputError
from sslth.experiments.figure_style import INK, MARKERS, PALETTE, styled, tidy
from sslth.experiments.plot_kinds.plot_kind import PlotKind, Table
from sslth.experiments.reference_widths import counting_epsilon
from sslth.experiments.store import Row
from sslth.theory.intervals import clopper_pearson
from sslth.theory.second_moment import paley_zygmund

__all__ = ["PLOT", "binary_entropy"]

_CONFIDENCE = 0.99
_COORDINATE = {"corner": 1.0, "zero": 0.0}
_SERIES = ("law", "target", "d", "n", "epsilon")


def binary_entropy(share: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return H2(x) = -x log2 x - (1 - x) log2(1 - x), float64 of the shape of x; 0 at 0 and 1.

    Examples
    --------
    >>> binary_entropy([0.0, 0.5, 1.0]).tolist()
    [0.0, 1.0, 0.0]
    """
    x = np.asarray(share, dtype=np.float64)
    inside = np.clip(x, 1e-300, 1.0 - 1e-16)
    found = -inside * np.log2(inside) - (1.0 - inside) * np.log2(1.0 - inside)
    return np.where((x <= 0.0) | (x >= 1.0), 0.0, found)


def table(rows: Sequence[Row]) -> Table:
    """One dict a cell with fixed cardinality: share with interval, H2(k/n), floor and Paley–Zygmund's bound."""
    points = []
    for row in rows:
        if row.result is None or row.parameters["k"] is None:
            continue
        p, counts = row.parameters, row.result
        decided = counts["hits"] + counts["misses"]
        low, high = clopper_pearson(counts["hits"], decided, _CONFIDENCE) if decided else (0.0, 1.0)
        coordinate = {"coordinate": _COORDINATE[p["target"]]} if p["target"] in _COORDINATE else {}
        bound = None
        if p["law"] != "uniform" and coordinate and p["k"]:
            at = _COORDINATE[p["target"]]
            bound = paley_zygmund(p["law"], p["n"], p["d"], p["k"], epsilon=p["epsilon"], target=at).bound
        points.append(
            {key: p[key] for key in (*_SERIES, "k", "seed")}
            | {key: counts[key] for key in ("hits", "misses", "open")}
            | {"share": counts["hits"] / decided if decided else None, "low": low, "high": high}
            | {"entropy": float(binary_entropy(p["k"] / p["n"])), "paley_zygmund": bound}
            | {"counting_epsilon": counting_epsilon(p["law"], p["n"], p["d"], p["k"], **coordinate)}
        )
    return sorted(points, key=lambda point: (*(str(point[key]) for key in _SERIES), point["k"], point["seed"]))


@styled
def draw(points: Table) -> Figure:
    """Shares with Clopper–Pearson bars, the bound as thin lines, H2(k/n) on an axis of its own."""
    groups = _groups(points)
    if len(groups) > len(PALETTE):
        raise InvalidInputError(f"{len(groups)} series are too many for one figure; draw at most {len(PALETTE)}")
    figure = Figure(figsize=(8.0, 5.6), layout="constrained")
    axes = figure.add_subplot()
    handles = []
    for (name, some), colour, marker in zip(groups.items(), PALETTE, MARKERS, strict=False):
        shown = [point for point in some if point["share"] is not None]
        x = [point["k"] / point["n"] for point in shown]
        y = np.array([point["share"] for point in shown])
        bars = np.maximum(0.0, [y - [p["low"] for p in shown], [p["high"] for p in shown] - y])
        axes.errorbar(x, y, yerr=bars, color=colour, marker=marker, capsize=2, linewidth=1.6, markersize=5)
        law, target, d, n, epsilon = name
        label = f"n = {n}, d = {d}, ε = {epsilon:g} ({law}, target {target})"
        handles.append(Line2D([], [], color=colour, marker=marker, label=label))
        bounded = [(p["k"] / p["n"], p["paley_zygmund"]) for p in some if p["paley_zygmund"] is not None]
        if bounded:
            axes.plot([a for a, _ in bounded], [b for _, b in bounded], color=colour, linestyle=":", linewidth=1.8)
        hopeful = [p["k"] / p["n"] for p in some if p["counting_epsilon"] <= p["epsilon"]]
        for end in (min(hopeful), max(hopeful)) if hopeful else ():
            axes.axvline(end, color=colour, linestyle="--", linewidth=1.0, alpha=0.8)
    curve = np.linspace(0.0, 1.0, 401)
    axes.plot(curve, binary_entropy(curve), color=INK, linewidth=1.2)
    handles.append(
        Line2D([], [], color=INK, linewidth=1.2, label="H2(k/n): bits a row that the choice of a subset has")
    )
    handles.append(Line2D([], [], color="#555555", linestyle=":", linewidth=1.8, label="Paley–Zygmund: at least"))
    handles.append(
        Line2D([], [], color="#555555", linestyle="--", linewidth=1.0, label="between: at least one subset is expected")
    )
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(-0.02, 1.04)
    axes.set_xlabel("share of the rows that is kept, k/n")
    axes.set_ylabel("share of instances with a k-subset within ε; H2")
    axes.set_title("Fixed cardinality: success against k/n, bars 99 %")
    tidy(axes)
    figure.legend(handles=handles, loc="outside lower center", ncols=1)
    return figure


def summary(points: Table) -> dict[str, Any]:
    """For each series the k with the largest share, and the k for which counting expects a subset."""
    found = []
    for name, some in _groups(points).items():
        best = max(some, key=lambda point: point["share"] or 0.0)
        hopeful = [point["k"] for point in some if point["counting_epsilon"] <= point["epsilon"]]
        found.append(
            dict(zip(_SERIES, name, strict=True))
            | {"best_k": best["k"], "best_share": best["share"], "expected_from": min(hopeful, default=None)}
            | {"expected_to": max(hopeful, default=None), "open": sum(point["open"] for point in some)}
        )
    return {"series": found}


def _groups(points: Table) -> dict[tuple[Any, ...], Table]:
    groups: dict[tuple[Any, ...], Table] = {}
    for point in points:
        groups.setdefault(tuple(point[key] for key in _SERIES), []).append(point)
    return groups


PLOT = PlotKind("cardinality", ("success",), table, draw, summary)
