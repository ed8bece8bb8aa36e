"""Claim 1: C ln(2/ε) random numbers have a subset sum near every target at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sslth.theory.claims.claim import (
    Case,
    Claim,
    Effort,
    Findings,
    Panel,
    Parameters,
    Result,
    Series,
    Side,
    cell_rng,
)
from sslth.theory.coverage import coverage_time
from sslth.theory.intervals import clopper_pearson

__all__ = ["CLAIM", "rss_covering"]

_QUICK = {0.1: 4000, 0.03: 3000, 0.01: 3000}  # ε -> repetitions
_FULL = {0.3: 40_000, 0.1: 40_000, 0.03: 60_000, 0.01: 60_000, 0.003: 100_000, 0.001: 100_000}
_BATCH = 20_000

Pairs = Sequence[tuple[Parameters, Result]]


def rss_covering(constant: float | None = None) -> Claim:
    """Return the claim on covering [-1, 1] by random subset sums, of n >= constant · ln(2/ε) samples.

    The paper leaves the constant unnamed: with None the smallest one that the draws bear is estimated, from the
    smallest n whose probability of covering is at least 1 - ε; with a number the probability is judged at that n.

    Notes
    -----
    The samples are U[-1, 1] with probability p and 0 otherwise: the worst law that contains the uniform one with
    mass p, because further samples only add sums. In one draw the first n samples serve every n, and more samples never
    cover less. Hence, although many n are looked at, the interval of the smallest n misses it only if the
    Clopper-Pearson interval fails at that n itself, or at the one before it.
    """
    return Claim(
        number=1,
        name="random subset sum covers [-1, 1]",
        statement="If the density contains Uniform[-1, 1] with probability p and n >= C ln(2/epsilon), then with "
        "probability at least 1 - epsilon every z in [-1, 1] is within epsilon of a subset sum."
        + ("" if constant is None else f" Here C = {constant:g}."),
        source="Lueker (1998), Random Structures & Algorithms 12, "
        "doi:10.1002/(SICI)1098-2418(199801)12:1<51::AID-RSA3>3.0.CO;2-S",
        cells=partial(_cells, constant),
        evaluate=_evaluate,
        judge=partial(_judge, constant),
    )


def _cells(constant: float | None, effort: Effort, seed: int) -> list[dict[str, Any]]:
    plan, shares = (_QUICK, (1.0,)) if effort is Effort.QUICK else (_FULL, (1.0, 0.5))
    cells: list[dict[str, Any]] = []
    for share in shares:
        for epsilon, repetitions in plan.items():
            largest = math.ceil((24 + 5 * math.log(1 / epsilon)) / share)
            if constant is not None:
                largest = max(largest, _needed(constant, epsilon))
            for _ in range(math.ceil(repetitions / _BATCH)):
                cells.append(
                    {
                        "epsilon": epsilon,
                        "p": share,
                        "largest_n": largest,
                        "repetitions": min(_BATCH, repetitions),
                        "seed": seed,
                        "index": len(cells),
                    }
                )
    return cells


def _needed(constant: float, epsilon: float) -> int:
    """The smallest n that the statement speaks of."""
    return max(1, math.ceil(constant * math.log(2 / epsilon)))


def _evaluate(parameters: Parameters) -> dict[str, Any]:
    """In how many draws the first n samples cover [-1, 1], for n = 0 … largest_n."""
    rng = cell_rng(1, parameters)
    largest, share = int(parameters["largest_n"]), float(parameters["p"])
    first_covered = np.zeros(largest + 1, dtype=np.int64)
    for _ in range(int(parameters["repetitions"])):
        samples = rng.uniform(-1.0, 1.0, largest)
        if share < 1.0:
            samples *= rng.random(largest) < share
        time = coverage_time(samples, float(parameters["epsilon"]))
        if time is not None:
            first_covered[time] += 1
    return {"hits": np.cumsum(first_covered).tolist()}


def _judge(constant: float | None, pairs: Pairs, confidence: float) -> Findings:
    grouped: dict[tuple[float, float], list[tuple[Parameters, Result]]] = {}
    for parameters, result in pairs:
        key = (-float(parameters["p"]), -float(parameters["epsilon"]))  # p and ε from large to small
        grouped.setdefault(key, []).append((parameters, result))
    counts = []
    for key in sorted(grouped):
        batches = grouped[key]
        hits = np.sum([result["hits"] for _, result in batches], axis=0).tolist()
        counts.append(_Coverage(-key[1], -key[0], hits, sum(int(cell["repetitions"]) for cell, _ in batches)))
    if constant is None:
        return _estimated(counts, confidence)
    cases = [_at_the_constant(count, constant, confidence) for count in counts]
    return Findings(cases, [_coverage_panel(counts, confidence)], _NOTE_JUDGED)


_NOTE_JUDGED = "Tested at a few epsilon only: smaller ones may need a larger constant."
_NOTE_ESTIMATED = (
    "The constant is the least for the epsilon that were drawn, n being whole; the theorem speaks of all epsilon, "
    "and smaller ones may need a larger constant."
)


@dataclass(frozen=True)
class _Coverage:
    """How many of `repetitions` draws were covered at n = 0, 1, …; `share` is the p of the statement."""

    epsilon: float
    share: float
    hits: list[int]
    repetitions: int

    @property
    def label(self) -> str:
        return f"ε = {self.epsilon:g}" + ("" if self.share == 1.0 else f", p = {self.share:g}")

    def interval(self, n: int, confidence: float) -> tuple[float, float]:
        return clopper_pearson(self.hits[n], self.repetitions, confidence)

    def smallest_n(self, confidence: float) -> tuple[float, float, float]:
        """Estimate, low and high end of the smallest n that covers with probability 1 - ε; inf if beyond the drawn."""
        wanted = 1.0 - self.epsilon
        ends = [self.interval(n, confidence) for n in range(len(self.hits))]
        estimate = (n for n, hit in enumerate(self.hits) if hit >= wanted * self.repetitions)
        low = (n for n, (_, upper) in enumerate(ends) if upper >= wanted)
        high = (n for n, (lower, _) in enumerate(ends) if lower >= wanted)
        return next(estimate, math.inf), next(low, math.inf), next(high, math.inf)

    def parameters(self) -> dict[str, Any]:
        return {"epsilon": self.epsilon, "p": self.share, "law": "uniform"}


def _estimated(counts: Sequence[_Coverage], confidence: float) -> Findings:
    cases: list[Case] = []
    shares = sorted({count.share for count in counts}, reverse=True)
    thresholds: list[tuple[_Coverage, tuple[float, ...]]] = []
    for share in shares:
        same = [count for count in counts if count.share == share]
        each = 1.0 - (1.0 - confidence) / len(same)  # so that the largest of them has the confidence, too
        found = [(count, count.smallest_n(each)) for count in same]
        thresholds += found
        single = [_constant_case(count, sizes) for count, sizes in found]
        cases.append(
            Case(
                "smallest C for every epsilon drawn" + ("" if share == 1.0 else f", p = {share:g}"),
                max(case.estimate for case in single),
                (max(case.interval[0] for case in single), max(case.interval[1] for case in single)),
                parameters={"epsilon": [count.epsilon for count in same], "p": share, "law": "uniform"},
                repetitions=sum(count.repetitions for count in same),
            )
        )
        cases += single
    panels = [_coverage_panel(counts, confidence), _size_panel(thresholds, cases[0].estimate)]
    return Findings(cases, panels, _NOTE_ESTIMATED)


def _constant_case(count: _Coverage, sizes: tuple[float, ...]) -> Case:
    estimate, low, high = (n / math.log(2 / count.epsilon) for n in sizes)
    return Case(
        f"smallest n / ln(2/epsilon) at {count.label}",
        estimate,
        (low, high),
        parameters=count.parameters() | {"n": sizes[0]},
        repetitions=count.repetitions,
    )


def _at_the_constant(count: _Coverage, constant: float, confidence: float) -> Case:
    n = _needed(constant, count.epsilon)
    return Case(
        f"probability of covering at {count.label}",
        count.hits[n] / count.repetitions,
        count.interval(n, confidence),
        1.0 - count.epsilon,
        Side.AT_LEAST,
        count.parameters() | {"n": n},
        count.repetitions,
    )


def _coverage_panel(counts: Sequence[_Coverage], confidence: float) -> Panel:
    series = []
    for count in counts:
        if count.share != 1.0:
            continue
        shown = [n for n, hit in enumerate(count.hits) if hit > 0]
        end = next((n for n in shown if count.hits[n] == count.repetitions), shown[-1] if shown else 0)
        shown = [n for n in shown if n <= end]
        ends = [count.interval(n, confidence) for n in shown]
        low, high = [low for low, _ in ends], [high for _, high in ends]
        frequency = [count.hits[n] / count.repetitions for n in shown]
        series.append(Series(count.label, shown, frequency, low, high))
    return Panel("Every z in [-1, 1] within ε of a subset sum", "samples n", "probability", series)


def _size_panel(thresholds: Sequence[tuple[_Coverage, tuple[float, ...]]], constant: float) -> Panel:
    series = []
    for share in sorted({count.share for count, _ in thresholds}, reverse=True):
        found = [(2 / count.epsilon, *sizes) for count, sizes in thresholds if count.share == share]
        x, y, low, high = ([float(value) for value in column] for column in zip(*found, strict=True))
        series.append(Series(f"smallest n with probability 1 - ε, p = {share:g}", x, y, low, high))
    ends = [min(min(one.x) for one in series), max(max(one.x) for one in series)]
    if math.isfinite(constant):
        series.append(Series(f"{constant:.3g} ln(2/ε)", ends, [constant * math.log(x) for x in ends], role="bound"))
    counting = [max(0.0, math.log2(x / 2)) for x in ends]
    series.append(Series("counting: log2(1/ε)", ends, counting, role="theory"))
    return Panel("How many samples cover [-1, 1]", "2/ε", "samples n", series, log_x=True)


CLAIM = rss_covering()
