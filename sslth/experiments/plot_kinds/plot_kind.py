"""What a kind of plot is: which cells it reads, the table it makes of them, and the figure it draws of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sslth.experiments.store import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PlotKind", "Table"]

Table = list[dict[str, Any]]


def _nothing_more(_table: Table) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class PlotKind:
    """A kind of plot; one file each, registered in `sslth.experiments.plot_kinds`.

    Attributes
    ----------
    name : str
        What `sslth plot` calls it.
    kinds_of_cells : tuple of str
        The `kind` of the stored cells that it reads; rows of other kinds are never shown to it.
    table : callable(rows) -> list of dicts
        From evaluated cells, failed ones too (`row.result is None`), to what is drawn: one dict a point, the same
        keys in each, values that JSON can hold, in an order that does not depend on the order of the rows.
        An empty list says that there is nothing to draw.
    draw : callable(table) -> matplotlib.figure.Figure
        Draws a table that is not empty, in the style of `figure_style` (`styled`); saves nothing.
    summary : callable(table) -> mapping
        What was fitted or counted, for `--json`; beside the keys `kind`, `picture` and `points`. May be left out.
    """

    name: str
    kinds_of_cells: tuple[str, ...]
    table: Callable[[Sequence[Row]], Table]
    draw: Callable[[Table], Figure]
    summary: Callable[[Table], Mapping[str, Any]] = _nothing_more
