"""What a claim is: a statement of a paper, the computations that test it, and how a verdict follows from numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from sslth.errors import InvalidInputError

__all__ = ["Case", "Claim", "Effort", "Findings", "Panel", "Series", "Side", "Verdict", "cell_rng"]

Parameters = Mapping[str, Any]
Result = Mapping[str, Any]


class Effort(StrEnum):
    """How much work a check does: QUICK is a few seconds a claim, FULL as long as small intervals need."""

    QUICK = "quick"
    FULL = "full"


class Verdict(StrEnum):
    """What the numbers say of a claim; the text is what users see."""

    HOLDS = "holds"
    VIOLATED = "violated"
    UNDECIDED = "undecided"
    NOT_TESTABLE = "not testable here"


class Side(StrEnum):
    """On which side of the bound the claim puts the number."""

    AT_LEAST = "at least"
    AT_MOST = "at most"


@dataclass(frozen=True)
class Case:
    """One number of a claim, with its interval and what the claim says of it.

    Attributes
    ----------
    name : str
        What the number is, in a few words.
    estimate : float
    interval : tuple of two floats
        At the confidence that was asked for, or, with `repetitions` None, an enclosure of a computed number.
    bound : float or None
        The claim's number; None where the claim leaves a constant unnamed and `estimate` is that constant, fitted.
    side : Side or None
        None with `bound` None.
    parameters : mapping
        n, d, k, epsilon, law, … of this number.
    repetitions : int or None
        Independent draws behind a statistical interval; None if the number was computed without drawing.
    proof : str
        Why the claim's side is proved where the enclosure touches the bound; empty if the enclosure decides.
    """

    name: str
    estimate: float
    interval: tuple[float, float]
    bound: float | None = None
    side: Side | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    repetitions: int | None = None
    proof: str = ""

    def __post_init__(self) -> None:
        low, high = self.interval
        if not low <= self.estimate <= high:
            raise InvalidInputError(f"{self.name}: the estimate {self.estimate} lies outside [{low}, {high}]")
        if (self.bound is None) != (self.side is None):
            raise InvalidInputError(f"{self.name}: a bound needs a side, and a side a bound")

    @property
    def statistical(self) -> bool:
        """Whether the interval has a confidence, and so counts among those that are corrected for their number."""
        return self.repetitions is not None

    @property
    def verdict(self) -> Verdict:
        """Follows from interval, bound and side alone; a proof decides only where the enclosure touches the bound."""
        if self.bound is None:
            return Verdict.NOT_TESTABLE
        low, high = self.interval
        inside, outside = (low >= self.bound, high < self.bound)
        if self.side is Side.AT_MOST:
            inside, outside = (high <= self.bound, low > self.bound)
        if outside:
            return Verdict.VIOLATED
        return Verdict.HOLDS if inside or self.proof else Verdict.UNDECIDED

    @property
    def margin(self) -> float:
        """How far the near end of the interval lies on the claim's side, relative to the bound; negative beyond it."""
        if self.bound is None:
            return math.inf
        low, high = self.interval
        distance = low - self.bound if self.side is Side.AT_LEAST else self.bound - high
        return distance / abs(self.bound) if self.bound else distance

    @property
    def more_repetitions(self) -> int | None:
        """About how many more draws would decide, if the estimate stays; None if nothing is open or none would."""
        if self.verdict is not Verdict.UNDECIDED or self.repetitions is None or self.bound is None:
            return None
        gap = abs(self.estimate - self.bound)
        low, high = self.interval
        half = self.estimate - low if self.estimate > self.bound else high - self.estimate
        if gap == 0.0 or not math.isfinite(half):
            return None
        return max(1, math.ceil(self.repetitions * ((half / gap) ** 2 - 1.0)))


@dataclass(frozen=True)
class Series:
    """One curve or set of points of a panel; lists of equal length, `low` and `high` empty without error bars."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    role: str = "measured"  # "measured" (points with bars), "bound" (dashed line) or "theory" (line)


@dataclass(frozen=True)
class Panel:
    """One plot of a claim, as data: the floor of theory draws nothing."""

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Findings:
    """What all cells of a claim gave together."""

    cases: Sequence[Case]
    panels: Sequence[Panel] = ()
    note: str = ""  # what the numbers do not show, in a sentence

    @property
    def verdict(self) -> Verdict:
        """The worst of the cases: violated, undecided, not testable here, holds."""
        found = {case.verdict for case in self.cases}
        for verdict in (Verdict.VIOLATED, Verdict.UNDECIDED, Verdict.NOT_TESTABLE):
            if verdict in found:
                return verdict
        return Verdict.HOLDS

    @property
    def decisive(self) -> Case:
        """The case that stands for the claim: among those of its verdict the one with the least margin."""
        return min((case for case in self.cases if case.verdict is self.verdict), key=lambda case: case.margin)


@dataclass(frozen=True)
class Claim:
    """A statement of a paper and how it is tested; one file each, found by its name `claim_*.py`.

    Attributes
    ----------
    number : int
        In the order of the documentation, from 1; it is what `--claim` takes.
    name, statement, source : str
        In a few words; as the paper states it, in our letters; authors, year, theorem and DOI or arXiv number.
    cells : callable(effort, seed) -> list of parameters
        The parts of the computation, as JSON values; each is evaluated alone, in any order and in any process, and
        stored under its parameters. Batches of repetitions are cells that differ in `index`.
    evaluate : callable(parameters) -> mapping
        One part: a pure function of its parameters, with JSON values; at most some seconds (FULL: a minute).
    judge : callable(pairs of parameters and result, confidence) -> Findings
        Cheap; called twice, to count the statistical cases and with the confidence that their number asks for.
    """

    number: int
    name: str
    statement: str
    source: str
    cells: Callable[[Effort, int], list[dict[str, Any]]]
    evaluate: Callable[[Parameters], dict[str, Any]]
    judge: Callable[[Sequence[tuple[Parameters, Result]], float], Findings]


def cell_rng(claim: int, parameters: Parameters) -> np.random.Generator:
    """Return the generator of one cell: it depends on the claim, `seed` and `index` alone."""
    entropy = np.random.SeedSequence([claim, int(parameters["seed"]), int(parameters.get("index", 0))])
    return np.random.Generator(np.random.Philox(entropy))
