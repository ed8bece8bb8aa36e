"""`sslth solve`: one subset-sum problem from a file or drawn at random."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sslth.cli.output import echo_json
from sslth.errors import InvalidInputError

if TYPE_CHECKING:
    from sslth.subset_sum.instance import Instance
    from sslth.subset_sum.solution import Solution
    from sslth.subset_sum.solvers.meet_in_the_middle_torch import MeetInTheMiddleTorch

__all__ = ["solve"]


def solve(
    file: Annotated[
        Path | None, typer.Argument(help=".npz file with samples [n, d], target [d] and, if wanted, cardinality.")
    ] = None,
    law: Annotated[str | None, typer.Option(help="Draw an instance instead: nsn, gaussian or uniform.")] = None,
    n: Annotated[int | None, typer.Option("-n", "--n", help="Rows to draw.")] = None,
    d: Annotated[int | None, typer.Option("-d", "--d", help="Coordinates of a drawn row.")] = None,
    seed: Annotated[int, typer.Option(help="Of the drawn instance and of the solver.")] = 0,
    cardinality: Annotated[int | None, typer.Option("-k", "--cardinality", help="Exactly this many rows.")] = None,
    max_cardinality: Annotated[int | None, typer.Option(help="At most this many rows.")] = None,
    tolerance: Annotated[
        str | None, typer.Option(help="Stop at the first error that is at most this; one number, or d with commas.")
    ] = None,
    time_limit: Annotated[float, typer.Option(help="Seconds.")] = 10.0,
    max_work: Annotated[int | None, typer.Option(help="Partial sums to visit: a limit that repeats exactly.")] = None,
    solver: Annotated[str, typer.Option(help="A solver's name; --explain lists them.")] = "auto",
    device: Annotated[
        str | None,
        typer.Option(help="Prove the optimum by torch on cpu, cuda or several: cuda:0,cuda:1. See --memory."),
    ] = None,
    memory: Annotated[str, typer.Option(help="What --device may allocate on each device.")] = "1GiB",
    norm: Annotated[str, typer.Option(help="What the error is: sup or l2.")] = "sup",
    count: Annotated[
        bool, typer.Option("--count", help="Count the subsets within --tolerance instead of finding one.")
    ] = False,
    best: Annotated[
        int | None, typer.Option("--list", help="List so many of the best subsets (within --tolerance, if given).")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say which solvers run and why, what each found, and what each is for.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the solution as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only the error that was reached.")] = False,
) -> int:
    """Find rows whose sum is close to a target in the sup norm.

    Example: sslth solve --law nsn -n 30 -d 2 --tolerance .01 --count

    Exit status 0: done, or within --tolerance; 1: --tolerance not reached; 2: bad input or no such subset exists;
    130: interrupted (the best subset so far is printed).
    """
    from sslth.subset_sum.per_coordinate import is_per_coordinate
    from sslth.subset_sum.solution import Status
    from sslth.subset_sum.solve import solve as run

    allowed = _tolerance(tolerance)
    if explain and file is None and law is None:
        _explain([])
        return 0
    instance = _instance(file, law, n, d, seed, cardinality, max_cardinality)
    if count or best is not None:
        if is_per_coordinate(allowed):
            raise InvalidInputError("--count and --list take one --tolerance for all coordinates")
        return _many(instance, allowed, count, best, as_json)
    if explain and solver == "auto" and device is None and not as_json:
        _explain_plan(instance, time_limit, seed, norm)
    chosen = solver if device is None else _on_devices(solver, device, memory)
    solution = run(instance, chosen, allowed, time_limit, max_work, seed, norm)
    if as_json:
        echo_json(_as_json(solution))
    elif solution.status is not Status.INFEASIBLE:
        typer.echo(repr(solution.error) if quiet else _as_text(instance, solution))
    if explain and not as_json:
        _explain(solution.stats.get("tried", []))
    if solution.status is Status.INFEASIBLE:
        raise InvalidInputError(f"{instance!r} is infeasible: {solution.stats['reason']}")
    if solution.stats["stopped_by"] == "interrupt":
        return 130
    if is_per_coordinate(allowed):
        return int(solution.status is not Status.WITHIN_TOLERANCE)
    return int(isinstance(allowed, float) and solution.error > allowed)


def _on_devices(solver: str, device: str, memory: str) -> MeetInTheMiddleTorch:
    from sslth.subset_sum.memory import parse_bytes
    from sslth.subset_sum.solvers.meet_in_the_middle_torch import MeetInTheMiddleTorch

    if solver not in ("auto", "meet_in_the_middle_torch"):
        raise InvalidInputError(f"{solver} does not run on devices; --device goes with meet_in_the_middle_torch alone")
    return MeetInTheMiddleTorch(device.split(","), parse_bytes(memory))


def _tolerance(text: str | None) -> float | list[float] | None:
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise InvalidInputError(
            f"--tolerance is {text!r}; give a number, or one for each coordinate: .1,.1,.5"
        ) from None
    return numbers if "," in text else numbers[0]


def _many(instance: Instance, tolerance: Any, count: bool, best: int | None, as_json: bool) -> int:
    from sslth.subset_sum.count import count as count_subsets
    from sslth.subset_sum.solutions import solutions

    if count:
        if tolerance is None:
            raise InvalidInputError("--count needs a --tolerance")
        found = count_subsets(instance, tolerance)
        if as_json:
            echo_json({"count": found, "tolerance": tolerance, "n": instance.n, "d": instance.d})
        else:
            typer.echo(found)
        return 0
    listed = solutions(instance, tolerance, best if best is not None else 100)
    if as_json:
        echo_json({"solutions": [{"subset": s.subset.tolist(), "error": s.error} for s in listed]})
    else:
        for solution in listed:
            typer.echo(f"{solution.error:.9g}  {_rows_text(solution)}")
    return int(tolerance is not None and not listed)


def _explain_plan(instance: Instance, time_limit: float, seed: int, norm: str) -> None:
    from sslth.subset_sum.solve import checked_limits
    from sslth.subset_sum.solvers.auto import plan

    for step in plan(instance, checked_limits(None, time_limit, None, seed, norm)):
        typer.echo(f"plan         {step.solver}: {step.reason}")


def _instance(
    file: Path | None,
    law: str | None,
    n: int | None,
    d: int | None,
    seed: int,
    cardinality: int | None,
    max_cardinality: int | None,
) -> Instance:
    from sslth.subset_sum.draw_instance import draw_instance
    from sslth.subset_sum.instance import Instance

    if (file is None) == (law is None):
        raise InvalidInputError("give either a FILE.npz or --law with -n and -d")
    if law is not None:
        if n is None or d is None:
            raise InvalidInputError("--law needs -n (rows) and -d (coordinates)")
        return draw_instance(law, n, d, seed, cardinality, max_cardinality)
    assert file is not None
    stored = Instance.load(file)
    return Instance(
        stored.samples,
        stored.target,
        stored.cardinality if cardinality is None else cardinality,
        stored.max_cardinality if max_cardinality is None else max_cardinality,
    )


def _as_json(solution: Solution) -> dict[str, object]:
    return {
        "subset": solution.subset.tolist(),
        "mask": solution.mask.tolist(),
        "error": solution.error,
        "lower_bound": solution.lower_bound,
        "status": solution.status.value,
        "solver": solution.solver,
        "seconds": solution.seconds,
        "stats": solution.stats,
    }


def _as_text(instance: Instance, solution: Solution) -> str:
    bound = f"{solution.lower_bound:.6g}" if solution.lower_bound else "0 (none proved)"
    return "\n".join(
        (
            f"instance     n={instance.n} d={instance.d}",
            f"status       {solution.status.value} (stopped by {solution.stats['stopped_by']})",
            f"error        {solution.error:.6g}",
            f"lower bound  {bound}",
            f"subset       {_rows_text(solution)}",
            f"solver       {solution.solver}, {solution.seconds:.3f} s",
        )
    )


def _rows_text(solution: Solution) -> str:
    rows = " ".join(str(row) for row in solution.subset[:20].tolist())
    more = f" ... ({solution.subset.size} rows)" if solution.subset.size > 20 else ""
    return f"{rows}{more}" if solution.subset.size else "empty"


def _explain(tried: list[dict[str, Any]]) -> None:
    from sslth.subset_sum.solve import solvers

    for step in tried:
        typer.echo(f"tried        {step['solver']}: error {step['error']:.6g}, stopped by {step['stopped_by']}")
    for name, purpose in solvers().items():
        typer.echo(f"{name:22s} {purpose}")
