"""Figures and tables from stored results: whatever the kinds of plots know to draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sslth.errors import InvalidInputError
from sslth.experiments.export import check_table_path, write_table
from sslth.experiments.plot_kinds import PLOT_KINDS, plot_kind_named
from sslth.experiments.store import Store

__all__ = ["plot_store"]


def plot_store(name: str, store: Path, picture: Path, table: Path | None = None) -> dict[str, Any]:
    """Draw what a store holds for a kind of plot; returns `points` and what was fitted, as JSON values.

    Parameters
    ----------
    name : str
        Of `PLOT_KINDS`.
    store : path
        Only read.
    picture : path
        .png, .svg or .pdf; complete, or what it was before.
    table : path, optional
        What was drawn, as .csv or .parquet.

    Raises
    ------
    InvalidInputError
        If there is no such kind of plot, the store cannot be read or has nothing for it, or a file cannot be written.
    """
    from sslth.experiments.figure_style import save_figure

    plot = plot_kind_named(name)
    if table is not None:
        check_table_path(table)  # before the picture is there
    with Store(store, read_only=True) as results:
        rows = [row for kind in plot.kinds_of_cells for row in results.rows(kind)]
        others = [] if rows else [other for other in PLOT_KINDS if _has_cells_for(results, other)]
    points = plot.table(rows)
    if not points:
        failed = sum(row.error is not None for row in rows)
        advice = f"; {' or '.join(others)} could draw what is there" if others else ""
        raise InvalidInputError(
            f"{store} holds nothing to draw for {name}: it needs cells of the kind {' or '.join(plot.kinds_of_cells)}, "
            f"and has {len(rows)} of them, {failed} failed{advice}"
        )
    save_figure(plot.draw(points), picture)
    if table is not None:
        write_table(points, table)
    return {"points": points, **plot.summary(points)}


def _has_cells_for(store: Store, name: str) -> bool:
    return any(store.rows(kind) for kind in plot_kind_named(name).kinds_of_cells)
