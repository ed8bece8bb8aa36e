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
    """The answers of `solve_many`, one per target; a sequence of `Solution`, each made when it is asked for.

    Attributes
    ----------
    masks : bool[m, n]
        True for the rows of each subset.
    errors, lower_bounds : float64[m]
        As in `Solution`.
    status_codes : int8[m]
        The status of each, as its place in `list(Status)`.
    seconds : float64[m]
        Where many were answered together, the share of each.
    work : int64[m]
        Partial sums visited.
    by_tolerance : bool[m]
        Where the search was stopped by the tolerance, not by a proof.
    solver : str
        The algorithm of the answers found together.
    singles : dict
        The answers that were found one by one, by their place.
    """

    masks: BoolArray
    errors: npt.NDArray[np.float64]
    lower_bounds: npt.NDArray[np.float64]
    status_codes: npt.NDArray[np.int8]
    seconds: npt.NDArray[np.float64]
    work: IntArray
    by_tolerance: BoolArray
    solver: str
    singles: dict[int, Solution] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for index, solution in self.singles.items():
            self.masks[index] = solution.mask
            self.errors[index] = solution.error
            self.lower_bounds[index] = solution.lower_bound
            self.status_codes[index] = _STATUSES.index(solution.status)
            self.seconds[index] = solution.seconds
            self.work[index] = solution.stats["work"]
            self.by_tolerance[index] = solution.stats["stopped_by"] == StoppedBy.TOLERANCE.value
        for array in (self.masks, self.errors, self.lower_bounds, self.status_codes, self.seconds, self.work):
            array.flags.writeable = False

    @classmethod
    def empty(cls, m: int, n: int) -> dict[str, npt.NDArray[Any]]:
        """The arrays of m answers, to be filled in."""
        return {
            "masks": np.zeros((m, n), dtype=np.bool_),
            "errors": np.full(m, np.inf),
            "lower_bounds": np.zeros(m),
            "status_codes": np.zeros(m, dtype=np.int8),
            "seconds": np.zeros(m),
            "work": np.zeros(m, dtype=np.int64),
            "by_tolerance": np.zeros(m, dtype=np.bool_),
        }

    def __len__(self) -> int:
        return int(self.errors.size)

    def __iter__(self) -> Iterator[Solution]:
        return (self._solution(index) for index in range(len(self)))

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return tuple(self._solution(place) for place in range(len(self))[index])
        return self._solution(range(len(self))[index])

    def __repr__(self) -> str:
        return f"Solutions(m={len(self)})"

    @property
    def statuses(self) -> list[Status]:
        """One per target."""
        return [_STATUSES[code] for code in self.status_codes.tolist()]

    def _solution(self, index: int) -> Solution:
        if index in self.singles:
            return self.singles[index]
        stopped_by = StoppedBy.TOLERANCE if self.by_tolerance[index] else StoppedBy.PROOF
        return Solution(
            n=int(self.masks.shape[1]),
            subset=np.flatnonzero(self.masks[index]).astype(np.int64),
            error=float(self.errors[index]),
            lower_bound=float(self.lower_bounds[index]),
            status=_STATUSES[self.status_codes[index]],
            solver=self.solver,
            seconds=float(self.seconds[index]),
            stats={"stopped_by": stopped_by.value, "work": int(self.work[index]), "answered_together": len(self)},
        )


_STATUSES = tuple(Status)
