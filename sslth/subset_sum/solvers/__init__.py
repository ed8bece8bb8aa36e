"""The registry: one line a solver. Solver modules are imported when they are first used."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

from sslth.errors import InvalidInputError
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import Outcome

__all__ = ["REGISTRY", "Entry", "Solver", "make_solver"]


class Solver(Protocol):
    """An algorithm with its hyper-parameters, and no other state."""

    @property
    def name(self) -> str:
        """The registry name."""

    def __call__(self, instance: Instance, limits: Limits) -> Outcome:
        """Search a feasible instance until done or a limit is reached."""


@dataclass(frozen=True)
class Entry:
    """Where a solver lives and what it is for."""

    module: str
    attribute: str
    purpose: str

    def make(self) -> Solver:
        """Import the module and build the solver with its default hyper-parameters."""
        solver: Solver = getattr(import_module(f"{__name__}.{self.module}"), self.attribute)()
        return solver


REGISTRY: dict[str, Entry] = {
    "auto": Entry("auto", "Auto", "chooses among the others by n, d and the wanted size of the subset"),
    "brute_force": Entry("brute_force", "BruteForce", "n <= 24: every subset, in Gray-code order; proves the optimum"),
    "meet_in_the_middle": Entry(
        "meet_in_the_middle", "MeetInTheMiddle", "n <= 48 or so: two sorted halves; proves the optimum"
    ),
    "cp_sat": Entry("cp_sat", "CpSat", "OR-Tools CP-SAT on scaled integers: proves what it can, n * d <= 100,000"),
    "sorted_pursuit": Entry(
        "sorted_pursuit",
        "SortedPursuit",
        "large n, d from 10 to 600: one pass by falling norm, then a beam; small error",
    ),
    "best_first_pursuit": Entry(
        "best_first_pursuit", "BestFirstPursuit", "large n: the best row at each step; the fewest rows"
    ),
}


def make_solver(solver: str | Solver) -> Solver:
    """Look a name up, or take a solver object as it is.

    Raises
    ------
    InvalidInputError
        For a name that is not registered.
    """
    if not isinstance(solver, str):
        if not callable(solver) or not isinstance(getattr(solver, "name", None), str):
            raise InvalidInputError(f"solver is {solver!r}; it must be a name or a solver object")
        return solver
    if solver not in REGISTRY:
        raise InvalidInputError(f"there is no solver named {solver!r}; choose one of {', '.join(sorted(REGISTRY))}")
    return REGISTRY[solver].make()
