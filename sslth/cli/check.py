"""`sslth check`: the claims of the papers, with intervals and verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sslth.errors import InvalidInputError

__all__ = ["check"]

_FULL_FOLDER = Path("out") / "check"  # hours of work are never kept in memory only


def check(
    context: typer.Context,
    quick: Annotated[bool, typer.Option("--quick", help="About a minute on two cores; the default.")] = False,
    full: Annotated[
        bool,
        typer.Option("--full", help=f"As long as small intervals need; resumes in --out, {_FULL_FOLDER} if not given."),
    ] = False,
    claim: Annotated[
        list[int] | None, typer.Option(help="Number of a claim; repeat for more. All if not given.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for check.html, check.json and the results, where the next run goes on.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Worker processes; one a core if not given.")] = None,
    seed: Annotated[int, typer.Option(help="Every draw depends on it.")] = 0,
    restart: Annotated[bool, typer.Option("--restart", help="Discard what an earlier run left in --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar and no table.")] = False,
) -> int:
    """Check the papers' claims: what was computed, with an interval, and whether the claim holds there.

    Example: sslth check --claim 7 --out out/check

    Exit status 0: ran, whatever the verdicts; 1: a part of a claim failed, see its row; 2: bad input; 130: interrupted
    (the same command goes on, if there is --out).
    """
    if quick and full:
        raise InvalidInputError("--quick and --full exclude each other: give one of them")
    from sslth.cli.output import echo_json
    from sslth.cnn.progress import report_progress
    from sslth.experiments.check_job import page_path, run_check
    from sslth.experiments.check_json import check_json
    from sslth.experiments.check_table import print_check
    from sslth.theory.claims import Effort

    folder = _FULL_FOLDER if full and out is None else out
    if restart and folder is None:
        raise InvalidInputError("--restart needs --out: without it nothing was kept")
    with report_progress(not (quiet or as_json)) as show:
        report = run_check(
            Effort.FULL if full else Effort.QUICK,
            claim,
            out=folder,
            jobs=_cores() if jobs is None else jobs,
            seed=seed,
            restart=restart,
            progress=lambda done, total, stage: show(done, total, stage[:40]),
            catalogue=context.obj,
        )
    if as_json:
        echo_json(check_json(report))
    elif not quiet:
        print_check(report)
        if folder is not None:
            typer.echo(f"report: {page_path(folder, claim)}")
    return int(report.failed)


def _cores() -> int:
    from joblib import cpu_count

    return int(cpu_count())
