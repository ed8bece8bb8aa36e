"""`sslth compare`: all ways to a ticket in one table."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["compare"]

_FOLDER = Path("out") / "compare"


def compare(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer epochs; about five minutes on two cores.")] = False,
    methods: Annotated[
        str | None, typer.Option(help="Names with commas, such as gem_miner,imp; all if not given (see --explain).")
    ] = None,
    keep: Annotated[float, typer.Option(help="Share of the weights to keep.")] = 0.02,
    seeds: Annotated[int, typer.Option(help="How many, from 0 on; at least 2.")] = 5,
    data: Annotated[
        str, typer.Option(help="digits, mnist1d, an .npz file, or a folder of IDX, CIFAR or image files.")
    ] = "digits",
    arch: Annotated[
        str | None,
        typer.Option(help="module:callable, or file.py:callable, that builds the network; LeNet-300-100 if not given."),
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Worker processes; one a core if not given.")] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for compare.html, numbers, choices and cells; resumable.")
    ] = _FOLDER,
    restart: Annotated[bool, typer.Option("--restart", help="Discard what an earlier run left in --out.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Name the methods and leave.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar and no table.")] = False,
) -> int:
    """Compare all ways to a ticket: accuracy, sparsity, calibration, connectivity, steps, time and bytes, over seeds.

    A validation part picks the settings of each way; the page says which findings of the papers show.

    Example: sslth compare --quick --methods snip,synflow --seeds 2 --jobs 1 --out compared

    Exit status 0: done; 1: a method failed, see its row (the same command tries again); 2: bad input; 130: interrupted
    (the same command goes on).
    """
    from sslth.experiments.compare.ways import WAYS, TrainingEffort, chosen_ways

    if explain:
        for name, way in WAYS.items():
            typer.echo(f"{name:15s} {way.title}")
        return 0
    ways = chosen_ways(methods)
    from sslth.cli.output import echo_json
    from sslth.experiments.compare.job import TITLES, run_comparison
    from sslth.experiments.compare.table import table_text
    from sslth.mining.progress import progress_bar

    words = ["sslth", "compare", *(["--quick"] if quick else []), *(["--methods", methods] if methods else [])]
    words += ["--keep", f"{keep:g}", "--seeds", str(seeds), "--data", data, *(["--arch", arch] if arch else [])]
    with progress_bar(not (quiet or as_json)) as progress:
        found = run_comparison(
            ways,
            keep=keep,
            seeds=seeds,
            effort=TrainingEffort.quick() if quick else TrainingEffort.full(),
            data=data,
            arch=arch,
            jobs=_cores() if jobs is None else jobs,
            out=out,
            restart=restart,
            command=shlex.join(words),
            progress=progress,
        )
    if as_json:
        echo_json(found.table)
    elif not quiet:
        typer.echo(table_text(found.table, TITLES))
        typer.echo("")
        for one in found.findings:
            typer.echo(f"{one.name}: {one.verdict}; {one.why}")
        typer.echo(f"\nreport: {out / 'compare.html'}")
    for name, error in found.errors.items():
        typer.echo(f"sslth: {name} failed: {error}", err=True)
    return int(bool(found.errors))


def _cores() -> int:
    from joblib import cpu_count

    return int(cpu_count())
