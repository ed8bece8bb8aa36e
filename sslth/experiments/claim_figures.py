"""The figure of a claim: measured points with their intervals, what the claim says of them, and what theory says."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from sslth.errors import InvalidInputError
from sslth.experiments.figure_style import INK, MARKERS, PALETTE, Destination, saved, styled, tidy
from sslth.theory.claims import Panel, Series

__all__ = ["draw_claim"]

FloatArray = npt.NDArray[np.float64]
Points = tuple[FloatArray, FloatArray]  # x and y

_ROLES = ("measured", "bound", "theory")
_DASHES: dict[str, tuple[Any, ...]] = {
    "bound": ((0, (5, 2)), (0, (1.5, 1.5)), (0, (7, 2, 1.5, 2))),
    "theory": ("-", (0, (12, 1.5)), (0, (12, 1.5, 2, 1.5))),
}
_MANY = 60  # points without room for markers and bars of full size
_SHORT = 300  # largest by smallest value of a log axis that has plain numbers
_WIDE = 78  # characters of a title on one line of a figure with one column


@dataclass(frozen=True)
class _Look:
    colour: str
    marker: str
    dashes: Any


@styled
def draw_claim(
    panels: Sequence[Panel],
    title: str = "",
    path_or_stream: Destination | None = None,
    format: str | None = None,
) -> Figure:
    """Draw the panels side by side, two in a row: points with bars are measured, dashed is the claim, lines are theory.

    Returns the figure, and saves it if there is somewhere to save it to (see `save_figure`). Where a panel has as many
    bounds or theory lines as measured series they share colours in that order. A value that an axis cannot show (not
    finite, or not above 0 on a log axis) is left out, and its legend entry says how many were.

    Raises
    ------
    InvalidInputError
        If there is no panel, a series has lists of unequal length or an unknown role, or the file cannot be written.
    """
    if not panels:
        raise InvalidInputError("there is no panel to draw")
    for panel in panels:
        for series in panel.series:
            _check(series)
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(7.5 if columns == 1 else 12.0, 5.4 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw_panel(axes, panel, _WIDE if columns == 1 else _WIDE * 3 // 4)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    if title:
        figure.suptitle(_wrapped(title, _WIDE * columns), fontweight="bold")
    return saved(figure, path_or_stream, format)


def _draw_panel(axes: Axes, panel: Panel, width: int) -> None:
    axes.set_xscale("log" if panel.log_x else "linear")
    axes.set_yscale("log" if panel.log_y else "linear")
    looks = _looks(panel.series)
    limits = _limits(panel)
    reach = (-math.inf, math.inf) if limits is None else (2 * limits[0] - limits[1], 2 * limits[1] - limits[0])
    handles = []
    for series, look in zip(panel.series, looks, strict=True):
        x, y, label = _visible(series, panel)
        draw = _draw_points if series.role == "measured" else _draw_line
        handles.append(draw(axes, series, look, (x, y), label, reach))
    if limits is not None:
        axes.set_ylim(*limits)
    axes.set_title(_wrapped(panel.title, width))
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(_wrapped(panel.y_label, 52))
    _set_ticks(axes, panel)
    tidy(axes)
    _add_legend(axes, handles, width)


def _add_legend(axes: Axes, handles: Sequence[Any], width: int) -> None:
    """Put it below the axes, where it hides neither points nor bars."""
    if not handles:
        return
    longest = max(len(handle.get_label()) for handle in handles)
    columns = max(1, min(3, len(handles), 5 * width // (4 * (longest + 6))))
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=columns, frameon=False)


def _draw_line(
    axes: Axes, _series: Series, look: _Look, points: Points, label: str, _reach: tuple[float, float]
) -> Line2D:
    x, y = points
    order = np.argsort(x, kind="stable")
    marker = "_" if len(x) == 1 else None  # a line through one point would not be seen
    (line,) = axes.plot(
        x[order], y[order], color=look.colour, linestyle=look.dashes, linewidth=1.8, marker=marker, markersize=22,
        markeredgewidth=1.8, label=label, zorder=2.0,
    )  # fmt: skip
    return line


def _draw_points(
    axes: Axes, series: Series, look: _Look, points: Points, label: str, reach: tuple[float, float]
) -> ErrorbarContainer:
    x, y = points
    many = len(x) > _MANY
    bars = None
    if len(series.low):
        # The limits are set from finite values later: a bar without end is drawn beyond the edge.
        low = np.where(np.isnan(series.low), y, np.clip(series.low, *reach))
        high = np.where(np.isnan(series.high), y, np.clip(series.high, *reach))
        bars = np.maximum(0.0, np.stack([y - low, high - y]))
        bars[:, ~np.isfinite(y)] = 0.0
    return axes.errorbar(
        x, y, yerr=bars, color=look.colour, linestyle="none", marker="." if many else look.marker,
        markersize=4 if many else 6, elinewidth=0.8 if many else 1.6, capsize=0 if many else 4, label=label,
        zorder=3.0,  # on top of the lines
    )  # fmt: skip


def _visible(series: Series, panel: Panel) -> tuple[FloatArray, FloatArray, str]:
    """The points, NaN where the axes cannot show one, and the label, which says how many that are."""
    x, y = np.array(series.x, dtype=np.float64), np.array(series.y, dtype=np.float64)
    hidden = ~(np.isfinite(x) & np.isfinite(y)) | (panel.log_x & (x <= 0)) | (panel.log_y & (y <= 0))
    y[hidden] = np.nan
    count = int(hidden.sum())
    return x, y, f"{series.label} ({count} not shown)" if count else series.label


def _set_ticks(axes: Axes, panel: Panel) -> None:
    """Whole numbers where all data are whole; plain numbers instead of powers on a short log axis."""
    for axis, name, log in ((axes.xaxis, "x", panel.log_x), (axes.yaxis, "y", panel.log_y)):
        low, high = sorted(axis.get_view_interval())
        whole = all(float(value).is_integer() for one in panel.series for value in getattr(one, name))
        if log and low >= 1e-3 and high < 1e5 and high / low < _SHORT:
            # Decades alone are too few labels here, and every digit would be too many.
            short = MaxNLocator(6, integer=whole)
            axis.set_major_locator(short if high / low < (12 if whole else 4) else LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter(FuncFormatter(_plain))
            axis.set_minor_formatter(NullFormatter())
        elif whole and not log:
            axis.set_major_locator(MaxNLocator("auto", integer=True))


def _plain(value: float, _place: int | None = None) -> str:
    return f"{value:g}"


def _limits(panel: Panel) -> tuple[float, float] | None:
    """Ends of the y axis around what is finite; None if that is everything, and matplotlib may choose."""
    every = [value for series in panel.series for value in (*series.y, *series.low, *series.high)]
    shown = [float(value) for value in every if math.isfinite(value) and (value > 0 or not panel.log_y)]
    if len(shown) == len(every) or not shown:
        return None
    low, high = min(shown), max(shown)
    room = 0.06 * (high - low) or 0.5
    return (low / 1.6, high * 1.6) if panel.log_y else (low - room, high + room)


def _looks(series: Sequence[Series]) -> list[_Look]:
    """Colour, marker and dashes of every series: never colour alone."""
    counts = {role: sum(one.role == role for one in series) for role in _ROLES}
    seen = dict.fromkeys(_ROLES, 0)
    looks = []
    for one in series:
        place = seen[one.role]
        seen[one.role] += 1
        paired = one.role == "measured" or counts[one.role] == counts["measured"] > 1
        free = counts["measured"] + place + (counts["bound"] if one.role == "theory" and counts["bound"] > 1 else 0)
        colour = PALETTE[(place if paired else free) % len(PALETTE)]
        if counts[one.role] == 1 and one.role == "bound":
            colour = INK
        dashes = "none" if one.role == "measured" else _DASHES[one.role][place % 3]
        looks.append(_Look(colour, MARKERS[place % len(MARKERS)], dashes))
    return looks


def _check(series: Series) -> None:
    if series.role not in _ROLES:
        raise InvalidInputError(f"the series {series.label!r} has the role {series.role!r}; take one of {_ROLES}")
    lengths = {len(series.x), len(series.y), *(len(ends) for ends in (series.low, series.high) if len(ends))}
    if len(lengths) != 1 or bool(len(series.low)) != bool(len(series.high)):
        raise InvalidInputError(f"the series {series.label!r} has lists of unequal length: {sorted(lengths)}")


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width)) or text
