"""The phase transition at fixed cardinality: how often exactly k of n rows hit, over n and k."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sslth.errors import InvalidInputError
from sslth.experiments.figure_style import styled
from sslth.experiments.plot_kinds.cardinality import binary_entropy
from sslth.experiments.plot_kinds.cardinality import table as table
from sslth.experiments.plot_kinds.heat_map import (
    COUNTING,
    HALF,
    PROVED,
    THEOREM,
    counts_over,
    crossing,
    heat_map,
    measured_half,
)
from sslth.experiments.plot_kinds.plot_kind import PlotKind, Table
from sslth.experiments.reference_widths import counting_epsilon

__all__ = ["PLOT", "rfss_constant", "rfss_width"]

_MOST_PANELS = 4
_PANEL = ("law", "target", "d", "epsilon")
_COORDINATE = {"corner": 1.0, "zero": 0.0}
_WIDEST = 200  # rows: lines leave the figure long before
_LOOKS: dict[str, dict[str, Any]] = {
    "half of the instances hit (measured)": HALF,
    "counting: the expected number of k-subsets is 1": COUNTING,
    "Paley–Zygmund proves 1/2 above": PROVED,
    "RFSS theorem (d = 1), n·H2(k/n) = C·log2(k/ε), least C": THEOREM,
}


@styled
def draw(points: Table) -> Figure:
    """One heat map for each law, target, d and ε. White: every instance was proved to have no such k-subset."""
    panels = _panels(points)
    if len(panels) > _MOST_PANELS:
        raise InvalidInputError(f"{len(panels)} combinations of law, target, d and epsilon; at most {_MOST_PANELS}")
    figure = Figure(figsize=(2.6 + 5.0 * len(panels), 6.2), layout="constrained")
    every = figure.subplots(1, len(panels), squeeze=False)[0]
    image = None
    for axes, (name, some) in zip(every, panels.items(), strict=True):
        image = heat_map(axes, counts_over(some, "k"))
        _lines(axes, some)
        law, target, d, epsilon = name
        axes.set_title(f"{law} rows, d = {d}, target: {target}, ε = {epsilon:g}")
        axes.set_xlabel("cardinality k")
        axes.set_ylabel("rows n")
    assert image is not None
    figure.colorbar(image, ax=list(every), label="share of instances with a k-subset within ε", shrink=0.85)
    handles = [Line2D([], [], label=label, **look) for label, look in _LOOKS.items()]
    if any(point["open"] for point in points):
        handles.append(Line2D([], [], linestyle="none", marker="$?$", color="black", label="some left open"))
    figure.legend(handles=handles, loc="outside lower center", ncols=1 if len(panels) == 1 else 2)
    return figure


def _lines(axes: Axes, some: Table) -> None:
    ks = sorted({point["k"] for point in some})
    for values, look in zip(_widths(some).values(), _LOOKS.values(), strict=True):
        shown = [(ks.index(k), n) for k, n in values.items() if n is not None]
        axes.plot([k for k, _ in shown], [n for _, n in shown], **look)


def _widths(some: Table) -> dict[str, dict[int, float | None]]:
    """For each k where the measured share and the bound rise through 1/2, the counting width, the theorem's."""
    first = some[0]
    ks = sorted({point["k"] for point in some})
    half = measured_half(counts_over(some, "k"), ks)
    proved: dict[int, float | None] = {}
    for k in ks:
        bounds = {p["n"]: p["paley_zygmund"] for p in some if p["k"] == k and p["paley_zygmund"] is not None}
        proved[k] = crossing(sorted(bounds), [bounds[n] for n in sorted(bounds)])
    counted = {k: _counting_width(first, k) for k in ks}
    constant = rfss_constant(half, first["epsilon"]) if first["d"] == 1 else None
    theorem = {k: None if constant is None else rfss_width(k, first["epsilon"], constant) for k in ks}
    return {"half": half, "counting": counted, "paley_zygmund": proved, "theorem": theorem}


def _counting_width(first: dict[str, Any], k: int) -> float | None:
    """The fewest rows of which one k-subset within ε is expected."""
    target = {"coordinate": _COORDINATE[first["target"]]} if first["target"] in _COORDINATE else {}
    for n in range(max(1, k), _WIDEST):
        if counting_epsilon(first["law"], n, first["d"], k, **target) <= first["epsilon"]:
            return float(n)
    return None


def rfss_width(k: int, epsilon: float, constant: float) -> float | None:
    """The fewest rows n >= 2 k with n H2(k/n) >= C log2(k/ε); None for k = 0 and beyond 200 rows.

    Examples
    --------
    >>> rfss_width(10, 2.0**-10, 1.0)
    20.0
    """
    wanted = constant * math.log2(k / epsilon) if k else math.inf
    return next((float(n) for n in range(2 * k, _WIDEST) if k and n * binary_entropy(k / n) >= wanted), None)


def rfss_constant(half: dict[int, float | None], epsilon: float) -> float | None:
    """The least C with which n H2(k/n) >= C log2(k/ε) asks for the measured n at every k with n >= 2 k.

    Examples
    --------
    >>> rfss_constant({1: 2.0}, 0.5)
    2.0
    """
    found = [
        float(n * binary_entropy(k / n)) / math.log2(k / epsilon)
        for k, n in half.items()
        if n is not None and k and n >= 2 * k and k > epsilon
    ]
    return max(found, default=None)


def summary(points: Table) -> dict[str, Any]:
    """For each panel the four lines, the least C of the theorem, and how many instances stayed open."""
    found = []
    for name, some in _panels(points).items():
        widths = _widths(some)
        constant = rfss_constant(widths["half"], some[0]["epsilon"]) if some[0]["d"] == 1 else None
        found.append(
            dict(zip(_PANEL, name, strict=True))
            | {key: {str(k): n for k, n in values.items()} for key, values in widths.items()}
            | {"least_constant": constant, "open": sum(point["open"] for point in some)}
        )
    return {"transitions": found}


def _panels(points: Table) -> dict[tuple[Any, ...], Table]:
    panels: dict[tuple[Any, ...], Table] = {}
    for point in points:
        panels.setdefault(tuple(point[key] for key in _PANEL), []).append(point)
    return panels


PLOT = PlotKind("phase-cardinality", ("success",), table, draw, summary)
