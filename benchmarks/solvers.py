"""Our solvers beside other people's, on the same instances, cores and limits. python -m benchmarks.solvers --help

Results are stored as they come; the same command resumes, also after `kill -9`, and `--report` only writes what is
there. Leaves in the folder `--out`: table.md (where ours is not ahead on top), cells.csv, trials.csv, skipped.csv,
anytime_*.png, bits_*.png, roofline.png, and the store study.db.
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sslth
from benchmarks.solver_study.floors import log2_floor
from benchmarks.solver_study.grid import (
    LAWS,
    SHORT_CELLS,
    TRIAL,
    Cell,
    Contestant,
    Side,
    Skip,
    contestants,
    full_cells,
    make_plan,
)
from benchmarks.solver_study.results import false_claims, judge, refusals, stored_trials
from benchmarks.solver_study.roofline import REFERENCE, reference_parameters
from benchmarks.solver_study.tables import cells_csv, markdown, skips_csv, trials_csv
from benchmarks.solver_study.worker import Worker, available_cores
from sslth.cnn.progress import report_progress
from sslth.errors import InvalidInputError
from sslth.experiments.grid import missing_cells, run_grid
from sslth.experiments.store import Store
from sslth.subset_sum.files import write_bytes

__all__ = ["main"]

_AXES = ("law", "n", "d", "size")
_SHORT_BUDGET = 95.0  # seconds, so that all of it takes two minutes


class OutOfTimeError(Exception):
    """The budget of the whole study is spent."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, or go on with, a study and write its report; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return _study(options)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except InvalidInputError as problem:
        print(f"benchmarks.solvers: {problem}", file=sys.stderr)
        return 2


def _study(options: argparse.Namespace) -> int:
    wall_limit = options.limit or (1.0 if options.short else 10.0)
    instances = options.instances or (1 if options.short else 3)
    everybody = _chosen(options.solvers)
    if options.short and not options.solvers:  # they count for neither side
        everybody = [who for who in everybody if who.side is not Side.WRAPPED]
    cells = list(SHORT_CELLS) if options.short and not options.cells else full_cells(_axes(options.cells))
    out = options.out or Path("out/solvers-short" if options.short else "out/solvers")
    out.mkdir(parents=True, exist_ok=True)
    path = out / "study.db"
    if options.restart:
        for leftover in out.glob("study.db*"):
            leftover.unlink()
    trials, skips = make_plan(cells, instances, wall_limit, options.threads, everybody)
    references = reference_parameters(1 << (20 if options.short else 24))
    with Store(path) as store:
        if options.redo:
            _forget(path, options.redo.split(","))
        complete = True
        if not options.report:
            budget = options.budget or (_SHORT_BUDGET if options.short else None)
            complete = _run([*references, *trials], store, options.threads, budget)
        print(_write_report(out, store, trials, skips, _settings(options, wall_limit, instances)))
    if not complete:
        print("the time budget ended before the study; the same command goes on from here", file=sys.stderr)
    return 0


def _run(plan: Sequence[Mapping[str, Any]], store: Store, threads: int, budget: float | None) -> bool:
    """Whether every trial of the plan is stored now; False if the budget ended before."""
    started = time.monotonic()
    done = [0, len(plan)]
    missing = missing_cells(plan, store)
    hours = sum(trial.get("time_limit", 0.0) for trial in missing) / 3600
    print(f"{len(missing):,} of {len(plan):,} trials to run, {hours:.2g} hours if all use their limit", file=sys.stderr)
    with report_progress(True) as bar, Worker(threads) as worker:

        def progress(finished: int, total: int, _stage: str) -> None:
            done[:] = finished, total
            bar(finished, total, "")
            if budget is not None and finished < total and time.monotonic() - started > budget:
                raise OutOfTimeError

        def evaluate(trial: Mapping[str, Any]) -> dict[str, Any]:
            bar(done[0], done[1], _in_words(trial))
            return _known_already(trial, store) or worker.run(trial)

        try:
            run_grid(plan, evaluate, store, progress)
        except OutOfTimeError:
            return False
    return True


def _in_words(trial: Mapping[str, Any]) -> str:
    if trial["kind"] == REFERENCE:
        return f"{trial['what']}, {trial['entries']:,} entries"
    cell = Cell(trial["law"], trial["d"], trial["n"], trial["cardinality"])
    return f"{cell}: {Contestant(Side(trial['side']), trial['solver'])}, {trial['time_limit']:g} s"


def _known_already(trial: Mapping[str, Any], store: Store) -> dict[str, Any] | None:
    """The result at a shorter time limit if that ended with a proof or a refusal: more time changes nothing."""
    if trial["kind"] != TRIAL:
        return None
    for limit in (0.1, 1.0, 10.0):
        if limit < trial["time_limit"]:
            result = store.get({**trial, "time_limit": limit})
            if result is not None and (
                result.get("refused") or (result["claimed_optimal"] and result["error"] is not None)
            ):
                return result | {"copied_from": limit}
    return None


def _forget(path: Path, solvers: Sequence[str]) -> None:
    """Delete the trials of these solvers, so that they are measured again."""
    with sqlite3.connect(path, timeout=60.0) as connection:
        marks = ",".join("?" * len(solvers))
        connection.execute(f"DELETE FROM cells WHERE json_extract(parameters, '$.solver') IN ({marks})", solvers)
    connection.close()


# ------------------------------------------------------------------------------------------------ the report


def _write_report(
    out: Path, store: Store, trials: Sequence[Mapping[str, Any]], skips: Sequence[Skip], settings: dict[str, Any]
) -> str:
    """Write everything that the stored trials of the plan say; returns the top of it."""
    from benchmarks.solver_study.figures import draw_anytime, draw_bits, draw_roofline
    from sslth.experiments.figure_style import save_figure

    measured, failed, missing = stored_trials(store, trials)
    skips = [*skips, *refusals(measured)]
    claims = false_claims(measured)
    results = judge(trials, measured, claims)
    revisions = sorted({trial.revision for trial in measured if trial.revision})
    settings |= {"revisions of sslth.subset_sum (hashes of its sources)": ", ".join(revisions) or "none"}
    text = markdown(results, claims, skips, measured, failed, missing, settings)
    for name, content in {
        "table.md": text,
        "cells.csv": cells_csv(results),
        "trials.csv": trials_csv(measured),
        "skipped.csv": skips_csv(skips),
    }.items():
        write_bytes(out / name, content.encode())
    floors = {result.cell: log2_floor(result.cell, store) for result in results if result.instances}
    for size in ("free", "fixed"):
        of_size = [trial for trial in measured if (trial.problem.cell.cardinality is None) == (size == "free")]
        for law in sorted({trial.problem.cell.law for trial in of_size}):
            save_figure(draw_anytime(of_size, law, size, floors), out / f"anytime_{law}_{size}.png", dpi=110)
        if of_size:
            save_figure(draw_bits(results, size, floors), out / f"bits_{size}.png")
    rates: dict[str, dict[int, float]] = {}
    for row in store.rows(REFERENCE):
        if row.result is not None and "entries_per_second" in row.result:
            rates.setdefault(row.parameters["what"], {})[row.parameters["entries"]] = row.result["entries_per_second"]
    last = {result.cell: result.time_limit for result in results}
    at_end = [trial for trial in measured if trial.time_limit == last[trial.problem.cell]]
    save_figure(draw_roofline(at_end, rates), out / "roofline.png")
    return text.split("\n## All cells")[0] + f"\nwritten to {out}/table.md, cells.csv, trials.csv and *.png"


def _settings(options: argparse.Namespace, wall_limit: float, instances: int) -> dict[str, Any]:
    cores = ", ".join(map(str, available_cores(options.threads))) or "not pinned"
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": f"sslth {sslth.__version__}, Python {platform.python_version()}",
        "pinned to": f"{options.threads} thread{'s' if options.threads > 1 else ''} on cores {cores}",
        "limit": f"{wall_limit:g} s, {instances} instance{'s' if instances > 1 else ''} a cell",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


# ------------------------------------------------------------------------------------------------- arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.solvers",
        description="Our solvers beside other people's on the same instances; resumes what was stopped.",
        epilog="example: python -m benchmarks.solvers --cells law=nsn d=4,9 n=1000 size=free,fixed --limit 1",
    )
    parser.add_argument("--short", action="store_true", help="a few cells in two minutes")
    parser.add_argument("--out", type=Path, help="folder of results; out/solvers or out/solvers-short")
    parser.add_argument("--limit", type=_seconds, metavar="SECONDS", help="wall limit of a call (10; 1 with --short)")
    parser.add_argument("--cells", nargs="+", default=[], metavar="AXIS=V,V", help="law, n, d, size (free, fixed)")
    parser.add_argument("--instances", type=_count, help="instances a cell (3; 1 with --short)")
    parser.add_argument("--solvers", metavar="NAME,NAME", help="only these; `peers` means all peers")
    parser.add_argument("--threads", type=_count, default=1, help="threads and cores of every call (1)")
    parser.add_argument("--budget", type=_seconds, metavar="SECONDS", help="start no trial after that many seconds")
    parser.add_argument("--redo", metavar="NAME,NAME", help="measure these solvers again")
    parser.add_argument("--restart", action="store_true", help="discard what is stored in the folder")
    parser.add_argument("--report", action="store_true", help="run nothing, only write the report")
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of seconds")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value


def _axes(words: Sequence[str]) -> dict[str, list[str]]:
    axes: dict[str, list[str]] = {}
    for word in words:
        axis, equals, values = word.partition("=")
        if axis not in _AXES or not equals or not values:
            raise InvalidInputError(f"--cells has {word!r}; it takes {', '.join(_AXES)}, for example d=1,2")
        axes[axis] = values.replace("_", "").split(",")
        wrong = [value for value in axes[axis] if not _is_value(axis, value)]
        if wrong:
            raise InvalidInputError(f"--cells has {word!r}; {wrong[0]!r} is no {axis}")
    return axes


def _is_value(axis: str, value: str) -> bool:
    if axis in ("n", "d"):
        return value.isdecimal() and int(value) > 0
    return value in (LAWS if axis == "law" else ("free", "fixed"))


def _chosen(names: str | None) -> list[Contestant]:
    everybody = contestants()
    if names is None:
        return everybody
    wanted = names.split(",")
    unknown = set(wanted) - {who.name for who in everybody} - {"peers"}
    if unknown:
        known = ", ".join(dict.fromkeys(who.name for who in everybody))
        raise InvalidInputError(f"--solvers has {sorted(unknown)[0]!r}; choose among {known}, peers")
    return [who for who in everybody if who.name in wanted or (who.side is Side.PEER and "peers" in wanted)]


if __name__ == "__main__":
    sys.exit(main())
