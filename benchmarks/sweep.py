"""What a sweep costs beside the work, and how long a large store takes. python -m benchmarks.sweep --help"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sslth.experiments.backends import make_backend
from sslth.experiments.export import flat_table, write_table
from sslth.experiments.grid import run_grid
from sslth.experiments.plots import plot_store
from sslth.experiments.store import Evaluated, Store

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the overhead of a cell for each backend, and seconds of opening, listing, plotting and exporting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=100_000, help="cells of the large store")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _overheads(folder, options.jobs)
        _large_store(folder, options.cells)


def work(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Keep a core busy for `busy` seconds."""
    until = time.perf_counter() + cell["busy"]
    while time.perf_counter() < until:
        pass
    return {"error": 0.5, "lower_bound": 0.25, "status": "OPTIMAL"}


def _overheads(folder: Path, jobs: int) -> None:
    """Wall time times workers, less the work, over the cells; with the idle end of up to one cell."""
    for name, count in (("serial", 1), ("loky", jobs)):
        for busy, cells in ((0.0, 20_000), (0.001, 5_000), (0.01, 1_000), (0.1, 300)):
            backend = make_backend(name, count)
            grid = [{"kind": "toy", "busy": busy, "n": n} for n in range(cells)]
            with Store(folder / f"{name}{busy}.db") as store:
                stamps: list[tuple[float, int]] = []
                progress = partial(_stamp, stamps)
                run_grid(grid, work, store, progress, backend=backend)
                spent = sum(row.seconds for row in store.rows())
            first, last = next(s for s in stamps if s[1] > 0), stamps[-1]
            done = last[1] - first[1]
            overhead = ((last[0] - first[0]) * count - spent * done / cells) / done
            print(f"{name:6s} {count} jobs, {cells:6,} cells of {busy * 1e3:5.1f} ms: {overhead * 1e3:.3f} ms a cell")


def _stamp(stamps: list[tuple[float, int]], done: int, _total: int, _stage: str) -> None:
    stamps.append((time.perf_counter(), done))


def _large_store(folder: Path, cells: int) -> None:
    path = folder / "large.db"

    def fill() -> None:
        with Store(path) as store:
            for start in range(0, cells, 1000):
                store.put_all(_solver_cell(n) for n in range(start, min(start + 1000, cells)))

    def list_all() -> None:
        with Store(path, read_only=True) as store:
            assert len(store.rows()) == cells

    def export(name: str) -> None:
        with Store(path, read_only=True) as store:
            write_table(flat_table(store.rows()), folder / name)

    _timed(f"put {cells:,} cells, 1,000 a transaction", fill)
    print(f"{'file':46s} {path.stat().st_size / 1e6:.0f} MB")
    _timed("open, and read what one cell has", lambda: _one_row(path))
    _timed("list all", list_all)
    _timed("plot solvers", lambda: plot_store("solvers", path, folder / "p.png"))
    _timed("export .csv", lambda: export("t.csv"))
    _timed("export .parquet", lambda: export("t.parquet"))


def _solver_cell(number: int) -> Evaluated:
    """A cell with the keys of the kind `solver` and made-up numbers: 50 sizes, 4 solvers, many instances."""
    n, which = 10 + number % 50, number // 50 % 4
    parameters = {
        "kind": "solver", "seed": 0, "law": "nsn", "d": 2, "k": None, "n": n, "instance": number // 200,
        "solver": ("meet_in_the_middle", "k_tree", "sign_beam", "local_search")[which],
        "time_limit": 10.0, "max_work": None, "tolerance": None,
    }  # fmt: skip
    error = 2.0 ** (-n / (which + 2)) * (1 + number % 97 / 97)
    result = {
        "error": error, "lower_bound": 0.0, "status": "BEST_FOUND", "stopped_by": "done", "size": n // 2,
        "work": number, "solver_used": parameters["solver"], "seconds": 1e-3 * (1 + number % 13),
    }  # fmt: skip
    return Evaluated(parameters, result, None, 0.01)


def _one_row(path: Path) -> None:
    with Store(path, read_only=True) as store:
        assert store.row(_solver_cell(7).parameters) is not None


def _timed(what: str, call: Callable[[], object]) -> None:
    started = time.perf_counter()
    call()
    print(f"{what:46s} {time.perf_counter() - started:.2f} s")


if __name__ == "__main__":
    main()
