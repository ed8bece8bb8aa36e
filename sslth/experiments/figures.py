"""The figures of the main job: error against width, kept filters, kernels side by side, errors of the layers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from sslth.errors import InvalidInputError
from sslth.experiments.error_vs_width import WidthPoint, fit_power_law
from sslth.experiments.figure_style import (
    INK,
    MARKERS,
    PALETTE,
    Destination,
    figure_to_png,
    save_figure,
    saved,
    styled,
    tidy,
)
from sslth.experiments.kernel_figures import draw_kept_filters, draw_kernel_comparison

__all__ = [
    "draw_error_vs_width",
    "draw_kept_filters",
    "draw_kernel_comparison",
    "draw_layer_errors",
    "figure_to_png",
    "save_figure",
]

FloatArray = npt.NDArray[np.float64]

_MOST_SERIES = len(PALETTE)
_MOST_BARS = 16  # layers
_MOST_NAMES = 40


@styled
def draw_error_vs_width(
    points: Sequence[WidthPoint], path_or_stream: Destination | None = None, format: str | None = None
) -> Figure:
    """Draw the relative output error over the width: median, smallest to largest, all points, fitted power law.

    Each series (target, inputs and box) has its own colour, marker and line. Returns the figure, and saves it if
    there is somewhere to save it to (see `save_figure`).

    Raises
    ------
    InvalidInputError
        If no point has an error that log axes can show, or there are more series than colours.
    """
    shown = [(p, p.relative_output_error) for p in points if p.relative_output_error]
    if not shown:
        raise InvalidInputError("there is no error above 0 to draw against the width")
    names = sorted({point.series for point, _ in shown})
    if len(names) > _MOST_SERIES:
        raise InvalidInputError(f"{len(names)} series are too many for one figure; draw at most {_MOST_SERIES}")
    figure = Figure(figsize=(7.5, 5.0), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    for number, name in enumerate(names):
        widths = np.array([point.width for point, _ in shown if point.series == name])
        errors = np.array([error for point, error in shown if point.series == name])
        label = f"target {name[:8]}: " if len(names) > 1 else ""
        _draw_series(axes, widths, errors, number, label)
    every = sorted({point.width for point, _ in shown})
    axes.xaxis.set_major_locator(FixedLocator(every))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(every, [f"{width:,}" for width in every], rotation=0 if len(every) <= 8 else 45)
    axes.set_xlabel("width n (2n random 1×1 filters an input channel)")
    axes.set_ylabel("relative output error  ‖ticket − target‖₂ / ‖target‖₂")
    seeds = len({point.seed for point, _ in shown})
    axes.set_title(f"Output error against width, {seeds} random network{'s' if seeds > 1 else ''} a width")
    tidy(axes)
    axes.legend(loc="lower left", framealpha=0.9)
    return saved(figure, path_or_stream, format)


def _draw_series(axes: Axes, widths: npt.NDArray[np.int64], errors: FloatArray, number: int, label: str) -> None:
    every = np.unique(widths)
    groups = [errors[widths == width] for width in every]
    colour, marker = PALETTE[number], MARKERS[number]
    axes.fill_between(
        every,
        [group.min() for group in groups],
        [group.max() for group in groups],
        color=colour,
        alpha=0.2,
        linewidth=0,
        label=f"{label}smallest to largest",
    )
    axes.plot(widths, errors, linestyle="none", marker=".", markersize=4, color=colour, alpha=0.55)
    medians = [np.median(group) for group in groups]
    axes.plot(every, medians, color=colour, marker=marker, markersize=6, linewidth=1.8, label=f"{label}median")
    try:
        law = fit_power_law(widths, errors)
    except InvalidInputError:  # too few points for a slope: the data are shown all the same
        return
    ends = np.array([law.smallest_width, law.largest_width])
    where = f"n = {law.smallest_width:,} to {law.largest_width:,}"
    text = f"{label}slope {law.slope:.2f} ± {law.half_interval:.2f} (95 %), {where}".replace("-", "−")
    axes.plot(ends, law.error_at(ends), color=INK, linestyle=("--", ":", "-.")[number % 3], linewidth=1.8, label=text)


@styled
def draw_layer_errors(
    kernel_error: Mapping[str, float | None], *, path_or_stream: Destination | None = None, format: str | None = None
) -> Figure:
    """Draw the relative kernel error of every layer on a log axis, in the order given.

    Bars up to 16 layers; for more, points along the network, which stay on one screen. A layer whose error is None, not
    finite or 0 has words in place of a bar, and a cross at the bottom in place of a point.

    Raises
    ------
    InvalidInputError
        If there is no layer.
    """
    if not kernel_error:
        raise InvalidInputError("there is no layer whose error could be drawn")
    names, errors = list(kernel_error), list(kernel_error.values())
    if len(names) > _MOST_BARS:
        return saved(_layer_points(names, errors), path_or_stream, format)
    figure = Figure(figsize=(7.5, 1.3 + 0.38 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    drawn = [error for error in errors if error is not None and math.isfinite(error) and error > 0]
    axes.set_xscale("log")
    left = 10.0 ** math.floor(math.log10(min(drawn)) - 0.3) if drawn else 1e-3
    right = 10.0 ** math.ceil(math.log10(max(drawn)) + 0.15) if drawn else 1.0
    axes.set_xlim(left, right)
    for place, error in enumerate(errors):
        if error is None or not math.isfinite(error) or error <= 0:
            said = "not measured" if error is None else "0, exact" if error == 0 else "not finite"
            axes.text(left, place, f"  {said}", va="center", style="italic")
            continue
        axes.barh(place, error - left, left=left, height=0.62, color=PALETTE[0])
        axes.text(error, place, f" {error:.1e}", va="center", fontsize=9)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel("relative kernel error, largest over the input channels  ‖K̂ − K‖₂ / ‖K‖₂")
    tidy(axes)
    axes.grid(False, axis="y")
    return saved(figure, path_or_stream, format)


def _layer_points(names: Sequence[str], errors: Sequence[float | None]) -> Figure:
    """One point a layer, from the first to the last; as many names as there is room for."""
    figure = Figure(figsize=(9.6, 4.8), layout="constrained")
    axes = figure.add_subplot()
    axes.set_yscale("log")
    shown = [(place, e) for place, e in enumerate(errors) if e is not None and math.isfinite(e) and e > 0]
    axes.plot([place for place, _ in shown], [e for _, e in shown], color=PALETTE[0], marker=MARKERS[0], markersize=5)
    drawn = {place for place, _ in shown}
    others = [place for place in range(len(names)) if place not in drawn]
    if others:
        bottom = [0.03] * len(others)
        axes.plot(
            others, bottom, "x", color=PALETTE[1], transform=axes.get_xaxis_transform(), label="exact, or not measured"
        )
        axes.legend(loc="best", frameon=False)
    every = math.ceil(len(names) / _MOST_NAMES)
    axes.set_xticks(range(0, len(names), every), names[::every], rotation=60, ha="right", rotation_mode="anchor")
    axes.tick_params(axis="x", labelsize=8.5)
    axes.set_xlabel("layer" if every == 1 else f"layer, every {every}th named")
    axes.set_ylabel("relative kernel error ‖K̂ − K‖₂ / ‖K‖₂,\nlargest over the input channels")
    tidy(axes)
    return figure
