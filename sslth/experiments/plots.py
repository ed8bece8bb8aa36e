"""Figures from stored results."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sslth.errors import InvalidInputError
from sslth.experiments.error_vs_width import WidthPoint, fit_power_law, points_of
from sslth.experiments.figures import draw_error_vs_width
from sslth.experiments.store import Store

__all__ = ["plot_error_vs_width"]


def plot_error_vs_width(store: Path, picture: Path) -> dict[str, Any]:
    """Draw what a store holds of errors over widths; returns points and fits as JSON values.

    Raises
    ------
    InvalidInputError
        If the store cannot be read or has no such results, or the picture cannot be written.
    """
    with Store(store, read_only=True) as results:
        points = points_of(results.rows())
    if not points:
        raise InvalidInputError(f"{store} holds no errors over widths to draw")
    draw_error_vs_width(points, picture)
    return {"points": [asdict(point) for point in points], "fits": _fits(points)}


def _fits(points: list[WidthPoint]) -> dict[str, dict[str, Any]]:
    """The power law of every series that has enough points for one."""
    fits = {}
    for series in sorted({point.series for point in points}):
        shown = [point for point in points if point.series == series and point.relative_output_error]
        with suppress(InvalidInputError):
            law = fit_power_law([p.width for p in shown], [p.relative_output_error or 0.0 for p in shown])
            fits[series] = asdict(law)
    return fits
