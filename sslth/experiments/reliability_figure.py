"""Reliability diagrams: accuracy against confidence, with how many examples there are at each confidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sslth.errors import InvalidInputError
from sslth.experiments.figure_style import INK, PALETTE, Destination, saved, styled, tidy
from sslth.mining.metrics.reliability import Reliability
from sslth.theory.intervals import clopper_pearson

__all__ = ["reliability_figure"]


def reliability_figure(
    diagrams: Mapping[str, Reliability],
    path_or_stream: Destination | None = None,
    format: str | None = None,
    *,
    columns: int = 3,
) -> Figure:
    """Draw one diagram for each name: accuracy of each bin at its mean confidence, and the share of examples below.

    Bars are Clopper–Pearson's 95 % intervals, for examples that are independent. A bin below the dashed line is too
    confident. The title gives the expected calibration error of the bins that are drawn.

    Raises
    ------
    InvalidInputError
        If there is nothing to draw.
    """
    if not diagrams:
        raise InvalidInputError("there is no diagram to draw; give at least one")
    return saved(_drawn(diagrams, columns), path_or_stream, format)


@styled
def _drawn(diagrams: Mapping[str, Reliability], most: int) -> Figure:
    columns = min(most, len(diagrams))
    rows = -(-len(diagrams) // columns)
    figure = Figure(figsize=(3.5 * columns + 0.6, 4.3 * rows + 0.3), layout="constrained")
    grid = figure.add_gridspec(2 * rows, columns, height_ratios=[3.2, 1.0] * rows)
    for number, (name, diagram) in enumerate(diagrams.items()):
        row, column = divmod(number, columns)
        upper = figure.add_subplot(grid[2 * row, column])
        lower = figure.add_subplot(grid[2 * row + 1, column], sharex=upper)
        _diagram(upper, name, diagram)
        _shares(lower, diagram)
        if column == 0:
            upper.set_ylabel("accuracy")
            lower.set_ylabel("examples")
    figure.supxlabel("confidence", fontsize=11.0)
    return figure


def _diagram(axes: Any, name: str, diagram: Reliability) -> None:
    used = diagram.counts > 0
    x, y = diagram.confidence[used], diagram.accuracy[used]
    bounds = [
        clopper_pearson(int(right), int(count), 0.95)
        for right, count in zip(diagram.right[used], diagram.counts[used], strict=True)
    ]
    bars = np.maximum(0.0, [y - [low for low, _ in bounds], [high for _, high in bounds] - y])
    axes.plot([0.0, 1.0], [0.0, 1.0], color=INK, linestyle="--", linewidth=1.0)
    axes.errorbar(x, y, yerr=bars, color=PALETTE[0], marker="o", markersize=5, linewidth=1.4, capsize=2)
    axes.set_xlim(0.0, 1.02)
    axes.set_ylim(-0.02, 1.04)
    axes.set_title(f"{name}: ECE {diagram.error:.3f}")
    axes.tick_params(labelbottom=False)
    tidy(axes)


def _shares(axes: Any, diagram: Reliability) -> None:
    widths = np.diff(diagram.edges)
    axes.bar(
        diagram.edges[:-1] + widths / 2, diagram.counts / diagram.counts.sum(), width=0.9 * widths, color="#9A9A9A"
    )
    axes.set_ylim(0.0, 1.0)
    axes.set_yticks([0.0, 0.5, 1.0], ["0", "50 %", "100 %"])
    tidy(axes)
