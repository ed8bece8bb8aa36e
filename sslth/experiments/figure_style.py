"""How all figures look and how they are saved: readable, the same for every colour vision, the same bytes each time."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import IO, Any, ParamSpec

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sslth.errors import InvalidInputError
from sslth.subset_sum.files import write_atomically

__all__ = [
    "DIVERGING",
    "INK",
    "MARKERS",
    "PALETTE",
    "Destination",
    "figure_to_png",
    "save_figure",
    "saved",
    "styled",
    "tidy",
]

Destination = str | os.PathLike[str] | IO[bytes]

# Okabe and Ito (2008), without yellow and black: yellow lines are faint on white, black is for text and fits.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P")
INK = "#1A1A1A"
DIVERGING = "PuOr"  # its two ends stay apart for every kind of colour vision, and its middle is white

FORMATS = ("png", "svg", "pdf")

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine draws the same
    "font.size": 11.0,
    "axes.titlesize": 12.0,
    "figure.titlesize": 12.0,
    "axes.labelsize": 11.0,
    "legend.fontsize": 10.0,
    "xtick.labelsize": 10.0,
    "ytick.labelsize": 10.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#555555",
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.bbox": None,
    "figure.dpi": 100.0,
    "text.usetex": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "sslth",  # without it the ids in an SVG change from run to run
    "pdf.fonttype": 42,
}
# None leaves out what differs from run to run or from release to release of matplotlib.
_NO_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}

P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Let a function draw in the style of this package; the user's own settings are the same before and after."""

    @wraps(draw)
    def with_style(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style.context(["default", _STYLE]):
            return draw(*args, **kwargs)

    return with_style


def tidy(axes: Axes) -> None:
    """Put a faint grid behind the data."""
    axes.set_axisbelow(True)
    axes.grid(True, which="major", color="#D9D9D9", linewidth=0.8)
    axes.grid(True, which="minor", color="#EFEFEF", linewidth=0.5)


def figure_to_png(figure: Figure, *, dpi: float = 150.0) -> bytes:
    """Return the figure as PNG: the same bytes for the same figure."""
    return _rendered(figure, "png", dpi)


def save_figure(
    figure: Figure,
    path_or_stream: Destination,
    format: str | None = None,
    *,
    dpi: float = 150.0,
) -> None:
    """Write the figure as PNG, SVG or PDF; a file is complete or not there.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path_or_stream : path-like or binary stream
    format : str, optional
        "png", "svg" or "pdf"; by default what the suffix of the path says, PNG for a stream.
    dpi : float
        Of a PNG.

    Raises
    ------
    InvalidInputError
        For another format or suffix, or a path that cannot be written.
    """
    if isinstance(path_or_stream, str | os.PathLike):
        path = Path(path_or_stream)
        content = _rendered(figure, format or path.suffix.removeprefix("."), dpi)
        write_atomically(path, lambda stream: stream.write(content))
    else:
        path_or_stream.write(_rendered(figure, format or "png", dpi))


def saved(figure: Figure, path_or_stream: Destination | None, format: str | None) -> Figure:
    """Return the figure, saved if there is somewhere to save it to."""
    if path_or_stream is not None:
        save_figure(figure, path_or_stream, format)
    return figure


def _rendered(figure: Figure, format: str, dpi: float) -> bytes:
    format = format.lower()
    if format not in FORMATS:
        raise InvalidInputError(f"a figure cannot be saved as {format!r}; take one of .png, .svg, .pdf")
    buffer = io.BytesIO()
    with style.context(["default", _STYLE]):
        figure.savefig(buffer, format=format, dpi=dpi, metadata=_NO_METADATA[format])
    return buffer.getvalue()
