"""Small claims whose truth is known: P(|XY| <= t) = t (1 - ln t) for X uniform on [0, 1] and Y on [-1, 1]."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sslth.theory.claims import Case, Claim, Effort, Findings, Panel, Series, Side
from sslth.theory.claims.claim import cell_rng
from sslth.theory.intervals import clopper_pearson

CELLS = 4
TRUTHS = {t: t * (1.0 - math.log(t)) for t in (0.1, 0.5)}


def repetitions(effort: Effort) -> int:
    return 500 if effort is Effort.QUICK else 2000


def statistical(
    number: int,
    bound: Callable[[float], float | None],
    side: Side = Side.AT_LEAST,
    *,
    evaluate: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None,
    seen: list[float] | None = None,
) -> Claim:
    """A claim on both probabilities; `bound` maps the true one to what the claim says of it."""

    def cells(effort: Effort, seed: int) -> list[dict[str, Any]]:
        return [{"seed": seed, "index": index, "repetitions": repetitions(effort)} for index in range(CELLS)]

    def draw(parameters: Mapping[str, Any]) -> dict[str, Any]:
        rng = cell_rng(number, parameters)
        size = parameters["repetitions"]
        product = abs(rng.random(size) * rng.uniform(-1, 1, size))
        return {str(t): int((product <= t).sum()) for t in TRUTHS} | {"repetitions": size}

    def judge(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], confidence: float) -> Findings:
        if seen is not None:
            seen.append(confidence)
        drawn = sum(result["repetitions"] for _, result in pairs)
        cases = []
        for t, truth in TRUTHS.items():
            hits = sum(result[str(t)] for _, result in pairs)
            limit = bound(truth)
            cases.append(
                Case(
                    f"P(|XY| <= {t})", hits / drawn, clopper_pearson(hits, drawn, confidence), limit,
                    None if limit is None else side, {"t": t, "law": "uniform"}, drawn,
                )
            )  # fmt: skip
        return Findings(cases, [_panel(cases)], "Two thresholds [0.1, 0.5] only.")

    return Claim(
        number, f"toy {number}", "P(|XY| <= t) = t (1 - ln t) & so on, for <all> t.", "Nobody 2000, doi:10.1000/1",
        cells, evaluate or draw, judge,
    )  # fmt: skip


def _panel(cases: Sequence[Case]) -> Panel:
    at = [case.parameters["t"] for case in cases]
    measured = Series(
        "measured", at, [case.estimate for case in cases], *zip(*(case.interval for case in cases), strict=True)
    )
    bounds = Series("bound", at, [case.bound or math.nan for case in cases], role="bound")
    return Panel("Toy", "t", "probability", [measured, bounds, Series("theory", at, [*TRUTHS.values()], role="theory")])


def holds(number: int, seen: list[float] | None = None) -> Claim:
    return statistical(number, lambda truth: 0.8 * truth, seen=seen)


def violated(number: int) -> Claim:
    """Deliberately false: the true constant halved."""
    return statistical(number, lambda truth: 0.5 * truth, Side.AT_MOST)


def undecided(number: int) -> Claim:
    return statistical(number, lambda truth: truth - 0.002)


def not_testable(number: int) -> Claim:
    return statistical(number, lambda _: None)


def failing(number: int) -> Claim:
    def evaluate(parameters: Mapping[str, Any]) -> dict[str, Any]:
        if parameters["index"] == 2:
            raise ValueError("no luck\nin this cell")
        return {"0.1": 1, "0.5": 2, "repetitions": 4}

    return statistical(number, lambda _: 0.1, evaluate=evaluate)


def computed(number: int, estimate: float = 1.0, proof: str = "", high: float | None = None) -> Claim:
    """A number that is computed without drawing, claimed to be at least 1."""

    def judge(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], confidence: float) -> Findings:
        interval = (pairs[0][1]["x"] - 1e-9, pairs[0][1]["x"] + 1e-9 if high is None else high)
        return Findings([Case("a constant", pairs[0][1]["x"], interval, 1.0, Side.AT_LEAST, {"n": 3}, proof=proof)])

    return Claim(
        number, f"computed {number}", "It is at least 1.", "Nobody", lambda *_: [{"n": 3}],
        lambda _: {"x": estimate}, judge,
    )  # fmt: skip


def catalogue(*claims: Claim) -> dict[int, Claim]:
    return {claim.number: claim for claim in claims}
