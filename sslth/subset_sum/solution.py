"""What a solver says (`Outcome`), what was recomputed (`Certificate`), and what the user gets (`Solution`)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Certificate", "Outcome", "Solution", "Solutions", "Status", "StoppedBy"]

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class Status(StrEnum):
    """How good the returned subset is known to be."""

    OPTIMAL = "OPTIMAL"
    WITHIN_TOLERANCE = "WITHIN_TOLERANCE"
    BEST_FOUND = "BEST_FOUND"
    INFEASIBLE = "INFEASIBLE"


class StoppedBy(StrEnum):
    """Why a solver came to its end."""

    PROOF = "proof"
    TOLERANCE = "tolerance"
    TIME = "time"
    WORK = "work"
    INTERRUPT = "interrupt"
    DONE = "done"


@dataclass(frozen=True)
class Outcome:
    """What a solver says; nothing here has been checked.

    Attributes
    ----------
    subset : int64[k] or None
        Row indices, in any order, distinct; None if the solver found no subset of the wanted size.
    lower_bound : float
        What the solver says it proved about the best possible error; 0.0 if nothing.
    stopped_by : StoppedBy
        `PROOF` claims that the subset is an exact minimiser.
    work : int
        Partial sums visited.
    details : dict
        Whatever else a reader of `Solution.stats` may want.
    """

    subset: npt.NDArray[np.integer[Any]] | None
    stopped_by: StoppedBy
    lower_bound: float = 0.0
    work: int = 0
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Certificate:
    """What was recomputed from the stored floats for one subset.

    Attributes
    ----------
    subset : int64[k]
        Sorted row indices.
    residual : float64[d]
        `sum(samples[subset]) - target`, each entry correctly rounded.
    error : float
        The sup norm of the exact residual, rounded up.
    magnitudes : float64[d]
        |exact residual|, each entry rounded up.
    has_wanted_size : bool
        Whether the number of rows is what the instance asks for.
    """

    subset: IntArray
    residual: npt.NDArray[np.float64]
    error: float
    magnitudes: npt.NDArray[np.float64]
    has_wanted_size: bool

    @property
    def l2_error(self) -> float:
        """The Euclidean length of `magnitudes`, rounded up: at least that of the exact residual, and 2**-52 near."""
        largest = self.error
        if largest == 0.0:
            return 0.0
        square = sum(Fraction(entry) ** 2 for entry in self.magnitudes.tolist())
        length = largest * float(np.linalg.norm(self.magnitudes / largest))
        while math.isfinite(length) and Fraction(length) ** 2 < square:
            length = math.nextafter(length, math.inf)
        while length > 0.0 and Fraction(math.nextafter(length, 0.0)) ** 2 >= square:
            length = math.nextafter(length, 0.0)
        return length


@dataclass(frozen=True, eq=False)
class Solution:
    """A verified subset.

    Attributes
    ----------
    subset : int64[k]
        Sorted row indices.
    error : float
        Sup norm (or the norm that was asked for) of `sum(samples[subset]) - target`, recomputed exactly and rounded up;
        inf with INFEASIBLE.
    lower_bound : float
        Proven lower bound on the best possible error, rounded down; 0.0 if there is none.
    status : Status
    solver : str
        The solver that found the subset.
    seconds : float
        Wall time of the call.
    stats : dict
        `stopped_by`, `work` and whatever the solver adds.
    """

    n: int = field(repr=False)
    subset: IntArray = field(repr=False)
    error: float
    lower_bound: float
    status: Status
    solver: str
    seconds: float
    stats: dict[str, Any] = field(repr=False)

    @property
    def mask(self) -> BoolArray:
        """bool[n], True for the rows of the subset."""
        mask = np.zeros(self.n, dtype=np.bool_)
        mask[self.subset] = True
        return mask


@dataclass(frozen=True, eq=False)
class Solutions(Sequence[Solution]):
    """The answers of `solve_many`, one per target; a sequence of `Solution`."""

    items: tuple[Solution, ...]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Solution]:
        return iter(self.items)

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]

    def __repr__(self) -> str:
        return f"Solutions(m={len(self.items)})"

    @property
    def masks(self) -> BoolArray:
        """bool[m, n]."""
        return np.stack([solution.mask for solution in self.items])

    @property
    def errors(self) -> npt.NDArray[np.float64]:
        """float64[m]."""
        return np.array([solution.error for solution in self.items])

    @property
    def lower_bounds(self) -> npt.NDArray[np.float64]:
        """float64[m]."""
        return np.array([solution.lower_bound for solution in self.items])

    @property
    def statuses(self) -> list[Status]:
        """One per target."""
        return [solution.status for solution in self.items]
