"""Exact and heuristic search where d is large against n. python -m benchmarks.large_d [--quick]

Two tables: seconds to a proof of `branch_and_bound` beside the other exact solvers, and errors of `local_search` beside
the pursuits. Targets are uniform in the unit cube. A time in brackets is the limit: no proof.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from sslth.errors import InvalidInputError
from sslth.subset_sum.draw_instance import draw_instance
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.solution import Solution, Status
from sslth.subset_sum.solve import solve
from sslth.subset_sum.solvers import Solver
from sslth.subset_sum.solvers.local_search import LocalSearch

_LAWS = ("uniform", "gaussian", "nsn")
_LARGEST_MEET_IN_THE_MIDDLE = 44
_PURSUITS = ("sorted_pursuit", "best_first_pursuit")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both tables; half an hour, or about two minutes with --quick."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_d", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer instances, shorter limits")
    quick = parser.parse_args(arguments).quick
    solve(draw_instance("gaussian", 16, 16, 0), "branch_and_bound")  # compiles
    solve(draw_instance("gaussian", 16, 2, 0), "meet_in_the_middle")
    _print_proofs(5.0 if quick else 60.0, quick)
    _print_errors(1.0 if quick else 10.0)


def _print_proofs(seconds: float, quick: bool) -> None:
    print(f"seconds to a proof, [limit {seconds:g} s, best error / what is proven]; error: of the first solver")
    columns = ("branch_and_bound", "meet_in_the_mid.", "cp_sat")
    print(f"{'law':9s}{'n':>3s}{'d':>5s}{'k':>4s}  {'error':>9s}", *(f"{name:>16s}" for name in columns), sep="  ")
    for instance, law in _instances_to_prove(quick):
        ours = solve(instance, "branch_and_bound", time_limit=seconds)
        halves = _try("meet_in_the_middle", instance, seconds) if instance.n <= _LARGEST_MEET_IN_THE_MIDDLE else None
        general = _try("cp_sat", instance, seconds)
        size = "-" if instance.cardinality is None else str(instance.cardinality)
        print(
            f"{law:9s}{instance.n:3d}{instance.d:5d}{size:>4s}  {ours.error:9.4f}",
            *(_proof(solution) for solution in (ours, halves, general)),
            sep="  ",
            flush=True,
        )


def _instances_to_prove(quick: bool) -> Iterator[tuple[Instance, str]]:
    for n in (30, 40) if quick else (30, 40, 50, 60):
        for d in (16, 72) if quick else (16, 27, 72, 144, 576):
            for law in _LAWS[1:2] if quick else _LAWS:
                for size in (None, n // 2):
                    yield draw_instance(law, n, d, 1, cardinality=size), law


def _try(solver: str, instance: Instance, seconds: float) -> Solution | None:
    try:
        return solve(instance, solver, time_limit=seconds)
    except InvalidInputError:
        return None


def _proof(solution: Solution | None) -> str:
    if solution is None:
        return f"{'-':>16s}"
    if solution.status is Status.OPTIMAL:
        return f"{solution.seconds:16.2f}"
    return f"[{solution.error:.4f}/{solution.lower_bound:.4f}]".rjust(16)


def _print_errors(seconds: float) -> None:
    print(f"errors: the pursuits (they end by themselves), local_search by default, and in {seconds:g} s; seconds")
    columns = ("sorted_pursuit", "best_first", "local_search", "local_search*")
    print(f"{'law':9s}{'n':>5s}{'d':>5s}{'k':>5s}", *(f"{name:>18s}" for name in columns))
    endless = LocalSearch(moves=None)
    for n, d in ((60, 72), (200, 144), (1000, 576), (1000, 72)):
        for law in _LAWS[1:]:
            for size in (None, n // 4):
                instance = draw_instance(law, n, d, 1, cardinality=size)
                solvers: tuple[str | Solver, ...] = (*_PURSUITS, LocalSearch(), endless)
                cells = [
                    solve(instance, solver, time_limit=seconds if solver is endless else None) for solver in solvers
                ]
                shown = "-" if size is None else str(size)
                print(
                    f"{law:9s}{n:5d}{d:5d}{shown:>5s}",
                    *(f"{cell.error:9.4f} {cell.seconds:6.2f} s" for cell in cells),
                    flush=True,
                )


if __name__ == "__main__":
    main()
