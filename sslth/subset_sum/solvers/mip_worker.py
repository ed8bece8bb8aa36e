"""One mixed-integer program through OR-Tools MathOpt, in this process or in one that can be ended.

HiGHS hears no interruption, and SCIP writes to the error stream and may abort; so whatever takes longer than a blink
runs in a process of its own: `python -m sslth.subset_sum.solvers.mip_worker FOLDER` with `job.npz` in that folder.
"""

from __future__ import annotations

import datetime
import os
import sys
import threading
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["HIGHS", "SCIP", "Answer", "Job", "answer_in", "run"]

HIGHS, SCIP = "highs", "scip"

_FEASIBILITY = 1e-9  # what the solvers are asked for; what they are believed is in mip.py
_LARGEST_SEED = 2**31 - 1
_JOB, _ANSWER, _IMPROVING = "job.npz", "answer.npz", "improving.sol"


@dataclass(frozen=True)
class Job:
    """Minimise the sup-norm error over subsets, for numbers of at most 1.

    Attributes
    ----------
    backend : str
        `HIGHS` or `SCIP`.
    rows, target : float64[n, d], float64[d]
    smallest, largest : int
        How many rows may be chosen.
    floor : float
        The error variable is at least this: the search ends once it is reached.
    start : int64[k]
        A subset to start from.
    start_error : float
        Its error.
    threads, seed : int
    nodes : int
        The limit on branch-and-bound nodes; -1 for none.
    ends_at : float
        `time.monotonic()` at which to stop; inf for never.
    log : bool
        Whether the solver writes its log to the standard output.
    """

    backend: str
    rows: npt.NDArray[np.float64]
    target: npt.NDArray[np.float64]
    smallest: int
    largest: int
    floor: float
    start: npt.NDArray[np.int64]
    start_error: float
    threads: int
    seed: int
    nodes: int
    ends_at: float
    log: bool

    def save(self, folder: Path) -> None:
        """Write the job where a worker looks for it."""
        np.savez(folder / _JOB, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, folder: Path) -> Job:
        """Read what `save` wrote."""
        with np.load(folder / _JOB, allow_pickle=False) as stored:
            values = {field.name: stored[field.name] for field in fields(cls)}
        return cls(**{name: value if value.ndim else value.item() for name, value in values.items()})


@dataclass(frozen=True)
class Answer:
    """What the solver claims: its best rows (None if it has none), a bound, how it ended, and the nodes it visited.

    The status is "optimal", "node", "time", "interrupted", "killed", or another word of MathOpt.
    """

    chosen: npt.NDArray[np.int64] | None
    bound: float = 0.0
    status: str = "killed"
    nodes: int = 0

    def save(self, folder: Path) -> None:
        """Write the answer in one step."""
        chosen = np.array([-1]) if self.chosen is None else self.chosen
        part = folder / f"part-{_ANSWER}"
        np.savez(part, chosen=chosen, bound=self.bound, status=self.status, nodes=self.nodes)
        part.replace(folder / _ANSWER)


def answer_in(folder: Path, n: int) -> Answer:
    """The answer in a folder; of a worker that was ended before it gave one, the best rows that it had written down."""
    if (folder / _ANSWER).exists():
        with np.load(folder / _ANSWER, allow_pickle=False) as stored:
            chosen = stored["chosen"]
            return Answer(
                None if chosen.size and chosen[0] < 0 else chosen,
                float(stored["bound"]),
                str(stored["status"]),
                int(stored["nodes"]),
            )
    path = folder / _IMPROVING
    return Answer(_last_solution(path.read_text(), n) if path.exists() else None)


def run(job: Job, interrupter: Any = None, folder: Path | None = None) -> Answer:
    """Build the model, solve it, and say what the solver claims; an `interrupter` can stop SCIP alone."""
    from ortools.math_opt.python import mathopt

    n, d = job.rows.shape
    model = mathopt.Model()
    chosen = [model.add_binary_variable(name=f"x{index}") for index in range(n)]
    error = model.add_variable(lb=job.floor, name="e")
    for column in range(d):
        goal, coefficients = float(job.target[column]), job.rows[:, column].tolist()
        for sign, row in (
            (-1.0, model.add_linear_constraint(ub=goal)),
            (1.0, model.add_linear_constraint(lb=goal)),
        ):
            row.set_coefficient(error, sign)
            for variable, coefficient in zip(chosen, coefficients, strict=True):
                row.set_coefficient(variable, coefficient)
    if job.smallest > 0 or job.largest < n:
        row = model.add_linear_constraint(lb=job.smallest, ub=job.largest)
        for variable in chosen:
            row.set_coefficient(variable, 1.0)
    model.minimize(error)
    solver = mathopt.SolverType.HIGHS if job.backend == HIGHS else mathopt.SolverType.GSCIP
    result = mathopt.solve(
        model,
        solver,
        params=_parameters(job, folder),
        model_params=mathopt.ModelSolveParameters(solution_hints=[_hint(job, chosen, error)]),
        interrupter=interrupter,
    )
    best = result.solutions[0].primal_solution if result.solutions else None
    rows = None if best is None else np.flatnonzero([best.variable_values[variable] > 0.5 for variable in chosen])
    ending = result.termination
    return Answer(
        chosen=rows,
        bound=float(ending.objective_bounds.dual_bound),
        status=(ending.reason if ending.limit is None else ending.limit).name.lower(),
        nodes=int(result.solve_stats.node_count),
    )


def _hint(job: Job, chosen: list[Any], error: Any) -> Any:
    from ortools.math_opt.python import mathopt

    values = dict.fromkeys(chosen, 0.0)
    values.update((chosen[index], 1.0) for index in job.start.tolist())
    return mathopt.SolutionHint(variable_values={**values, error: max(job.floor, job.start_error)})


def _parameters(job: Job, folder: Path | None) -> Any:
    from ortools.math_opt.python import mathopt

    parameters = mathopt.SolveParameters(
        random_seed=job.seed % _LARGEST_SEED,
        absolute_gap_tolerance=0.0,
        relative_gap_tolerance=0.0,
        node_limit=None if job.nodes < 0 else job.nodes,
        enable_output=job.log,
    )
    if np.isfinite(job.ends_at):
        parameters.time_limit = datetime.timedelta(seconds=max(0.0, job.ends_at - time.monotonic()))
    if job.backend == SCIP:
        parameters.threads = job.threads
        parameters.gscip.real_params["numerics/feastol"] = _FEASIBILITY
        return parameters
    for name in ("mip_feasibility_tolerance", "primal_feasibility_tolerance", "dual_feasibility_tolerance"):
        parameters.highs.double_options[name] = _FEASIBILITY
    # HiGHS keeps one pool of threads for a process: the count is an option of its own, not MathOpt's
    parameters.highs.int_options["threads"] = job.threads
    parameters.highs.string_options["parallel"] = "on" if job.threads > 1 else "off"
    if folder is not None:
        parameters.highs.bool_options["mip_improving_solution_save"] = True
        parameters.highs.string_options["mip_improving_solution_file"] = str(folder / _IMPROVING)
    return parameters


def _last_solution(text: str, n: int) -> npt.NDArray[np.int64] | None:
    """The rows of the last complete solution of a HiGHS solution file; None if there is none."""
    for block in reversed(text.split("# Columns")[1:]):
        values = [line.split() for line in block.splitlines()[1 : n + 2]]
        if len(values) == n + 1 and values[-1][:1] == ["e"] and block.count("\n") > n + 1:
            return np.flatnonzero([float(value[1]) > 0.5 for value in values[:-1]])
    return None


def main() -> None:
    """Work on the job in the folder that the command line names; a byte on the standard input interrupts."""
    from ortools.util.python.solve_interrupter import SolveInterrupter

    folder = Path(sys.argv[1])
    job = Job.load(folder)
    interrupter = SolveInterrupter()

    def listen() -> None:
        if os.read(0, 1):  # not sys.stdin, whose lock would hold up the end of this process
            interrupter.interrupt()
        else:  # whoever asked is gone
            os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    run(job, interrupter if job.backend == SCIP else None, folder).save(folder)


if __name__ == "__main__":
    main()
