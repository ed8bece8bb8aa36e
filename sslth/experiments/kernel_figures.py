"""The figures that show kernels: the kept filters of a block, and a target kernel beside its approximation."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sslth.errors import InvalidInputError
from sslth.experiments.figure_style import DIVERGING, Destination, saved, styled

__all__ = ["draw_kept_filters", "draw_kernel_comparison"]

FloatArray = npt.NDArray[np.float64]

_MOST_CHANNELS = 16
_ENTRY = 8  # pixels of the picture for one entry of a kernel
_GAP = 4  # pixels of the picture between two tiles
_HIGHEST = 5.0  # inches of a panel


@styled
def draw_kept_filters(
    rows: npt.ArrayLike,
    *,
    total: int,
    title: str = "",
    limit: int = 40,
    path_or_stream: Destination | None = None,
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
    order = np.argsort(-(tiles**2).sum(axis=(1, 2, 3)), kind="stable")[:limit]
    shown = tiles[order, :_MOST_CHANNELS]
    figure = Figure(
        figsize=(10.0, 1.6 + _panel_height(shown.shape[1], shown.shape[0], tiles.shape[2:], 8.4)), layout="constrained"
    )
    axes = figure.add_subplot()
    heading = f"{kept:,} kept of {total:,} filters" + (f" in {title}" if title else "")
    if kept == 0:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no filter was kept in this block", ha="center", va="center", transform=axes.transAxes)
    else:
        largest = _largest(shown)
        image = axes.imshow(_mosaic(shown.swapaxes(0, 1)), cmap=DIVERGING, vmin=-largest, vmax=largest)
        _number_tiles(axes, shown.shape[1], shown.shape[0], tiles.shape[2:], every=5)
        axes.set_xlabel("kept filter, by falling norm" + _of(len(order), kept))
        axes.set_ylabel("output channel" + _of(shown.shape[1], channels))
        figure.colorbar(image, ax=axes, label="entry of $Y_t$", fraction=0.025, pad=0.015)
    axes.set_title(heading)
    return saved(figure, path_or_stream, format)


@styled
def draw_kernel_comparison(
    target: npt.ArrayLike,
    approximation: npt.ArrayLike,
    *,
    title: str = "",
    path_or_stream: Destination | None = None,
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
    height = _panel_height(1, tiles, wanted.shape[1:], 7.8)
    figure = Figure(figsize=(10.0, 1.2 + 3 * (height + 0.25)), layout="constrained")
    rows = list(figure.subplots(3, 1, sharex=True))
    # One scale for all three, so that the eye may compare them; the difference is enlarged by a power of ten.
    largest = _largest(wanted[:tiles])
    images = []
    for axes, (name, kernels) in zip(rows, panels.items(), strict=True):
        images.append(axes.imshow(_mosaic(kernels[None, :tiles]), cmap=DIVERGING, vmin=-largest, vmax=largest))
        _number_tiles(axes, 1, tiles, wanted.shape[1:], every=1)
        axes.set_yticks([])
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
    rows[-1].set_xlabel("output channel" + _of(tiles, len(wanted)))
    figure.colorbar(images[0], ax=rows, label="weight", fraction=0.025, pad=0.015, aspect=25)
    head = f"{title}: " if title else ""
    said = f"relative error {error:.2g}" if size else "the target kernel is zero"
    figure.suptitle(f"{head}target kernel and sum of the kept filters, {said}", fontsize=12)
    return saved(figure, path_or_stream, format)


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


def _mosaic(tiles: FloatArray) -> FloatArray:
    """Tiles float64[rows, columns, kh, kw] as one picture, with gaps of NaN, which is drawn as nothing."""
    rows, columns, kh, kw = tiles.shape
    height, width = kh * _ENTRY + _GAP, kw * _ENTRY + _GAP
    picture = np.full((rows, height, columns, width), np.nan)
    enlarged = tiles.repeat(_ENTRY, axis=2).repeat(_ENTRY, axis=3)
    picture[:, : kh * _ENTRY, :, : kw * _ENTRY] = enlarged.transpose(0, 2, 1, 3)
    return picture.reshape(rows * height, columns * width)[:-_GAP, :-_GAP]


def _panel_height(rows: int, columns: int, kernel: tuple[int, ...], width: float) -> float:
    """Inches that a mosaic needs if it fills `width` inches, but no tile becomes larger than 0.6 inches."""
    tile = min(width / max(columns, 1), 0.6 * kernel[1] / max(kernel))
    return min(_HIGHEST, rows * tile * (kernel[0] * _ENTRY + _GAP) / (kernel[1] * _ENTRY + _GAP))


def _number_tiles(axes: Axes, rows: int, columns: int, kernel: tuple[int, ...], every: int) -> None:
    """Number the tiles on both axes from 1, without frame and ticks."""
    for axis, count, entries in ((axes.xaxis, columns, kernel[1]), (axes.yaxis, rows, kernel[0])):
        numbers = [number for number in range(1, count + 1) if number == 1 or number % every == 0 or count <= every]
        step = entries * _ENTRY + _GAP
        axis.set_ticks(
            [(number - 1) * step + (entries * _ENTRY - 1) / 2 for number in numbers], list(map(str, numbers))
        )
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _of(shown: int, total: int) -> str:
    return "" if shown == total else f" ({shown:,} of {total:,} shown)"
