"""Measure what every solver reaches where, and write the table that `auto` chooses by. python -m benchmarks.calibrate

Two questions for each cell (law, n, d, with or without a wanted size): the error of each heuristic after .1, 1 and 6
seconds, and the seconds that each exact solver takes to a proof. Results are appended to a file as they come, so that
the command goes on where it was stopped; when all are there the table is written into the package.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from rich.progress import Progress

import sslth
from sslth.subset_sum.solvers import REGISTRY
from sslth.subset_sum.solvers.auto import member
from sslth.subset_sum.solvers.auto_table import TABLE, row_spread

HEURISTICS = (
    *("sorted_pursuit", "best_first_pursuit", "sign_pursuit", "sign_beam"),
    *("message_passing", "k_tree", "differencing", "local_search", "branch_and_meet"),
)
EXACT = ("meet_in_the_middle", "branch_and_bound", "branch_and_meet")
BUDGETS = (0.1, 1.0, 6.0)
WIDTHS = (60, 300, 2_000, 12_000, 80_000)
DIMENSIONS = (1, 3, 9, 20, 48, 144, 400)
PROOF_WIDTHS = (32, 42, 52, 60)
PROOF_DIMENSIONS = (1, 2, 4, 6, 9, 14, 24, 72)
PROOF_LIMIT = 10.0
LAWS = ("gaussian", "nsn")
MOST_ENTRIES = 12_000_000
LONG_GAIN = 0.9  # the longest budget is measured where 1 s was better than .1 s by this factor


def heuristic_cells() -> Iterator[dict[str, Any]]:
    """What is measured with a budget."""
    for d in DIMENSIONS:
        for n in WIDTHS:
            for law in LAWS:
                for sized in (False, True):
                    if n * d <= MOST_ENTRIES:
                        yield {"law": law, "n": n, "d": d, "sized": sized}


def proof_cells() -> Iterator[dict[str, Any]]:
    """What is measured to a proof."""
    for d in PROOF_DIMENSIONS:
        for n in PROOF_WIDTHS:
            for law in LAWS:
                for sized in (False, True):
                    yield {"law": law, "n": n, "d": d, "sized": sized}


def instance_of(cell: dict[str, Any], seed: int = 1000) -> sslth.Instance:
    """The instance of a cell; seeds are not those of the benchmarks."""
    size = cell["n"] // 3 if cell["sized"] else None
    return sslth.draw_instance(cell["law"], cell["n"], cell["d"], seed, cardinality=size)


def heuristic_result(cell: dict[str, Any], names: tuple[str, ...] = HEURISTICS) -> dict[str, Any]:
    """Errors and seconds of heuristics at every budget."""
    instance = instance_of(cell)
    errors: dict[str, Any] = {}
    for name in names:
        if REGISTRY[name].refusal(instance) is not None:
            continue
        solver = member(name, timed=True)
        sslth.solve(instance, solver, time_limit=0.0)  # compiles what it needs
        runs: dict[str, tuple[float, float]] = {}
        for budget in BUDGETS:
            solution = sslth.solve(instance, solver, time_limit=budget)
            runs[str(budget)] = (solution.error, round(solution.seconds, 4))
            improved = len(runs) < 2 or solution.error < LONG_GAIN * runs[str(BUDGETS[0])][0]
            if solution.seconds < 0.9 * budget or not improved:
                break
        errors[name] = runs
    return {**cell, "spread": row_spread(instance), "errors": errors}


def proof_result(cell: dict[str, Any], names: tuple[str, ...] = EXACT) -> dict[str, Any]:
    """Seconds to a proof, None where there was none within the limit."""
    instance = instance_of(cell)
    seconds: dict[str, float | None] = {}
    for name in names:
        for n, d in ((26, cell["d"]), (36, 9)):  # large enough for the kernels of large instances
            sslth.solve(sslth.draw_instance(cell["law"], n, d, 0), name, time_limit=5.0)
        if REGISTRY[name].refusal(instance) is not None:
            continue
        try:
            solution = sslth.solve(instance, name, time_limit=PROOF_LIMIT)
        except sslth.InvalidInputError:  # it does not fit the memory
            continue
        seconds[name] = round(solution.seconds, 4) if solution.status is sslth.Status.OPTIMAL else None
    return {**cell, "spread": row_spread(instance), "proof": seconds}


def measure(kind: str, cell: dict[str, Any]) -> dict[str, Any]:
    """One cell, in a worker."""
    result = heuristic_result(cell) if kind == "heuristic" else proof_result(cell)
    return {"kind": kind, **result}


def measure_again(row: dict[str, Any], name: str) -> dict[str, Any]:
    """One cell with one solver measured anew, in a worker."""
    cell = {key: row[key] for key in ("law", "n", "d", "sized")}
    if row["kind"] == "proof":
        return {**row, "proof": {**row["proof"], **proof_result(cell, (name,))["proof"]}}
    return {**row, "errors": {**row["errors"], **heuristic_result(cell, (name,))["errors"]}}


def main() -> None:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/calibration.jsonl"), help="results so far")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long; the table needs all cells")
    parser.add_argument("--partial", action="store_true", help="write the table from the cells that are there")
    parser.add_argument(
        "--redo", choices=dict.fromkeys((*EXACT, *HEURISTICS)), help="measure this solver anew, in the table as it is"
    )
    parser.add_argument("--least-d", type=int, default=1, help="with --redo: only from so many coordinates on")
    parser.add_argument("--most-d", type=int, default=10**9, help="with --redo: only up to so many coordinates")
    parser.add_argument("--most-n", type=int, default=10**9, help="with --redo: only up to so many rows")
    options = parser.parse_args()
    known = _read(options.out)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if options.redo is not None:
        known = {**_read_table(), **known}
        kinds = [kind for kind, names in (("proof", EXACT), ("heuristic", HEURISTICS)) if options.redo in names]
        rows = [row for row in known.values() if row["kind"] in kinds]
        rows = [row for row in rows if options.least_d <= row["d"] <= options.most_d and row["n"] <= options.most_n]
        with options.out.open("a") as stream, ProcessPoolExecutor(options.workers) as pool, Progress() as progress:
            task = progress.add_task("cells", total=len(rows))
            for done in as_completed([pool.submit(measure_again, row, options.redo) for row in rows]):
                _store(stream, known, done.result())
                progress.advance(task)
        _write_table(list(known.values()))
        return
    todo = [("heuristic", c) for c in heuristic_cells()] + [("proof", c) for c in proof_cells()]
    todo = [(kind, cell) for kind, cell in todo if _key(kind, cell) not in known]
    todo.sort(key=lambda entry: -entry[1]["d"])
    started = time.monotonic()
    with (
        Progress() as progress,
        options.out.open("a") as stream,
        ProcessPoolExecutor(options.workers) as pool,
    ):
        task = progress.add_task("cells", total=len(todo))
        try:
            waiting = {}
            pending = iter(todo)
            for kind, cell in pending:
                waiting[pool.submit(measure, kind, cell)] = (kind, cell)
                if len(waiting) < options.workers:
                    continue
                done = next(as_completed(waiting))
                _store(stream, known, done.result())
                del waiting[done]
                progress.advance(task)
                if time.monotonic() - started > 60.0 * options.minutes:
                    break
            for done in as_completed(waiting):
                _store(stream, known, done.result())
                progress.advance(task)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            sys.exit(130)
    missing = len(list(heuristic_cells())) + len(list(proof_cells())) - len(known)
    if missing and not options.partial:
        sys.exit(f"{missing} cells are missing; run the command again, or write the table with --partial")
    _write_table(list(known.values()))


def _key(kind: str, cell: dict[str, Any]) -> tuple[Any, ...]:
    return (kind, cell["law"], cell["n"], cell["d"], cell["sized"])


def _read(path: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
    return {_key(row["kind"], row): row for row in rows}


def _read_table() -> dict[tuple[Any, ...], dict[str, Any]]:
    """The rows of the table in the package, rounded as they stand there."""
    table = json.loads(TABLE.read_text())
    rows = [{"kind": "heuristic", **row} for row in table["cells"]] + [
        {"kind": "proof", **row} for row in table["proofs"]
    ]
    return {_key(row["kind"], row): row for row in rows}


def _store(stream: Any, known: dict[tuple[Any, ...], dict[str, Any]], row: dict[str, Any]) -> None:
    stream.write(json.dumps(row) + "\n")
    stream.flush()
    known[_key(row["kind"], row)] = row


def _write_table(rows: list[dict[str, Any]]) -> None:
    def short(value: float) -> float:
        return float(f"{value:.3g}")

    cells, proofs = [], []
    for row in sorted(rows, key=lambda r: (r["kind"], r["d"], r["n"], r["law"], r["sized"])):
        head = {"law": row["law"], "n": row["n"], "d": row["d"], "sized": row["sized"], "spread": short(row["spread"])}
        if row["kind"] == "heuristic":
            errors = {
                name: {budget: [short(error), short(seconds)] for budget, (error, seconds) in runs.items()}
                for name, runs in row["errors"].items()
            }
            cells.append({**head, "errors": errors})
        else:
            proofs.append({**head, "proof": row["proof"]})
    lines = ['{"budgets": ' + json.dumps(list(BUDGETS)) + ', "proof_limit": ' + json.dumps(PROOF_LIMIT) + ","]
    for name, entries in (("cells", cells), ("proofs", proofs)):
        lines.append(f'"{name}": [')
        lines += [json.dumps(entry) + ("," if i + 1 < len(entries) else "") for i, entry in enumerate(entries)]
        lines.append("]," if name == "cells" else "]")
    TABLE.write_text("\n".join([*lines, "}"]) + "\n")
    print(f"{TABLE.name}: {len(cells)} cells with errors, {len(proofs)} with proofs")


if __name__ == "__main__":
    main()
