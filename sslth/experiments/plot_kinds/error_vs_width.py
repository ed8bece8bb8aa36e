"""The plot of output errors over the width: tickets of one network, with the fitted power law."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from matplotlib.figure import Figure

from sslth.errors import InvalidInputError
from sslth.experiments.error_vs_width import KIND, WidthPoint, fit_power_law, points_of
from sslth.experiments.figures import draw_error_vs_width
from sslth.experiments.plot_kinds.plot_kind import PlotKind, Table
from sslth.experiments.store import Row

__all__ = ["PLOT"]


def table(rows: Sequence[Row]) -> Table:
    """One dict a ticket, by series, width and seed."""
    return [asdict(point) for point in points_of(rows)]


def draw(points: Table) -> Figure:
    """Median, smallest to largest, all points and the fit, for each series."""
    return draw_error_vs_width([WidthPoint(**point) for point in points])


def summary(points: Table) -> dict[str, Any]:
    """The power law of every series that has enough points for one."""
    fits: dict[str, Any] = {}
    for series in sorted({point["series"] for point in points}):
        shown = [point for point in points if point["series"] == series and point["relative_output_error"]]
        with suppress(InvalidInputError):
            law = fit_power_law([p["width"] for p in shown], [p["relative_output_error"] for p in shown])
            fits[series] = asdict(law)
    return {"fits": fits}


PLOT = PlotKind("error-vs-width", (KIND,), table, draw, summary)
