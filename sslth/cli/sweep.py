"""`sslth sweep`: a grid of experiments, on one machine or a cluster."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sslth.errors import InvalidInputError

if TYPE_CHECKING:
    from sslth.experiments.sweep import Forecast, Summary

__all__ = ["sweep"]


def sweep(
    grid: Annotated[
        Path, typer.Argument(help="Grid file: TOML with kind, seed, shared parameters, and lists in [grid].")
    ],
    store: Annotated[Path | None, typer.Option(help="Result store; beside the grid, with .db, if not given.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes; one for each core if not given.")] = None,
    backend: Annotated[
        str | None, typer.Option(help="loky (processes here, the default), dask (a cluster) or serial (one job).")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Of the dask scheduler, such as tcp://host:8786.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how many cells there are and how long they will take.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Evaluate again the cells that are stored with an error.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Discard what the store has of this grid, then evaluate it.")
    ] = False,
    export: Annotated[
        Path | None, typer.Option(help="Write the cells of this grid as a table at the end: .csv or .parquet.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print counts and times as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing, and no progress bar.")] = False,
) -> int:
    """Evaluate every cell of a grid that the store does not have yet; the same command goes on after any stop.

    Example: sslth sweep phase.toml --store results.db --jobs 2

    Exit status 0: every cell has a result; 1: some failed (the store has their errors); 2: bad input; 130: interrupted.
    """
    from sslth.experiments.backends import make_backend
    from sslth.experiments.export import check_table_path, flat_table, write_table
    from sslth.experiments.grid_file import read_grid
    from sslth.experiments.store import Store
    from sslth.experiments.sweep import forecast
    from sslth.experiments.sweep import sweep as run
    from sslth.experiments.sweep_bar import sweep_bar

    if dry_run and (restart or export):
        raise InvalidInputError("--dry-run writes nothing; leave out --restart and --export")
    if export is not None:
        check_table_path(export)
    workers = make_backend(backend or ("serial" if jobs == 1 else "loky"), jobs, address)
    cells = read_grid(grid)
    path = store or grid.with_suffix(".db")
    if dry_run:
        with workers:
            count = workers.workers
        if not path.exists():
            _say_forecast(forecast(cells, None, count, retry_failed=retry_failed), as_json, quiet)
            return 0
        with Store(path, read_only=True) as results:
            _say_forecast(forecast(cells, results, count, retry_failed=retry_failed), as_json, quiet)
        return 0
    with Store(path) as results:
        if restart:
            results.forget(cells.by_key)
        with sweep_bar(not (quiet or as_json)) as bar:
            summary = run(cells, results, workers, progress=bar, retry_failed=retry_failed)
        if export is not None:
            write_table(flat_table(results.rows_of(cells.by_key)), export)
    _say_summary(summary, path, as_json, quiet)
    return int(summary.failed > 0)


def _say_forecast(expected: Forecast, as_json: bool, quiet: bool) -> None:
    from sslth.cli.output import echo_json
    from sslth.experiments.sweep_bar import in_words

    now = expected.standing
    if as_json:
        numbers = {key: value for key, value in asdict(expected).items() if key != "standing"}
        echo_json({"cells": now.cells, "done": now.done, "failed": now.failed, **numbers})
    elif not quiet:
        typer.echo(f"cells        {now.cells:,} in the grid, {now.done:,} done, {now.failed:,} failed")
        typer.echo(f"to run       {expected.to_run:,}")
        known = f"{expected.measured:,} measured cells" if expected.measured else "a guess; no cell is measured yet"
        at_once = f"{expected.workers} at a time, {in_words(expected.work_seconds)} of work; from {known}"
        typer.echo(f"time         {in_words(expected.wall_seconds)} ({at_once})")


def _say_summary(summary: Summary, store: Path, as_json: bool, quiet: bool) -> None:
    from sslth.cli.output import echo_json
    from sslth.experiments.sweep_bar import in_words

    if as_json:
        echo_json({"store": str(store), **asdict(summary)})
        return
    if not quiet:
        took = f"{summary.evaluated:,} of them now, in {in_words(summary.seconds)}"
        typer.echo(f"{store}: {summary.done:,} of {summary.cells:,} cells done, {took}")
    if summary.failed:
        said = "; ".join(summary.failures)
        typer.echo(f"sslth: {summary.failed:,} cells failed ({said}); --retry-failed evaluates them again", err=True)
