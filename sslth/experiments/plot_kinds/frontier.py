"""Structured against unstructured: the error of one ReLU neuron against the width, by what the mask may remove."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sslth.experiments.figure_style import INK, MARKERS, PALETTE, styled, tidy
from sslth.experiments.plot_kinds.plot_kind import PlotKind, Table
from sslth.experiments.store import Row
from sslth.theory.least_squares import coefficient_interval
from sslth.theory.order_statistics import median_interval

__all__ = ["PLOT"]

_CONFIDENCE = 0.99
_LABELS = {
    "filters_bound": "filters removed: proved lower bound, any output weights",
    "linear_output": "filters removed, no ReLU after: exact",
    "filters": "filters removed, ReLU after: at least",
    "blocked": "channel-blocked mask, then filters: exact",
    "weights": "single weights removed: at most",
}


def table(rows: Sequence[Row]) -> Table:
    """One dict a random network: its width, what was removed, and its error or bound."""
    points = [
        {key: row.parameters[key] for key in ("removal", "n", "seed")} | {"network": number, "error": error}
        for row in rows
        if row.result is not None
        for number, error in enumerate(row.result["errors"])
    ]
    return sorted(points, key=lambda point: (point["removal"], point["n"], point["seed"], point["network"]))


@styled
def draw(points: Table) -> Figure:
    """The same medians twice: log axes, where powers are straight, and a linear width, where exponentials are."""
    figure = Figure(figsize=(11.5, 5.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    kinds = [removal for removal in _LABELS if any(point["removal"] == removal for point in points)]
    for number, removal in enumerate(kinds):
        some = [point for point in points if point["removal"] == removal]
        _medians(left, some, number, _LABELS[removal])
        _medians(right, [point for point in some if point["n"] <= 100], number, None)
    _one_over_n(left, points)
    left.set_xscale("log")
    left.set_yscale("log")
    left.set_title("log axes: a power of n is straight")
    right.set_title("linear width: an exponential is straight")
    left.set_ylabel("median error on [−1, 1]², sup norm")
    for axes in (left, right):
        axes.set_xlabel("width n: random hidden neurons")
        tidy(axes)
    figure.suptitle("One ReLU neuron of two inputs, out of a random two-layer network")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _medians(axes: Axes, some: Table, number: int, label: str | None) -> None:
    ns = sorted({point["n"] for point in some})
    errors = {n: [point["error"] for point in some if point["n"] == n] for n in ns}
    found = [(n, *median_interval(errors[n], _CONFIDENCE)) for n in ns]
    found = [(n, median, ends) for n, median, ends in found if median > 0.0]
    if not found:
        return
    low = [median - max(a, min(errors[n])) for n, median, (a, _) in found]
    high = [min(b, max(errors[n])) - median for n, median, (_, b) in found]
    axes.errorbar(
        [n for n, _, _ in found],
        [median for _, median, _ in found],
        yerr=[low, high],
        color=PALETTE[number],
        marker=MARKERS[number],
        markersize=5,
        linewidth=1.6,
        capsize=2,
        label=label,
    )


def _one_over_n(axes: Axes, points: Table) -> None:
    bounds = [point for point in points if point["removal"] == "filters_bound"]
    if bounds:
        constant = float(np.median([point["n"] * point["error"] for point in bounds]))
        ends = [min(point["n"] for point in bounds), max(point["n"] for point in bounds)]
        axes.plot(ends, [constant / n for n in ends], color=INK, linestyle="--", linewidth=1.2, label="c / n")


def summary(points: Table) -> dict[str, Any]:
    """For each way to remove: the power of n in the lower bound, else the bits that each further neuron gains."""
    found = []
    for removal in _LABELS:
        some = [point for point in points if point["removal"] == removal and point["error"] > 0.0]
        if len({point["n"] for point in some}) < 2 or len(some) < 4:
            continue
        n, error = (np.array([point[key] for point in some], dtype=np.float64) for key in ("n", "error"))
        power = removal == "filters_bound"
        x, y = (np.log(n), np.log(error)) if power else (n, np.log2(error))
        slope, ends = coefficient_interval(np.stack([np.ones_like(x), x], axis=1), y, 1, _CONFIDENCE)
        what = "power of n" if power else "bits a neuron"
        found.append({"removal": removal, "fit": what, "value": slope, "interval": list(ends), "networks": len(some)})
    return {"fits": found}


PLOT = PlotKind("frontier", ("structure",), table, draw, summary)
