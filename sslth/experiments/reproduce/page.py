"""A picture of ours over theirs, and one HTML page with every table, that needs nothing outside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from sslth.experiments.figure_style import INK, PALETTE, Destination, figure_to_png, saved, styled, tidy
from sslth.experiments.report import picture
from sslth.experiments.reproduce.experiment import Reproduced
from sslth.experiments.reproduce.table import Row, format_number
from sslth.subset_sum.files import write_atomically

__all__ = ["comparable", "draw_ratios", "render_page", "write_page"]

_FAR = 3.0  # ratios beyond it, or below its inverse, get a logarithmic axis


def comparable(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that have two positive numbers to divide."""
    return [row for row in rows if row.theirs is not None and row.ours is not None and min(row.theirs, row.ours) > 0]


@styled
def draw_ratios(
    rows: Sequence[Row], title: str, path_or_stream: Destination | None = None, format: str | None = None
) -> Figure:
    """Draw ours divided by theirs for every row that has both, with the interval of ours as a bar.

    Rows without two positive numbers are left out; without any, the figure says so.
    """
    shown = comparable(rows)
    figure = Figure(figsize=(9.5, 1.7 + 0.4 * max(1, len(shown))), layout="constrained")
    axes = figure.add_subplot()
    figure.suptitle(title)
    if not shown:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no row has two positive numbers to compare", ha="center", va="center")
        return saved(figure, path_or_stream, format)
    reach = []
    for place, row in enumerate(shown):
        theirs, ours = row.theirs or 1.0, row.ours or 1.0
        reach.append(ours / theirs)
        if row.interval is not None:
            low, high = (end / theirs for end in row.interval)
            reach += [end for end in (low, high) if end > 0]
            axes.plot([max(low, min(reach)), high], [place, place], color=PALETTE[0], linewidth=5, alpha=0.35,
                      solid_capstyle="butt")  # fmt: skip
        axes.plot(ours / theirs, place, marker="o", color=PALETTE[0], markersize=7, linestyle="none")
    axes.axvline(1.0, color=INK, linestyle="--", linewidth=1.2)
    axes.annotate("theirs", (1.0, 1.0), (0, 4), xycoords=("data", "axes fraction"), textcoords="offset points",
                  ha="center", fontsize=10)  # fmt: skip
    if max(reach) > _FAR or min(reach) < 1.0 / _FAR:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=8))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(min(*reach, 1.0) / 2.0, max(*reach, 1.0) * 2.0)
    axes.set_yticks(range(len(shown)), [row.quantity for row in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlabel("ours / theirs; bar: interval of ours")
    tidy(axes)
    axes.grid(False, axis="y")
    return saved(figure, path_or_stream, format)


def render_page(reproduced: Sequence[Reproduced], facts: dict[str, Any], command: str) -> str:
    """Return the page as text; `facts` are shown as they are, by name."""
    parts = [
        {
            "title": done.experiment.title,
            "source": done.experiment.source,
            "rows": done.rows,
            "differs": done.differs,
            "seconds": done.seconds,
            "picture": figure_to_png(draw_ratios(done.rows, done.experiment.title)),
        }
        for done in reproduced
    ]
    environment = Environment(
        loader=PackageLoader("sslth.experiments"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update({"picture": picture, "number": format_number})
    return environment.get_template("reproduce.html.j2").render(parts=parts, facts=facts, command=command)


def write_page(path: Path, reproduced: Sequence[Reproduced], facts: dict[str, Any], command: str) -> None:
    """Write the page; the file is complete or what it was before.

    Raises
    ------
    InvalidInputError
        If the file cannot be written.
    """
    page = render_page(reproduced, facts, command).encode("utf-8")
    write_atomically(path, lambda stream: stream.write(page))
