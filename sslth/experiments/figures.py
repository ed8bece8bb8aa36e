"""The figures of the main job: error against width, kept filters, kernels side by side, errors of the layers."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import IO

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from sslth.errors import InvalidInputError
from sslth.experiments.error_vs_width import WidthPoint, fit_power_law
from sslth.experiments.figure_style import (
    DIVERGING,
    INK,
    MARKERS,
    PALETTE,
    figure_to_png,
    save_figure,
    styled,
    tidy,
)

__all__ = [
    "draw_error_vs_width",
    "draw_kept_filters",
    "draw_kernel_comparison",
    "draw_layer_errors",
    "figure_to_png",
    "save_figure",
]

Out = str | os.PathLike[str] | IO[bytes]
FloatArray = npt.NDArray[np.float64]

_MOST_SERIES = len(PALETTE)
_MOST_CHANNELS = 16


@styled
def draw_error_vs_width(
    points: Sequence[WidthPoint], path_or_stream: Out | None = None, format: str | None = None
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
    return _saved(figure, path_or_stream, format)


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
def draw_kept_filters(
    rows: npt.ArrayLike,
    *,
    total: int,
    title: str = "",
    limit: int = 40,
    path_or_stream: Out | None = None,
    format: str | None = None,
) -> Figure:
    """Draw the kept filters of one block as tiles: a column for each filter, a row for each output channel.

    Parameters
    ----------
    rows : float[k, c_out, kh, kw]
        Y_t of the kept filters.
    total : int
        How many filters the block had to choose from.
    title : str
        Which block.
    limit : int
        The most filters to show, those of the largest norm; of the output channels the first 16.
    path_or_stream, format
        See `save_figure`.

    Raises
    ------
    InvalidInputError
        If `rows` is not of that shape, or not finite.
    """
    tiles = _finite(rows, 4, "kept rows")
    kept, channels = tiles.shape[:2]
    order = np.argsort(-np.linalg.norm(tiles.reshape(kept, -1), axis=1), kind="stable")[:limit]
    shown = tiles[order, :_MOST_CHANNELS]
    figure = Figure(figsize=(10.0, 1.6 + _panel_height(shown.shape[:2], tiles.shape[2:], 8.4)), layout="constrained")
    axes = figure.add_subplot()
    heading = f"{kept:,} kept of {total:,} filters" + (f" in {title}" if title else "")
    if kept == 0:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no filter was kept in this block", ha="center", va="center", transform=axes.transAxes)
    else:
        largest = _largest(shown)
        image = axes.imshow(_mosaic(shown.swapaxes(0, 1)), cmap=DIVERGING, vmin=-largest, vmax=largest)
        _label_tiles(axes, shown.shape[:2], tiles.shape[2:], every=5)
        axes.set_xlabel("kept filter, by falling norm" + _of(len(order), kept))
        axes.set_ylabel("output channel" + _of(shown.shape[1], channels))
        figure.colorbar(image, ax=axes, label="entry of $Y_t$", fraction=0.025, pad=0.015)
    axes.set_title(heading)
    return _saved(figure, path_or_stream, format)


@styled
def draw_kernel_comparison(
    target: npt.ArrayLike,
    approximation: npt.ArrayLike,
    *,
    title: str = "",
    path_or_stream: Out | None = None,
    format: str | None = None,
) -> Figure:
    """Draw the target kernel of one input channel, the sum of the kept rows, and their difference enlarged.

    Parameters
    ----------
    target, approximation : float[c_out, kh, kw]
        Of the same shape; the first 16 output channels are drawn, the error in the title is over all.
    title : str
        Which block.
    path_or_stream, format
        See `save_figure`.

    Raises
    ------
    InvalidInputError
        If the shapes are not those, or an entry is not finite.
    """
    wanted, got = _finite(target, 3, "the target kernel"), _finite(approximation, 3, "the approximation")
    if wanted.shape != got.shape or wanted.size == 0:
        raise InvalidInputError(f"kernels of shape {wanted.shape} and {got.shape} cannot be compared")
    difference, size = got - wanted, float(np.linalg.norm(wanted))
    error = float(np.linalg.norm(difference)) / size if size else math.nan
    scale = _power_of_ten(_largest(wanted[:_MOST_CHANNELS]), difference[:_MOST_CHANNELS])
    panels = {
        "target": wanted,
        "kept filters": got,
        f"difference\n× {scale:,}" if scale > 1 else "difference": difference * scale,
    }
    tiles = min(len(wanted), _MOST_CHANNELS)
    height = _panel_height((tiles, 1), wanted.shape[1:], 7.8)
    figure = Figure(figsize=(10.0, 1.2 + 3 * (height + 0.25)), layout="constrained")
    rows = list(figure.subplots(3, 1, sharex=True))
    # One scale for all three, so that the eye may compare them; the difference is enlarged by a power of ten.
    largest = _largest(wanted[:tiles])
    image = None
    for axes, (name, kernels) in zip(rows, panels.items(), strict=True):
        image = axes.imshow(_mosaic(kernels[None, :tiles]), cmap=DIVERGING, vmin=-largest, vmax=largest)
        _label_tiles(axes, (tiles, 1), wanted.shape[1:], every=1)
        axes.set_yticks([])
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
    rows[-1].set_xlabel("output channel" + _of(tiles, len(wanted)))
    figure.colorbar(image, ax=rows, label="weight", fraction=0.025, pad=0.015, aspect=25)
    head = f"{title}: " if title else ""
    said = f"relative error {error:.2g}" if size else "the target kernel is zero"
    figure.suptitle(f"{head}target kernel and sum of the kept filters, {said}", fontsize=12)
    return _saved(figure, path_or_stream, format)


@styled
def draw_layer_errors(
    kernel_error: Mapping[str, float | None], *, path_or_stream: Out | None = None, format: str | None = None
) -> Figure:
    """Draw the relative kernel error of every layer as bars on a log axis, in the order given.

    A layer whose error is None, not finite or 0 has words in place of a bar.

    Raises
    ------
    InvalidInputError
        If there is no layer.
    """
    if not kernel_error:
        raise InvalidInputError("there is no layer whose error could be drawn")
    names, errors = list(kernel_error), list(kernel_error.values())
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
    axes.set_xlabel("relative kernel error, largest over the blocks  ‖K̂ − K‖₂ / ‖K‖₂")
    tidy(axes)
    axes.grid(False, axis="y")
    return _saved(figure, path_or_stream, format)


def _saved(figure: Figure, path_or_stream: Out | None, format: str | None) -> Figure:
    if path_or_stream is not None:
        save_figure(figure, path_or_stream, format)
    return figure


def _finite(values: npt.ArrayLike, dimensions: int, what: str) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != dimensions:
        raise InvalidInputError(f"{what} must have {dimensions} dimensions, not shape {array.shape}")
    if not np.isfinite(array).all():
        raise InvalidInputError(f"{what} cannot be drawn: it holds NaN or infinite entries")
    return array


def _largest(values: FloatArray) -> float:
    """The largest |entry|; 1 for nothing but zeros, because a colour scale needs a length."""
    return float(np.abs(values).max(initial=0.0)) or 1.0


def _power_of_ten(largest: float, difference: FloatArray) -> int:
    """The largest power of ten, at least 1, by which the difference can be multiplied within the colour scale."""
    peak = float(np.abs(difference).max(initial=0.0))
    return int(10 ** max(0, min(15, math.floor(math.log10(largest / peak))))) if peak else 1


def _mosaic(tiles: FloatArray) -> npt.NDArray[np.float64]:
    """Tiles float64[r, c, kh, kw] as one picture, with a line of nothing between them."""
    rows, columns, kh, kw = tiles.shape
    gap_y, gap_x = _gaps((kh, kw))
    picture = np.full((rows, kh + gap_y, columns, kw + gap_x), np.nan)
    picture[:, :kh, :, :kw] = tiles.transpose(0, 2, 1, 3)
    return picture.reshape(rows * (kh + gap_y), -1)[: rows * (kh + gap_y) - gap_y, : columns * (kw + gap_x) - gap_x]
