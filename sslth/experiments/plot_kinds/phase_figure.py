"""The figure of a phase transition: a heat map for each panel, the lines that theory draws over it, one legend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sslth.errors import InvalidInputError
from sslth.experiments.plot_kinds.heat_map import counts_over, crossing, heat_map
from sslth.experiments.plot_kinds.plot_kind import Table

__all__ = ["Look", "Widths", "phase_figure", "proved_half"]

Look = tuple[str, dict[str, Any]]  # the legend's words, and how the line is drawn
Widths = dict[str, dict[int, float | None]]  # lines by name: n by column

_MOST_PANELS = 4


def phase_figure(
    panels: Mapping[tuple[Any, ...], Table],
    column: str,
    widths: Callable[[Table], Widths],
    looks: Mapping[str, Look],
    *,
    named: str,
    title: Callable[[tuple[Any, ...]], str],
    panel_width: float,
    xlabel: str,
    share: str,
) -> Figure:
    """Draw the shares over n and `column`, and each line that has a look.

    Parameters
    ----------
    panels : mapping
        Points by what tells panels apart.
    widths : callable
        The lines of one panel.
    named : str
        What tells panels apart, for the error if there are more than four.
    """
    if len(panels) > _MOST_PANELS:
        raise InvalidInputError(f"{len(panels)} combinations of {named}; at most {_MOST_PANELS}")
    figure = Figure(figsize=(2.6 + panel_width * len(panels), 6.2), layout="constrained")
    every = figure.subplots(1, len(panels), squeeze=False)[0]
    image = None
    for axes, (name, some) in zip(every, panels.items(), strict=True):
        image = heat_map(axes, counts_over(some, column))
        columns, lines = sorted({point[column] for point in some}), widths(some)
        for line, (_, look) in looks.items():
            shown = [(columns.index(x), n) for x, n in lines[line].items() if n is not None]
            axes.plot([x for x, _ in shown], [n for _, n in shown], **look)
        axes.set_title(title(name))
        axes.set_xlabel(xlabel)
        axes.set_ylabel("rows n")
    assert image is not None
    figure.colorbar(image, ax=list(every), label=share, shrink=0.85)
    handles = [Line2D([], [], label=label, **look) for label, look in looks.values()]
    if any(point["open"] for some in panels.values() for point in some):
        handles.append(Line2D([], [], linestyle="none", marker="$?$", color="black", label="some left open"))
    figure.legend(handles=handles, loc="outside lower center", ncols=1 if len(panels) == 1 else 2)
    return figure


def proved_half(points: Table, column: str) -> dict[int, float | None]:
    """For each value of the column the n at which Paley–Zygmund's bound rises through 1/2."""
    found: dict[int, float | None] = {}
    for x in sorted({point[column] for point in points}):
        bounds = {p["n"]: p["paley_zygmund"] for p in points if p[column] == x and p["paley_zygmund"] is not None}
        found[x] = crossing(sorted(bounds), [bounds[n] for n in sorted(bounds)])
    return found
