"""`sslth plot`: figures from stored results."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["plot"]


class Kind(StrEnum):
    """What can be drawn."""

    ERROR_VS_WIDTH = "error-vs-width"


def plot(
    kind: Annotated[Kind, typer.Argument(help="What to draw.")],
    store: Annotated[Path, typer.Argument(help="Result store, such as error_vs_width.db.")],
    out: Annotated[
        Path | None, typer.Option(help="Picture to write: .png, .svg or .pdf; beside the store if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plotted points and the fit as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing.")] = False,
) -> int:
    """Draw a figure from stored results.

    Example: sslth plot error-vs-width out/demo/error_vs_width.db --out error_vs_width.svg
    """
    from sslth.cli.output import echo_json
    from sslth.experiments.plots import plot_error_vs_width

    picture = out or store.with_name("error_vs_width.png")
    drawn = plot_error_vs_width(store, picture)
    if as_json:
        echo_json({"kind": kind.value, "picture": str(picture), **drawn})
    elif not quiet:
        typer.echo(f"{kind.value}: {picture}")
    return 0
