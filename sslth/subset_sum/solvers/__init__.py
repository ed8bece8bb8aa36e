"""The registry: one line a solver. Solver modules are imported when they are first used."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol

from sslth.errors import InvalidInputError
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits, Norm
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
    """Where a solver lives, what it is for, and which instances it takes.

    Attributes
    ----------
    module, attribute : str
        The solver's class, without arguments its default hyper-parameters.
    purpose : str
        One line for people who choose.
    proves : bool
        Whether it can prove an optimum.
    sizes : bool
        Whether it honours `cardinality` and `max_cardinality`.
    norms : tuple of Norm
    largest_n, largest_d, largest_entries : int or None
        Instances beyond (rows, coordinates, rows * coordinates) are refused.
    needs : str or None
        A module that must be importable: an extra that the package does not depend on.
    """

    module: str
    attribute: str
    purpose: str
    proves: bool = False
    sizes: bool = True
    norms: tuple[Norm, ...] = (Norm.SUP,)
    largest_n: int | None = None
    largest_d: int | None = None
    largest_entries: int | None = None
    needs: str | None = None

    def make(self) -> Solver:
        """Import the module and build the solver with its default hyper-parameters."""
        solver: Solver = getattr(import_module(f"{__name__}.{self.module}"), self.attribute)()
        return solver

    def refusal(self, instance: Instance, norm: Norm = Norm.SUP) -> str | None:
        """Why this solver cannot take the instance, as the end of a sentence; None if it can."""
        n, d = instance.n, instance.d
        if norm not in self.norms:
            return f'knows the norm {self.norms[0].value} only; norm="{norm.value}" was asked for'
        if not self.sizes and (instance.cardinality is not None or instance.max_cardinality is not None):
            return "honours no cardinality"
        if self.largest_n is not None and n > self.largest_n:
            return f"takes at most {self.largest_n} rows, but the instance has {n}"
        if self.largest_d is not None and d > self.largest_d:
            return f"takes at most {self.largest_d} coordinates, but the instance has {d}"
        if self.largest_entries is not None and n * d > self.largest_entries:
            return f"takes at most n * d = {self.largest_entries}, but the instance has {n * d}"
        if self.needs is not None and find_spec(self.needs) is None:
            return f"needs the package {self.needs}, which is not installed"
        return None


_BOTH_NORMS = (Norm.SUP, Norm.L2)

REGISTRY: dict[str, Entry] = {
    "auto": Entry(
        "auto",
        "Auto",
        "chooses among the others by n, d and the wanted size of the subset",
        proves=True,
        norms=_BOTH_NORMS,
    ),
    "brute_force": Entry(
        "brute_force",
        "BruteForce",
        "n <= 24: every subset, in Gray-code order; proves the optimum",
        proves=True,
        largest_n=24,
    ),
    "meet_in_the_middle": Entry(
        "meet_in_the_middle",
        "MeetInTheMiddle",
        "n <= 64, small d: two halves, streamed or stored; proves the optimum",
        proves=True,
    ),
    "meet_in_the_middle_torch": Entry(
        "meet_in_the_middle_torch",
        "MeetInTheMiddleTorch",
        "n from 60, small d: meet in the middle on one GPU or several, through torch; proves the optimum",
        proves=True,
        needs="torch",
    ),
    "branch_and_bound": Entry(
        "branch_and_bound",
        "BranchAndBound",
        "n <= 64, d from 8: cuts off what the rows ahead cannot reach; proves the optimum",
        proves=True,
        largest_n=64,
    ),
    "branch_and_meet": Entry(
        "branch_and_meet",
        "BranchAndMeet",
        "n from 48 to 62, d from 4: branches on long rows, meets in the middle over the others; proves the optimum",
        proves=True,
        largest_n=62,
    ),
    "cp_sat": Entry(
        "cp_sat",
        "CpSat",
        "OR-Tools CP-SAT on scaled integers: proves what it can, n * d <= 100,000",
        proves=True,
        largest_entries=100_000,
        needs="ortools",
    ),
    "mip_highs": Entry(
        "mip",
        "MipHighs",
        "HiGHS as a mixed-integer solver: a bound from a general solver, n * d <= 100,000",
        proves=True,
        largest_entries=100_000,
        needs="ortools",
    ),
    "mip_scip": Entry(
        "mip",
        "MipScip",
        "SCIP as a mixed-integer solver, n * d <= 100,000",
        proves=True,
        largest_entries=100_000,
        needs="ortools",
    ),
    "mip_gurobi": Entry(
        "mip",
        "MipGurobi",
        "Gurobi as a mixed-integer solver; without a licence up to n = 1,999, d = 998",
        proves=True,
        largest_entries=100_000,
        needs="gurobipy",
    ),
    "k_tree": Entry(
        "k_tree",
        "KTree",
        "d <= 9 or so, n >= 40: the generalised birthday tree; the smallest error there",
        largest_d=16,
    ),
    "differencing": Entry(
        "differencing",
        "Differencing",
        "d = 1, any n: Karmarkar-Karp differencing, then a depth-first search; the fastest first answer",
        sizes=False,
        largest_d=1,
    ),
    "sign_pursuit": Entry(
        "sign_pursuit",
        "SignPursuit",
        "large n: one pass of signs, half of the rows; a fair error for a target of any length, in a moment",
        norms=_BOTH_NORMS,
    ),
    "message_passing": Entry(
        "message_passing",
        "MessagePassing",
        "large n, d from 27: sign pursuit, then reinforced message passing on the smallest rows; the best error",
    ),
    "sign_beam": Entry(
        "sign_beam",
        "SignBeam",
        "large n, d from 10 to 26: sign pursuit, then a beam over the signs of the smallest rows",
        norms=_BOTH_NORMS,
    ),
    "sorted_pursuit": Entry(
        "sorted_pursuit",
        "SortedPursuit",
        "large n, d from 10 to 600: one pass by falling norm, then a beam; small error",
        norms=_BOTH_NORMS,
    ),
    "best_first_pursuit": Entry(
        "best_first_pursuit",
        "BestFirstPursuit",
        "large n: the best row at each step; the fewest rows",
        norms=_BOTH_NORMS,
    ),
    "local_search": Entry(
        "local_search",
        "LocalSearch",
        "d large against n, or a wanted size: annealing over flips and swaps",
        norms=_BOTH_NORMS,
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
