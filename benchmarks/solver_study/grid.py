"""What is run: problems, contestants, time limits, and which combinations are left out and why."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from benchmarks.peers import PEERS, why_not
from sslth.subset_sum.draw_instance import draw_instance
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.solvers import REGISTRY

__all__ = [
    "CHOSEN_LIMIT",
    "DIMENSIONS",
    "LAWS",
    "PEERS",
    "ROWS",
    "SHORT_CELLS",
    "TRIAL",
    "Cell",
    "Contestant",
    "Problem",
    "Side",
    "Skip",
    "contestants",
    "full_cells",
    "make_plan",
    "registry_side",
    "time_limits",
    "trial_parameters",
]

TRIAL = "solver_trial"  # the kind of a stored trial
DIMENSIONS = (1, 2, 4, 9, 27, 72, 144, 576)
ROWS = (20, 40, 60, 1_000, 20_000, 100_000)
LAWS = ("uniform", "gaussian", "nsn")
PEER_ENTRIES = 100_000  # peers are run up to this n * d
CHOSEN_LIMIT = 60.0
_EARLY_LIMITS = (0.1, 1.0)  # points of the anytime curves before the wall limit; the first for ours alone
_ENGINES_OF_OTHERS = {"ortools", "gurobipy", "highspy", "pyscipopt"}


class Side(StrEnum):
    """Whose search it is: ours, somebody else's, or somebody else's engine behind our interface."""

    OURS = "ours"
    WRAPPED = "wrapped"
    PEER = "peer"


@dataclass(frozen=True, order=True)
class Cell:
    """A shape of problem: law of the rows, n, d and the wanted size of the subset (None: free)."""

    law: str
    d: int
    n: int
    cardinality: int | None = None

    @property
    def size(self) -> str:
        """`free`, or `k=` and the size."""
        return "free" if self.cardinality is None else f"k={self.cardinality:,}"

    def __str__(self) -> str:
        return f"{self.law} n={self.n:,} d={self.d} {self.size}"


@dataclass(frozen=True)
class Problem:
    """One instance of a cell."""

    cell: Cell
    seed: int

    def draw(self) -> Instance:
        """The instance itself, O(n d)."""
        cell = self.cell
        return draw_instance(cell.law, cell.n, cell.d, self.seed, cell.cardinality)

    def outline(self) -> Instance:
        """Sizes and target of the instance over rows of zeros that take no memory: for questions about its shape."""
        cell = self.cell
        outline = draw_instance(cell.law, 1, cell.d, self.seed, cell.cardinality)
        object.__setattr__(outline, "samples", np.broadcast_to(0.0, (cell.n, cell.d)))
        return outline


@dataclass(frozen=True, order=True)
class Contestant:
    """A solver of the registry or a peer."""

    side: Side
    name: str

    def __str__(self) -> str:
        return self.name if self.side is Side.OURS else f"{self.name} ({self.side.value})"

    def refusal(self, problem: Problem) -> str | None:
        """Why this contestant is not run on the problem; None if it is."""
        cell = problem.cell
        if self.side is not Side.PEER:
            return REGISTRY[self.name].refusal(problem.outline())
        if cell.n * cell.d > PEER_ENTRIES:
            return f"peers are run up to n * d = {PEER_ENTRIES:,}"
        return why_not(self.name, problem.draw())


@dataclass(frozen=True)
class Skip:
    """A contestant that is not run on a cell."""

    cell: Cell
    contestant: Contestant
    reason: str


# one cell for each kind of answer: proofs in d = 1 and 2, a fixed size, few and many coordinates
SHORT_CELLS = (
    Cell("gaussian", 1, 20),
    Cell("gaussian", 2, 40),
    Cell("nsn", 4, 1_000, 250),
    Cell("nsn", 27, 1_000),
    Cell("nsn", 72, 20_000),
)


def contestants() -> list[Contestant]:
    """Everybody: the registry, then the peers."""
    mine = [Contestant(registry_side(name), name) for name in REGISTRY]
    return [*mine, *(Contestant(Side.PEER, name) for name in PEERS)]


def registry_side(name: str) -> Side:
    """`WRAPPED` for a registered solver that calls somebody else's engine, else `OURS`."""
    return Side.WRAPPED if name in REGISTRY and REGISTRY[name].needs in _ENGINES_OF_OTHERS else Side.OURS


def full_cells(axes: Mapping[str, Sequence[str]] | None = None) -> list[Cell]:
    """The grid, or the part of it (or beyond it) that `axes` names: law, n, d and size (free, fixed)."""
    chosen: dict[str, Sequence[Any]] = {"law": LAWS, "d": DIMENSIONS, "n": ROWS, "size": ("free", "fixed")}
    chosen |= axes or {}
    return [
        Cell(law, int(d), int(n), None if size == "free" else max(1, int(n) // 4))
        for law, d, n, size in itertools.product(chosen["law"], chosen["d"], chosen["n"], chosen["size"])
    ]


def time_limits(cell: Cell, side: Side, wall_limit: float) -> list[float]:
    """Seconds, rising: early points of the anytime curve, the wall limit, and a minute for the chosen few."""
    early = _EARLY_LIMITS if side is not Side.PEER else _EARLY_LIMITS[1:]
    limits = [*(limit for limit in early if limit < wall_limit), wall_limit]
    if _is_chosen(cell) and 10.0 <= wall_limit < CHOSEN_LIMIT:
        limits.append(CHOSEN_LIMIT)
    return limits


def _is_chosen(cell: Cell) -> bool:
    """The cells whose time to a proven optimum is compared."""
    hard = {40: (1, 2, 4, 9), 60: (1, 2, 4)}
    return cell.law == "gaussian" and cell.cardinality is None and cell.d in hard.get(cell.n, ())


def trial_parameters(problem: Problem, contestant: Contestant, time_limit: float, threads: int) -> dict[str, Any]:
    """What names a trial in the store."""
    cell = problem.cell
    return {
        "kind": TRIAL,
        "side": contestant.side.value,
        "solver": contestant.name,
        "law": cell.law,
        "n": cell.n,
        "d": cell.d,
        "cardinality": cell.cardinality,
        "seed": problem.seed,
        "time_limit": float(time_limit),
        "threads": threads,
    }


def make_plan(
    cells: Iterable[Cell], instances: int, wall_limit: float, threads: int, only: Iterable[Contestant]
) -> tuple[list[dict[str, Any]], list[Skip]]:
    """Every trial in the order of the study, and who is left out of which cell.

    All cells with seed 0 come before those with seed 1, so that a study that was stopped has seen every cell; the
    time limits of one contestant rise, so that a proof at a short one saves the longer ones.
    """
    trials: list[dict[str, Any]] = []
    skips: list[Skip] = []
    everybody, cells = list(only), list(cells)
    running: dict[Cell, list[Contestant]] = {}
    for cell in cells:
        running[cell] = []
        for contestant in everybody:
            reason = contestant.refusal(Problem(cell, 0))
            if reason is None:
                running[cell].append(contestant)
            else:
                skips.append(Skip(cell, contestant, reason))
    for seed, cell in itertools.product(range(instances), cells):
        for contestant in running[cell]:
            for limit in time_limits(cell, contestant.side, wall_limit):
                trials.append(trial_parameters(Problem(cell, seed), contestant, limit, threads))
    return trials, skips
