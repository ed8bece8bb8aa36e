"""The phase transition at fixed cardinality: how often exactly k of n rows hit, over n and k."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.figure import Figure

from sslth.experiments.figure_style import styled
from sslth.experiments.plot_kinds.cardinality import binary_entropy
from sslth.experiments.plot_kinds.cardinality import table as table
from sslth.experiments.plot_kinds.heat_map import COUNTING, HALF, PROVED, THEOREM, counts_over, measured_half
from sslth.experiments.plot_kinds.phase_figure import Look, Widths, phase_figure, proved_half
from sslth.experiments.plot_kinds.plot_kind import PlotKind, Table
from sslth.experiments.reference_widths import counting_epsilon

__all__ = ["PLOT", "rfss_constant", "rfss_width"]

_PANEL = ("law", "target", "d", "epsilon")
_COORDINATE = {"corner": 1.0, "zero": 0.0}
_WIDEST = 200  # rows: lines leave the figure long before
_LOOKS: dict[str, Look] = {
    "half": ("half of the instances hit (measured)", HALF),
    "counting": ("counting: the expected number of k-subsets is 1", COUNTING),
    "paley_zygmund": ("Paley–Zygmund proves 1/2 above", PROVED),
    "theorem": ("RFSS theorem (d = 1), n·H2(k/n) = C·log2(k/ε), least C", THEOREM),
}


@styled
def draw(points: Table) -> Figure:
    """One heat map for each law, target, d and ε. White: every instance was proved to have no such k-subset."""
    return phase_figure(
        _panels(points),
        "k",
        _widths,
        _LOOKS,
        named="law, target, d and epsilon",
        title=lambda name: f"{name[0]} rows, d = {name[2]}, target: {name[1]}, ε = {name[3]:g}",
        panel_width=5.0,
        xlabel="cardinality k",
        share="share of instances with a k-subset within ε",
    )


def _widths(some: Table) -> Widths:
    """For each k where the measured share and the bound rise through 1/2, the counting width, the theorem's."""
    first = some[0]
    ks = sorted({point["k"] for point in some})
    half = measured_half(counts_over(some, "k"), ks)
    counted = {k: _counting_width(first, k) for k in ks}
    constant = rfss_constant(half, first["epsilon"]) if first["d"] == 1 else None
    theorem = {k: None if constant is None else rfss_width(k, first["epsilon"], constant) for k in ks}
    return {"half": half, "counting": counted, "paley_zygmund": proved_half(some, "k"), "theorem": theorem}


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
