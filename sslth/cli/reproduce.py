"""`sslth reproduce`: published experiments again, theirs beside ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sslth.errors import InvalidInputError

if TYPE_CHECKING:
    from sslth.experiments.reproduce import Reproduced, Setup
    from sslth.experiments.store import Store

__all__ = ["reproduce"]


class Name(StrEnum):
    """What can be reproduced."""

    PENSIA2020 = "pensia2020"
    BURKHOLZ2022 = "burkholz2022"
    DACUNHA2022 = "dacunha2022"
    THEOREM_WIDTH = "theorem_width"
    ALL = "all"


def reproduce(
    name: Annotated[Name, typer.Argument(help="Which experiment; all for every one.")],
    quick: Annotated[bool, typer.Option("--quick", help="Smaller samples, under a minute for all.")] = False,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with MNIST's four IDX files; the bundled digits, enlarged, if not given."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for reproduce.html, pictures, and results to resume from.")
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Discard the results that an earlier run left in --out.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar and no table.")] = False,
) -> int:
    """Put published experiments beside what comes out here.

    theorem_width is the experiment that the main paper does not have: the width that its theorem asks for beside the
    width that the search needs.

    Example: sslth reproduce burkholz2022

    Exit status 0: done, whatever agrees or not; 1: a part failed, the same command with --out goes on; 2: bad input.
    """
    from sslth.cli.output import echo_json
    from sslth.cnn.progress import report_progress
    from sslth.experiments.reproduce import EXPERIMENTS, Setup, experiment_named, run_experiment
    from sslth.experiments.reproduce.setup import Images
    from sslth.experiments.reproduce.table import table_text
    from sslth.subset_sum.arguments import seed_number

    seed = seed_number(seed)
    images = Images(data)
    if data is not None:
        images.split  # noqa: B018 - a folder that cannot be read is the user's error, not one of every cell
    names = EXPERIMENTS if name is Name.ALL else (name.value,)
    finished: list[Reproduced] = []
    with _store(out, restart) as store, report_progress(not (quiet or as_json)) as report:
        setup = Setup(seed, quick, images, report)
        for which in names:
            finished.append(run_experiment(experiment_named(which), setup, store, _named(report, which)))
    if out is not None:
        _write(out, name, finished, setup)
    if as_json:
        echo_json(_as_json(name, finished, setup))
    elif not quiet:
        for number, done in enumerate(finished):
            heading = f"{done.experiment.title}\n{done.experiment.source}; {done.seconds:.1f} s"
            typer.echo(("\n\n" if number else "") + heading + "\n\n" + table_text(done.rows, done.differs))
    failures = [f"{done.experiment.name}: {failure}" for done in finished for failure in done.failures]
    for failure in failures[:3]:
        typer.echo(f"sslth: a part failed: {failure}", err=True)
    return int(bool(failures))


@contextmanager
def _store(out: Path | None, restart: bool) -> Iterator[Store]:
    from sslth.experiments.store import Store

    if out is None:
        if restart:
            raise InvalidInputError("--restart discards what is in --out; give --out")
        with Store(":memory:") as store:
            yield store
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError(f"cannot make the output folder {out}: {error.strerror or error}") from error
    if restart:
        for leftover in out.glob("reproduce.db*"):
            leftover.unlink()
    with Store(out / "reproduce.db") as store:
        yield store


def _named(report: Callable[[int, int, str], object], name: str) -> Callable[[int, int, str], object]:
    return lambda done, total, _stage: report(done, total, name)


def _command(name: Name, setup: Setup) -> str:
    """What makes the same numbers again; a folder of images is the reader's own, so it is not named."""
    parts = ["sslth", "reproduce", name.value, "--seed", str(setup.seed)]
    parts += ["--quick"] if setup.quick else []
    parts += ["--data", "FOLDER"] if setup.images.folder is not None else []
    return " ".join(parts)


def _write(out: Path, name: Name, finished: list[Reproduced], setup: Setup) -> None:
    import platform

    import sslth
    from sslth.experiments.reproduce.page import draw_ratios, write_page

    done = [part for part in finished if not part.failures]
    for part in done:
        draw_ratios(part.rows, part.experiment.title, out / f"{part.experiment.name}.png")
    facts = {"sslth": sslth.__version__, "python": platform.python_version(), "seed": setup.seed}
    write_page(out / "reproduce.html", done, facts, _command(name, setup))


def _as_json(name: Name, finished: list[Reproduced], setup: Setup) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "experiment": name.value,
        "seed": setup.seed,
        "quick": setup.quick,
        "seconds": sum(done.seconds for done in finished),
        "rows": [{"experiment": done.experiment.name, **asdict(row)} for done in finished for row in done.rows],
        "differs": {done.experiment.name: done.differs for done in finished},
    }
