"""What a solver reaches on a random instance within a limit: the cell of solvers beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

import sslth
from sslth.experiments.kinds.kind import Kind, Settings, seed_of

__all__ = ["KIND"]


class SolverRun(Settings):
    """One solver on one instance; `instance` tells apart instances of the same law, n, d and k.

    Equal (seed, law, n, d, k, instance) are the same instance for every solver and limit. Without any limit it is
    10 seconds.
    """

    solver: str = "auto"
    law: Literal["uniform", "gaussian", "nsn"] = "nsn"
    n: int = Field(ge=1, le=10_000_000)
    d: int = Field(ge=1, le=100_000)
    k: int | None = Field(default=None, ge=0)
    instance: int = Field(default=0, ge=0)
    time_limit: float | None = Field(default=None, gt=0)
    max_work: int | None = Field(default=None, ge=1)
    tolerance: float | None = Field(default=None, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _has_a_limit(cls, given: Any) -> Any:
        limited = given.get("time_limit") is not None or given.get("max_work") is not None
        return given if limited else {**given, "time_limit": 10.0}

    @model_validator(mode="after")
    def _is_possible(self) -> SolverRun:
        if self.solver not in sslth.solvers():
            raise ValueError(f"solver is {self.solver!r}; take one of {', '.join(sorted(sslth.solvers()))}")
        if self.k is not None and self.k > self.n:
            raise ValueError(f"k is {self.k} and n is {self.n}; no subset has more rows than there are")
        return self


def evaluate(parameters: Mapping[str, Any], _rng: np.random.Generator) -> dict[str, Any]:
    """Draw the instance, which does not depend on the solver, and solve it; a time limit makes results depend on the
    machine, `max_work` does not.
    """
    named = {key: parameters[key] for key in ("seed", "law", "n", "d", "k", "instance")}
    drawn = sslth.draw_instance(
        parameters["law"], parameters["n"], parameters["d"], seed_of(named), cardinality=parameters["k"]
    )
    found = sslth.solve(
        drawn,
        parameters["solver"],
        parameters["tolerance"],
        parameters["time_limit"],
        parameters["max_work"],
        seed_of(parameters),
    )
    return {
        "error": found.error,
        "lower_bound": found.lower_bound,
        "status": found.status.value,
        "stopped_by": found.stats["stopped_by"],
        "size": int(found.subset.size),
        "work": found.stats["work"],
        "solver_used": found.solver,
        "seconds": found.seconds,
    }


def seconds(parameters: Mapping[str, Any]) -> float:
    """The time limit, as if all of it were used; without one 10 million partial sums a second."""
    limits = [parameters["time_limit"], None if parameters["max_work"] is None else 1e-7 * parameters["max_work"]]
    return float(min(limit for limit in limits if limit is not None))


KIND = Kind("solver", SolverRun, evaluate, seconds, "What a solver reaches on a random instance within a limit.")
