"""The phase transition: how often a subset hits, over n and d, beside counting, the second moment and the theorem."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from sslth.experiments.figure_style import styled
from sslth.experiments.plot_kinds.heat_map import COUNTING, HALF, PROVED, THEOREM, counts_over, measured_half
from sslth.experiments.plot_kinds.phase_figure import Look, Widths, phase_figure, proved_half
from sslth.experiments.plot_kinds.plot_kind import PlotKind, Table
from sslth.experiments.reference_widths import counting_epsilon, counting_width, mrss_shape
from sslth.experiments.store import Row
from sslth.theory.intervals import clopper_pearson
from sslth.theory.second_moment import paley_zygmund

__all__ = ["PLOT"]

_CONFIDENCE = 0.99
_PANEL = ("law", "target", "epsilon")
_COORDINATE = {"corner": 1.0, "zero": 0.0}  # a target uniform in the cube: counting at its root mean square, no bound


_LOOKS: dict[str, Look] = {
    "half": ("half of the instances hit (measured)", HALF),
    "counting": ("counting: the expected number of subsets is 1", COUNTING),
    "paley_zygmund": ("Paley–Zygmund proves 1/2 above", PROVED),
    "theorem": ("theorem, C·d³·log(1/ε)·(log(1/ε) + log d), least C", THEOREM),
}


def table(rows: Sequence[Row]) -> Table:
    """One dict a cell without fixed cardinality: counts, share with its interval, floor and Paley–Zygmund's bound."""
    points = []
    for row in rows:
        if row.result is None or row.parameters["k"] is not None:
            continue
        p, counts = row.parameters, row.result
        decided = counts["hits"] + counts["misses"]
        low, high = clopper_pearson(counts["hits"], decided, _CONFIDENCE) if decided else (0.0, 1.0)
        points.append(
            {key: p[key] for key in (*_PANEL, "n", "d", "seed")}
            | {key: counts[key] for key in ("hits", "misses", "open")}
            | {"share": counts["hits"] / decided if decided else None, "low": low, "high": high}
            | {"counting_epsilon": _counting(p), "paley_zygmund": _second_moment(p)}
        )
    return sorted(
        points, key=lambda point: (*(str(point[key]) for key in _PANEL), point["d"], point["n"], point["seed"])
    )


def _counting(parameters: dict[str, Any]) -> float:
    if parameters["target"] in _COORDINATE:
        return counting_epsilon(
            parameters["law"], parameters["n"], parameters["d"], coordinate=_COORDINATE[parameters["target"]]
        )
    return counting_epsilon(parameters["law"], parameters["n"], parameters["d"])


def _second_moment(parameters: dict[str, Any]) -> float | None:
    """The bound at the one target of all instances; None for uniform rows or targets, for which none is computed."""
    if parameters["law"] == "uniform" or parameters["target"] not in _COORDINATE:
        return None
    return paley_zygmund(
        parameters["law"],
        parameters["n"],
        parameters["d"],
        epsilon=parameters["epsilon"],
        target=_COORDINATE[parameters["target"]],
    ).bound


@styled
def draw(points: Table) -> Figure:
    """One heat map for each law, target and ε. White: every instance was proved to have no subset within ε."""
    return phase_figure(
        _panels(points),
        "d",
        _widths,
        _LOOKS,
        named="law, target and epsilon",
        title=lambda name: f"{name[0]} rows, target: {name[1]}, ε = {name[2]:g}",
        panel_width=4.4,
        xlabel="dimension d",
        share="share of instances with a subset within ε",
    )


def _widths(some: Table) -> Widths:
    """For each d where the measured share and the bound cross 1/2, the counting width, and the theorem's, least C."""
    first = some[0]
    ds = sorted({point["d"] for point in some})
    half = measured_half(counts_over(some, "d"), ds)
    coordinate = {"coordinate": _COORDINATE[first["target"]]} if first["target"] in _COORDINATE else {}
    counted = {d: float(counting_width(first["law"], d, first["epsilon"], **coordinate)) for d in ds}
    constant = _constant(half, first["epsilon"])
    theorem = {d: None if constant is None else constant * mrss_shape(d, first["epsilon"]) for d in ds}
    return {"half": half, "paley_zygmund": proved_half(some, "d"), "counting": dict(counted), "theorem": theorem}


def _constant(half: dict[int, float | None], epsilon: float) -> float | None:
    """The smallest C with which the theorem's width is enough for half of the instances at every d measured."""
    if not epsilon < 1.0:
        return None
    return max((n / mrss_shape(d, epsilon) for d, n in half.items() if n is not None), default=None)


def summary(points: Table) -> dict[str, Any]:
    """For each panel the widths of the four lines, the least C of the theorem, and how many instances stayed open."""
    found = []
    for name, some in _panels(points).items():
        widths = _widths(some)
        found.append(
            dict(zip(_PANEL, name, strict=True))
            | {key: {str(d): n for d, n in values.items()} for key, values in widths.items()}
            | {"least_constant": _constant(widths["half"], name[2]), "open": sum(point["open"] for point in some)}
        )
    return {"transitions": found}


def _panels(points: Table) -> dict[tuple[Any, ...], Table]:
    panels: dict[tuple[Any, ...], Table] = {}
    for point in points:
        panels.setdefault(tuple(point[key] for key in _PANEL), []).append(point)
    return panels


PLOT = PlotKind("phase", ("success",), table, draw, summary)
