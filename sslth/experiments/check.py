"""The check of the theory: runs the cells of the claims, judges them, and corrects the intervals for their number."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import sslth
from sslth.errors import InvalidInputError
from sslth.experiments.cells import result_json
from sslth.experiments.grid import Progress, run_grid
from sslth.experiments.store import Store
from sslth.theory.claims import Claim, Effort, Findings, Verdict
from sslth.theory.claims import claims as claims_of_the_papers

__all__ = ["FAMILY_CONFIDENCE", "KIND", "CheckReport", "ClaimRow", "check", "evaluate_claim_cell"]

KIND = "claim"
FAMILY_CONFIDENCE = 0.99  # that all statistical intervals of a table hold their numbers at once

_LABELS = ("claim", "kind", "sslth")  # what the store has of a cell beside the claim's own parameters

Parameters = Mapping[str, Any]
Catalogue = Mapping[int, Claim]


@dataclass(frozen=True)
class ClaimRow:
    """What the check found of one claim.

    Attributes
    ----------
    claim : Claim
    findings : Findings or None
        None if the claim could not be judged.
    error : str or None
        Why it could not, in one line.
    cells : int
        Parts that were evaluated, now or by an earlier run.
    seconds : float
        Of all its cells together, whenever and in whatever process they ran, and of judging them.
    """

    claim: Claim
    findings: Findings | None
    error: str | None
    cells: int
    seconds: float

    @property
    def verdict(self) -> Verdict | None:
        """None if the claim could not be judged."""
        return None if self.findings is None else self.findings.verdict


@dataclass(frozen=True)
class CheckReport:
    """A table of claims, whose statistical intervals hold together with probability `FAMILY_CONFIDENCE`.

    Attributes
    ----------
    rows : tuple of ClaimRow
        By the claims' numbers.
    effort : Effort
    seed : int
    chosen : tuple of int or None
        The numbers that were asked for; None if all claims were.
    statistical_cases : int
        Intervals that came from random draws: what the correction counts.
    confidence : float
        Of each of them, 1 - 0.01 / statistical_cases (Bonferroni); 0.99 if there are none.
    seconds : float
        Wall-clock time of this run.
    """

    rows: tuple[ClaimRow, ...]
    effort: Effort
    seed: int
    chosen: tuple[int, ...] | None
    statistical_cases: int
    confidence: float
    seconds: float

    @property
    def failed(self) -> bool:
        """Whether a claim could not be judged."""
        return any(row.error is not None for row in self.rows)


def check(
    effort: Effort | str = Effort.QUICK,
    claims: Iterable[int] | None = None,
    store: Store | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
    seed: int = 0,
    *,
    catalogue: Catalogue | None = None,
) -> CheckReport:
    """Return what the numbers say of every chosen claim; cells that the store has are not computed again.

    Parameters
    ----------
    effort : Effort or str
        "quick" or "full".
    claims : numbers, optional
        Which claims; all by default. The confidence of an interval depends on the choice, its verdict thereby too.
    store : Store, optional
        Where cells are kept, so that a stopped check resumes; in memory by default. Cells that failed are tried again.
    jobs : int
        Worker processes; 1 computes in this one.
    progress : callable(done, total, stage), optional
        May raise to stop; what was finished stays in the store.
    seed : int
        Every draw depends on it.
    catalogue : {number: Claim}, optional
        Where claims are looked up; the papers' by default.

    Raises
    ------
    InvalidInputError
        For an unknown claim or effort, no claim at all, a negative seed, fewer than one job, or a store that cannot be
        written. What goes wrong inside a claim is the `error` of its row.

    Examples
    --------
    >>> from sslth.theory.claims import Case, Side
    >>> toy = Claim(
    ...     1, "toy", "Squares are not negative.", "school", lambda effort, seed: [{"x": -3}],
    ...     lambda cell: {"square": cell["x"] ** 2},
    ...     lambda pairs, confidence: Findings([Case("square", 9, (9, 9), 0, Side.AT_LEAST)]),
    ... )
    >>> [(row.claim.name, str(row.verdict)) for row in check(catalogue={1: toy}).rows]
    [('toy', 'holds')]
    """
    started = time.perf_counter()
    effort = _effort(effort)
    _check_numbers(seed, jobs)
    numbers = None if claims is None else tuple(sorted(set(claims)))
    chosen = _chosen(claims_of_the_papers() if catalogue is None else catalogue, numbers)
    plans = [_plan(claim, effort, seed) for claim in chosen]
    evaluate = evaluate_claim_cell if catalogue is None else partial(evaluate_claim_cell, catalogue=catalogue)
    with Store(":memory:") if store is None else nullcontext(store) as results:
        cells = [cell for plan in plans for cell in plan.cells]
        run_grid(cells, evaluate, results, progress, retry_failed=True, jobs=max(1, min(jobs, len(cells))))
        plans = [_collect(plan, results) for plan in plans]
    counted = [_judge(plan, FAMILY_CONFIDENCE) for plan in plans]
    number = sum(plan.statistical_cases for plan in counted)
    confidence = 1.0 - (1.0 - FAMILY_CONFIDENCE) / max(1, number)
    rows = [_row(_judge(plan, confidence), plan.statistical_cases) for plan in counted]
    return CheckReport(tuple(rows), effort, seed, numbers, number, confidence, time.perf_counter() - started)


def evaluate_claim_cell(parameters: Parameters, catalogue: Catalogue | None = None) -> Mapping[str, Any]:
    """Evaluate a stored cell: workers find the claim by its number, and the claim sees its own parameters only."""
    known = claims_of_the_papers() if catalogue is None else catalogue
    return known[parameters["claim"]].evaluate(_own(parameters))


@dataclass(frozen=True)
class _Plan:
    """A claim on its way through the check."""

    claim: Claim
    cells: Sequence[dict[str, Any]] = ()
    pairs: Sequence[tuple[Parameters, Mapping[str, Any]]] = ()
    findings: Findings | None = None
    error: str | None = None
    seconds: float = 0.0

    @property
    def statistical_cases(self) -> int:
        return 0 if self.findings is None else sum(case.statistical for case in self.findings.cases)


def _plan(claim: Claim, effort: Effort, seed: int) -> _Plan:
    try:
        cells = claim.cells(effort, seed)
        taken = sorted({label for cell in cells for label in _LABELS if label in cell})
        if taken:
            raise InvalidInputError(f"a cell has the parameter {taken[0]!r}, which the store needs for itself")
        if not cells:
            raise InvalidInputError("the claim has no cells")
        labels = {"claim": claim.number, "kind": KIND, "sslth": sslth.__version__}
        stored = [labels | dict(cell) for cell in cells]
        result_json({"cells": stored})
    except Exception as problem:  # a claim is one row: whatever is wrong in it must not cost the others
        return _Plan(claim, error=f"its cells cannot be listed: {_one_line(problem)}")
    return _Plan(claim, stored)


def _collect(plan: _Plan, store: Store) -> _Plan:
    """The plan with the results of its cells, or with the error of the first that failed."""
    rows = [row for cell in plan.cells if (row := store.row(cell)) is not None]
    seconds = sum(row.seconds for row in rows)
    errors = [row.error for row in rows if row.error is not None]
    if errors:
        text = f"{len(errors)} of {len(rows)} cells failed: {errors[0]}"
        return replace(plan, error=text, seconds=seconds)
    pairs = [(_own(row.parameters), row.result) for row in rows if row.result is not None]
    return replace(plan, pairs=pairs, seconds=seconds)


def _judge(plan: _Plan, confidence: float) -> _Plan:
    if plan.error is not None:
        return plan
    started = time.perf_counter()
    try:
        findings = plan.claim.judge(plan.pairs, confidence)
        if not findings.cases:
            raise InvalidInputError("there is no number to judge")
        for case in findings.cases:
            result_json(dict(case.parameters))  # what cannot be reported must fail here, as this claim's error
    except Exception as problem:
        return replace(plan, findings=None, error=f"it cannot be judged: {_one_line(problem)}")
    return replace(plan, findings=findings, seconds=plan.seconds + time.perf_counter() - started)


def _row(plan: _Plan, counted: int) -> ClaimRow:
    error, findings = plan.error, plan.findings
    if error is None and plan.statistical_cases != counted:
        # The correction would be for another number of intervals than the table has.
        error = f"it has {counted} statistical intervals at one confidence and {plan.statistical_cases} at another"
        findings = None
    return ClaimRow(plan.claim, findings, error, len(plan.cells), plan.seconds)


def _chosen(known: Catalogue, numbers: tuple[int, ...] | None) -> list[Claim]:
    wanted = sorted(known) if numbers is None else list(numbers)
    if not wanted:
        raise InvalidInputError("there is no claim to check: choose at least one")
    unknown = [number for number in wanted if number not in known]
    if unknown:
        listed = ", ".join(str(number) for number in sorted(known)) or "none yet"
        raise InvalidInputError(f"there is no claim {unknown[0]}; the claims are {listed}")
    return [known[number] for number in wanted]


def _effort(effort: Effort | str) -> Effort:
    try:
        return Effort(effort)
    except ValueError:
        raise InvalidInputError(f"effort is {effort!r}; take one of {', '.join(Effort)}") from None


def _check_numbers(seed: int, jobs: int) -> None:
    if seed < 0:
        raise InvalidInputError(f"the seed is {seed}; take a whole number from 0 up")
    if jobs < 1:
        raise InvalidInputError(f"{jobs} jobs can do nothing; take at least 1")


def _own(parameters: Parameters) -> dict[str, Any]:
    return {key: value for key, value in parameters.items() if key not in _LABELS}


def _one_line(problem: Exception) -> str:
    return " ".join(f"{type(problem).__name__}: {problem}".split())
