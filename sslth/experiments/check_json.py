"""A check as JSON values: what `sslth check --json` prints and `check.json` holds."""

from __future__ import annotations

import json
from typing import Any

import sslth
from sslth.experiments.cells import result_json
from sslth.experiments.check import FAMILY_CONFIDENCE, CheckReport, ClaimRow
from sslth.experiments.claim_words import more_repetitions
from sslth.theory.claims import Case, Verdict

__all__ = ["check_json"]

_UNNAMED = "the claim leaves this constant unnamed; the estimate is the constant"
_COMPUTED = "computed without drawing: the interval encloses the number"
_HOPELESS = "no number of repetitions is known to decide"


def check_json(report: CheckReport) -> dict[str, Any]:
    """Return the report in dicts, lists, str, int, float, bool and None only; every None has its reason beside it.

    The number of a claim is that of its decisive case; all cases follow under `cases`.
    """
    values = {
        "claims": [_claim(row, report.confidence) for row in report.rows],
        "effort": report.effort.value,
        "seed": report.seed,
        "statistical_cases": report.statistical_cases,
        "confidence": report.confidence,
        "family_confidence": FAMILY_CONFIDENCE,
        "seconds": report.seconds,
        "sslth": sslth.__version__,
    }
    ordered: dict[str, Any] = _in_the_order_of(values, json.loads(result_json(values)))
    return ordered


def _claim(row: ClaimRow, confidence: float) -> dict[str, Any]:
    head: dict[str, Any] = {
        "claim": row.claim.number,
        "name": row.claim.name,
        "statement": row.claim.statement,
        "source": row.claim.source,
    }
    tail = {"cells": row.cells, "seconds": row.seconds, "error": row.error}
    if row.findings is None:
        unknown = ("verdict", "computed", "estimate", "interval", "side", "bound", "confidence", "more_repetitions")
        nothing = {key: value for name in unknown for key, value in ((name, None), (f"{name}_reason", row.error))}
        return head | nothing | {"parameters": {}, "note": "", "cases": []} | tail
    decisive = _case(row.findings.decisive, confidence)
    more = more_repetitions(row.findings)
    # A case and a claim may be open for different numbers of repetitions: a claim waits for its slowest case.
    decisive |= _more(row.findings.verdict, more)
    name = {"computed": decisive.pop("name")}
    cases = [_case(case, confidence) for case in row.findings.cases]
    return head | name | decisive | {"note": row.findings.note, "cases": cases} | tail


def _case(case: Case, confidence: float) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name": case.name,
        "verdict": case.verdict.value,
        "estimate": case.estimate,
        "interval": list(case.interval),
        "side": None if case.side is None else case.side.value,
        "bound": case.bound,
        "confidence": confidence if case.statistical else None,
        "repetitions": case.repetitions,
        "parameters": dict(case.parameters),
        "proof": case.proof,
    }
    if case.bound is None:
        values |= {"bound_reason": _UNNAMED, "side_reason": _UNNAMED}
    if not case.statistical:
        values |= {"confidence_reason": _COMPUTED, "repetitions_reason": _COMPUTED}
    return values | _more(case.verdict, case.more_repetitions)


def _more(verdict: Verdict, more: int | None) -> dict[str, Any]:
    if more is not None:
        return {"more_repetitions": more}
    reason = _HOPELESS if verdict is Verdict.UNDECIDED else f"nothing is open: {verdict.value}"
    return {"more_repetitions": None, "more_repetitions_reason": reason}


def _in_the_order_of(wanted: Any, plain: Any) -> Any:
    """`plain`, whose keys are sorted, with the keys of `wanted` first and in their order: people read it too."""
    if isinstance(wanted, dict):
        order = [*(key for key in wanted if key in plain), *(key for key in plain if key not in wanted)]
        return {key: _in_the_order_of(wanted.get(key), plain[key]) for key in order}
    if isinstance(wanted, list) and len(wanted) == len(plain):
        return [_in_the_order_of(*pair) for pair in zip(wanted, plain, strict=True)]
    return plain
