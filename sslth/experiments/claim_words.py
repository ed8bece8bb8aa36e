"""How the numbers of a claim read: as many digits as the verdict hangs on, and what an open verdict would need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sslth.theory.claims import Case, Findings, Verdict

__all__ = [
    "bound_text",
    "estimate_text",
    "interval_text",
    "more_repetitions",
    "parameters_text",
    "percent_text",
    "verdict_text",
]

_FEWEST, _MOST = 3, 9  # significant digits


def estimate_text(case: Case) -> str:
    """The estimate with enough digits to tell it from the bound."""
    return _shown(case.estimate, _digits(case))


def interval_text(case: Case) -> str:
    """The interval as "0.1 to 0.2"; one number if both ends read the same."""
    low, high = (_shown(end, _digits(case)) for end in case.interval)
    return low if low == high else f"{low} to {high}"


def bound_text(case: Case) -> str:
    """The claim's side and number, such as "at least 0.25"."""
    if case.bound is None or case.side is None:
        return "unnamed constant"
    return f"{case.side.value} {_shown(case.bound, _digits(case))}"


def more_repetitions(findings: Findings) -> int | None:
    """About how many more draws would close all open cases; None if nothing is open, or no number of draws would."""
    wanted = [case.more_repetitions for case in findings.cases if case.verdict is Verdict.UNDECIDED]
    known = [number for number in wanted if number is not None]
    return max(known) if known and len(known) == len(wanted) else None


def verdict_text(what: Findings | Case) -> str:
    """The verdict and, if it is open, what would decide."""
    if what.verdict is not Verdict.UNDECIDED:
        return what.verdict.value
    more = more_repetitions(what) if isinstance(what, Findings) else what.more_repetitions
    if more is None:
        return f"{what.verdict.value}: no number of repetitions is known to decide"
    return f"{what.verdict.value}: about {_rounded(more):,} more repetitions would decide"


def parameters_text(parameters: Mapping[str, Any]) -> str:
    """Parameters as "n = 20, law = nsn"."""
    return ", ".join(f"{key} = {_value(value)}" for key, value in parameters.items())


def percent_text(confidence: float) -> str:
    """A confidence in percent, without ever being rounded up to 100 %."""
    missing = 100.0 * (1.0 - confidence)
    places = max(0, 2 - int(f"{missing:.2e}".split("e")[1]))
    return f"{100.0 - missing:.{places}f}".rstrip("0").removesuffix(".") + " %"


def _digits(case: Case) -> int:
    """The fewest digits with which the ends of the interval and the estimate read different from the bound."""
    others = [value for value in (case.estimate, *case.interval) if value != case.bound]
    if case.bound is None:
        return _FEWEST + 1
    for digits in range(_FEWEST, _MOST):
        if all(_shown(value, digits) != _shown(case.bound, digits) for value in others):
            return digits
    return _MOST


def _shown(value: float, digits: int) -> str:
    return f"{value:.{digits}g}"


def _rounded(number: int) -> int:
    """Two digits: the number is a guess."""
    return int(float(f"{number:.1e}"))


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return "(" + ", ".join(_value(item) for item in value) + ")"
    return str(value)
