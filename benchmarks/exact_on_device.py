"""Exact search through torch: states a second. python -m benchmarks.exact_on_device [--device cuda] [--large]

Drawn Gaussian instances, targets in the unit cube, to a proven optimum, the best of three runs up to n = 48. A state is
one sum of a half: made, placed in a cell, looked up. Beside the states: torch's sort of as many int64 as a chunk has,
and a copy of the same bytes, on the same device; and the seconds of `meet_in_the_middle` on one core of the CPU, which
must find the same error. --large has n = 56 to 80, for a GPU; there the CPU is left out. --json FILE writes the same
numbers and more.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

import sslth
from sslth.errors import InvalidInputError
from sslth.subset_sum.exact.devices import usable_devices
from sslth.subset_sum.files import write_atomically
from sslth.subset_sum.memory import parse_bytes
from sslth.subset_sum.solvers import Solver
from sslth.subset_sum.solvers.meet_in_the_middle import MeetInTheMiddle
from sslth.subset_sum.solvers.meet_in_the_middle_torch import MeetInTheMiddleTorch

_CELLS = [(36, 1), (36, 2), (40, 1), (40, 2), (40, 4), (44, 1), (44, 2)]
_LARGE = [(56, 1), (56, 2), (64, 1), (64, 2), (64, 4), (72, 1), (72, 2), (80, 1)]
_REPEATS = 5
_LONGEST_REPEATED = 48


@dataclass(frozen=True)
class Row:
    """One instance on the devices."""

    n: int
    d: int
    status: str
    error: float
    seconds: float
    states: int
    pairs: int
    passes: int
    slabs: int
    seconds_on_one_core: float | None

    @property
    def speed(self) -> float:
        """States a second."""
        return self.states / self.seconds


def main(arguments: list[str] | None = None) -> int:
    """Print a table; 2 for what cannot be run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", action="append", help="cpu, cuda, cuda:1; give it again for several. Default: auto")
    parser.add_argument("--memory", default="1GiB", help="on each device")
    parser.add_argument("--large", action="store_true", help="n = 56 to 80 instead of 36 to 44")
    parser.add_argument("--largest-n", type=int, default=80)
    parser.add_argument("--time-limit", type=float, default=1800.0, help="seconds an instance")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    try:
        solver = MeetInTheMiddleTorch(options.device or ["auto"], parse_bytes(options.memory))
        devices = usable_devices(solver.device)
        sslth.solve(sslth.draw_instance("gaussian", 28, 2), solver)  # what is slow the first time only
    except InvalidInputError as error:
        print(error, file=sys.stderr)
        return 2
    cells = [cell for cell in (_LARGE if options.large else _CELLS) if cell[0] <= options.largest_n]
    rows = [measured(n, d, solver, options.time_limit, not options.large) for n, d in cells]
    longest = int(sslth.solve(sslth.draw_instance("gaussian", 28, 2), solver).stats["chunks"][0])
    sort, copy = speeds_of_torch(devices[0], longest)
    print(f"{', '.join(name_of(where) for where in devices)}; torch {torch.__version__}; {options.memory} on each")
    print(f"torch.sort of {longest:,} int64: {sort / 1e6:,.0f} million a second; a copy: {copy / 1e6:,.0f} million")
    print(
        "| n | d | s | s, meet_in_the_middle, one core | error | million states a s | share of the sort | of the copy |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        theirs = "" if row.seconds_on_one_core is None else f"{row.seconds_on_one_core:.3g}"
        proven = "" if row.status == "OPTIMAL" else f" ({row.status})"
        print(
            f"| {row.n} | {row.d} | {row.seconds:.3g}{proven} | {theirs} | {row.error:.3g} | {row.speed / 1e6:.1f}"
            f" | {row.speed / sort:.2f} | {row.speed / copy:.4f} |"
        )
    largest = max((row.n for row in rows), default=0)
    if largest < 72 or devices[0].type == "cpu":
        print("n = 72 on a GPU: not yet measured")
    if options.json is not None:
        written = {
            "devices": [name_of(where) for where in devices],
            "torch": torch.__version__,
            "memory": options.memory,
            "chunk": longest,
            "sorted_a_second": sort,
            "copied_a_second": copy,
            "rows": [{**asdict(row), "states_a_second": row.speed} for row in rows],
        }
        text = json.dumps(written, indent=1, sort_keys=True) + "\n"
        write_atomically(options.json, lambda file: file.write(text.encode()))
    return 0


def measured(n: int, d: int, solver: MeetInTheMiddleTorch, time_limit: float, beside_the_cpu: bool) -> Row:
    """One drawn instance; the same proven error on one core of the CPU, or an AssertionError."""
    instance = sslth.draw_instance("gaussian", n, d, seed=1)
    found = _quickest(instance, solver, time_limit)
    alone = _quickest(instance, MeetInTheMiddle(threads=1), time_limit) if beside_the_cpu else None
    if alone is not None and alone.status is found.status is sslth.Status.OPTIMAL:
        assert alone.error == found.error
    return Row(
        n=n,
        d=d,
        status=found.status.value,
        error=found.error,
        seconds=found.seconds,
        states=found.stats["work"] - found.stats["pairs"],
        pairs=found.stats["pairs"],
        passes=found.stats["passes"],
        slabs=found.stats["slabs"],
        seconds_on_one_core=None if alone is None else alone.seconds,
    )


def _quickest(instance: sslth.Instance, solver: Solver, time_limit: float) -> sslth.Solution:
    runs = 3 if instance.n <= _LONGEST_REPEATED else 1
    found = [sslth.solve(instance, solver, time_limit=time_limit) for _ in range(runs)]
    return min(found, key=lambda solution: solution.seconds)


def speeds_of_torch(where: torch.device, count: int) -> tuple[float, float]:
    """How many int64 a second are sorted, and copied."""
    numbers = torch.randint(-(2**60), 2**60, (count,), device=where)
    return count / _seconds(lambda: torch.sort(numbers), where), count / _seconds(numbers.clone, where)


def name_of(where: torch.device) -> str:
    """The device as people know it."""
    return f"{where} ({torch.cuda.get_device_name(where)})" if where.type == "cuda" else str(where)


def _seconds(work: Callable[[], object], where: torch.device) -> float:
    """The quickest of some runs, after one that does not count."""
    spent = []
    for _ in range(_REPEATS + 1):
        _wait(where)
        started = time.perf_counter()
        work()
        _wait(where)
        spent.append(time.perf_counter() - started)
    return min(spent[1:])


def _wait(where: torch.device) -> None:
    if where.type == "cuda":
        torch.cuda.synchronize(where)


if __name__ == "__main__":
    sys.exit(main())
