"""The figures that show kernels: the kept filters of a block, and a target kernel beside its approximation."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from sslth.errors import InvalidInputError
from sslth.experiments.figure_style import DIVERGING, Destination, saved, styled

__all__ = ["as_tile", "draw_kept_filters", "draw_kernel_comparison"]

FloatArray = npt.NDArray[np.float64]

_MOST_CHANNELS = 16
_ENTRY = 8  # pixels of the picture for one entry of a kernel
_GAP = 4  # pixels of the picture between two tiles
_WIDEST_PANEL, _HIGHEST_PANEL, _LARGEST_TILE = 8.4, 5.0, 0.75  # inches
_LONG = 32  # taps of a one-dimensional window that are drawn as one line


def as_tile(window: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of the tile that shows a window of one to three axes.

    A short line stays one, a long one is broken into lines of equal length where it can be; the planes of a volume come
    one below the other.

    Examples
    --------
    >>> [as_tile(window) for window in [(3, 5), (7,), (512,), (2, 3, 4)]]
    [(3, 5), (1, 7), (16, 32), (6, 4)]
    """
    if len(window) == 1:
        (taps,) = window
        lines = 1 if taps <= _LONG else max(n for n in range(1, math.isqrt(taps) + 1) if taps % n == 0)
        return lines, taps // lines
    return math.prod(window[:-1]), window[-1]


@styled
def draw_kept_filters(
    rows: npt.ArrayLike,
    *,
    total: int,
    title: str = "",
    limit: int = 40,
    kept: int | None = None,
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
    kept : int, optional
        How many filters were kept, where `rows` are only the largest of them.
    path_or_stream, format
        See `save_figure`.

    Raises
    ------
    InvalidInputError
        If `rows` is not of that shape, or not finite.
    """
    tiles = _finite(rows, 4, "kept rows")
    kept, channels = len(tiles) if kept is None else kept, tiles.shape[1]
    heading = f"{kept:,} kept of {total:,} filters" + (f" in {title}" if title else "")
    order = np.argsort(-(tiles**2).sum(axis=(1, 2, 3)), kind="stable")[:limit]
    mosaic = tiles[order, :_MOST_CHANNELS].swapaxes(0, 1)
    if mosaic.size == 0:
        figure = Figure(figsize=(7.0, 1.2))
        figure.suptitle(heading)
        figure.text(0.5, 0.4, "no filter was kept in this block", ha="center", va="center", style="italic")
        return saved(figure, path_or_stream, format)
    # A few entries are much larger than the rest: they are clipped, which the arrows on the colour bar say.
    largest = float(np.quantile(np.abs(mosaic), 0.99)) or 1.0
    figure, (axes,) = _draw_mosaics([mosaic], largest, "entry of $Y_t$", extend="both")
    _number_tiles(axes.xaxis, mosaic.shape[1], mosaic.shape[3], first=1)
    _number_tiles(axes.yaxis, mosaic.shape[0], mosaic.shape[2], first=0)
    axes.set_xlabel("kept filter, by falling norm" + _of(len(order), kept))
    axes.set_ylabel("output channel" + _of(len(mosaic), channels))
    figure.suptitle(heading)
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
    scale = _enlargement(_largest(wanted[:_MOST_CHANNELS]), difference[:_MOST_CHANNELS])
    panels = {
        "target": wanted,
        "kept filters": got,
        f"difference\n× {scale:,}" if scale > 1 else "difference": difference * scale,
    }
    mosaics = [kernels[None, :_MOST_CHANNELS] for kernels in panels.values()]
    # One scale for all three, so that the eye may compare them; the difference is enlarged.
    figure, rows = _draw_mosaics(mosaics, _largest(mosaics[0]), "weight", extend="neither")
    for axes, name in zip(rows, panels, strict=True):
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
        axes.set_xticks([])
        axes.set_yticks([])
    shown = mosaics[0].shape[1]
    _number_tiles(rows[-1].xaxis, shown, wanted.shape[2], first=0)
    rows[-1].set_xlabel("output channel" + _of(shown, len(wanted)))
    said = f"relative error {error:.2g}" if size else "the target kernel is zero"
    figure.suptitle(f"{title}: {said}" if title else said)
    return saved(figure, path_or_stream, format)


def _draw_mosaics(
    mosaics: list[FloatArray], largest: float, label: str, extend: Literal["neither", "both"]
) -> tuple[Figure, list[Axes]]:
    """Mosaics float64[rows, columns, kh, kw] of one shape below each other, and one colour bar beside them.

    The page is as large as they need, in inches: tiles of any number and shape stay square and legible.
    """
    rows, columns, kh, kw = mosaics[0].shape
    tile = min(_WIDEST_PANEL / columns, _HIGHEST_PANEL / rows * kw / kh, _LARGEST_TILE * kw / max(kh, kw))
    pictures = [_picture(mosaic) for mosaic in mosaics]
    inches = tile / (kw * _ENTRY + _GAP)  # of one pixel
    height, width = pictures[0].shape[0] * inches, pictures[0].shape[1] * inches
    left, right, bottom, top, between = 1.15, 1.2, 0.65, 0.45, 0.2
    above = len(mosaics) * (height + between) - between
    page = (max(left + width + right, 6.0), bottom + max(above, 1.0) + top)
    figure = Figure(figsize=page)
    all_axes, images = [], []
    for number, picture in enumerate(pictures):
        base = page[1] - top - height - number * (height + between)
        axes = figure.add_axes((left / page[0], base / page[1], width / page[0], height / page[1]))
        images.append(axes.imshow(picture, cmap=DIVERGING, vmin=-largest, vmax=largest, aspect="auto"))
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        all_axes.append(axes)
    long = max(above, 1.0)
    place = ((left + width + 0.15) / page[0], (page[1] - top - long) / page[1], 0.16 / page[0], long / page[1])
    figure.colorbar(images[0], cax=figure.add_axes(place), label=label, extend=extend)
    return figure, all_axes


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


def _enlargement(largest: float, difference: FloatArray) -> int:
    """The largest of 1, 2, 5, 10, 20, … by which the difference can be multiplied within the colour scale."""
    peak = float(np.abs(difference).max(initial=0.0))
    steps = (step * 10**power for power in range(15, -1, -1) for step in (5, 2, 1))
    return next((step for step in steps if step * peak <= largest), 1) if peak else 1


def _picture(mosaic: FloatArray) -> FloatArray:
    """The tiles of a mosaic in one array, with gaps of NaN, which are drawn as nothing."""
    rows, columns, kh, kw = mosaic.shape
    height, width = kh * _ENTRY + _GAP, kw * _ENTRY + _GAP
    picture = np.full((rows, height, columns, width), np.nan)
    enlarged = mosaic.repeat(_ENTRY, axis=2).repeat(_ENTRY, axis=3)
    picture[:, : kh * _ENTRY, :, : kw * _ENTRY] = enlarged.transpose(0, 2, 1, 3)
    return picture.reshape(rows * height, columns * width)[:-_GAP, :-_GAP]


def _number_tiles(axis: Axis, count: int, entries: int, first: int) -> None:
    """Number the tiles along an axis, each of them up to 16 of them, else every fifth."""
    shown = [i for i in range(count) if count <= _MOST_CHANNELS or i == 0 or (i + first) % 5 == 0]
    step, middle = entries * _ENTRY + _GAP, (entries * _ENTRY - 1) / 2
    axis.set_ticks([i * step + middle for i in shown], [str(i + first) for i in shown])


def _of(shown: int, total: int) -> str:
    return "" if shown == total else f" ({shown:,} of {total:,} shown)"
