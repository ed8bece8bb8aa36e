"""`sslth plot`: figures from stored results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["plot"]


def plot(
    kind: Annotated[str, typer.Argument(help="What to draw: error-vs-width, phase, exponents, solvers, frontier, …")],
    store: Annotated[Path, typer.Argument(help="Result store, such as error_vs_width.db.")],
    out: Annotated[
        Path | None, typer.Option(help="Picture to write: .png, .svg or .pdf; beside the store if not given.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Write what was drawn as a table too: .csv or .parquet.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plotted points and the fit as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing.")] = False,
) -> int:
    """Draw a figure from stored results.

    Example: sslth plot error-vs-width ticket/error_vs_width.db
    """
    from sslth.cli.output import echo_json
    from sslth.experiments.plots import plot_store

    picture = out or store.with_name(f"{kind.replace('-', '_')}.png")
    drawn = plot_store(kind, store, picture, csv)
    if as_json:
        echo_json({"kind": kind, "picture": str(picture), **drawn})
    elif not quiet:
        typer.echo(f"{kind}: {picture}")
    return 0
