"""The rule by which a finding shows or does not: differences over seeds, joint intervals, margins; none by hand.

A finding is a list of differences over seeds, each turned so that the finding says "above 0", and perhaps premises:
without these its question has no answer here. All intervals of one finding, premises included, are Student's and hold
together at 95 % (Bonferroni). With a margin that is the smallest difference of interest:

- shows: every interval lies above 0 (where the finding is "as good as": above minus the margin);
- does not show: an interval lies below the margin: a difference of interest is excluded ("as good as": below 0);
- cannot be judged here: anything else, or a premise that is not shown, or numbers that are missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sslth.mining.intervals import mean_interval

__all__ = [
    "CONFIDENCE",
    "MARGINS",
    "OPEN",
    "REFUTED",
    "SHOWN",
    "Difference",
    "concluded",
    "difference",
    "judged",
    "paired",
]

SHOWN, REFUTED, OPEN = "shows", "does not show", "cannot be judged here"
MARGINS = {"accuracy": 0.01, "ece": 0.005, "confidence": 0.05, "auroc": 0.01, "correlation": 0.2}
CONFIDENCE = 0.95  # of all intervals of one finding together


@dataclass(frozen=True)
class Difference:
    """One comparison over seeds: its mean, its joint interval, and what that says.

    `kind` is "better", "as good", or "equal" (the whole interval within the margin). `seeds` counts those with a
    value. Without an interval `verdict` is that it cannot be judged.
    """

    name: str
    kind: str
    margin: float
    mean: float | None
    interval: tuple[float, float] | None
    seeds: int
    verdict: str
    premise: bool = False

    def words(self) -> str:
        """Mean and interval, or why there is none.

        Examples
        --------
        >>> difference("a minus b", [0.03, 0.05], "better", "accuracy", 1).words()
        '+0.0400 [-0.0871, +0.1671]'
        >>> difference("a minus b", [0.03], "better", "accuracy", 1).words()
        'no interval: 1 seeds with a value'
        """
        if self.interval is None:
            same = "" if self.seeds < 2 else ", which are all the same"
            return f"no interval: {self.seeds} seeds with a value{same}"
        return f"{self.mean:+.4f} [{self.interval[0]:+.4f}, {self.interval[1]:+.4f}]"


def paired(first: Mapping[int, float | None], second: Mapping[int, float | None]) -> list[float]:
    """First minus second, seed by seed, for those seeds that have both.

    Examples
    --------
    >>> paired({0: 1.0, 1: 0.5, 2: None}, {0: 0.25, 2: 0.5, 3: 0.5})
    [0.75]
    """
    pairs = [(first[seed], second[seed]) for seed in sorted(first.keys() & second.keys())]
    return [one - other for one, other in pairs if one is not None and other is not None]


def difference(
    name: str, values: Sequence[float], kind: str, quantity: str, comparisons: int, *, premise: bool = False
) -> Difference:
    """Judge the differences of the seeds, one of so many `comparisons` of a finding; `quantity` is one of `MARGINS`.

    Values that are all the same give no interval: a network that learns nothing has the same accuracy for every seed,
    and Student's interval would call that certainty.
    """
    margin = MARGINS[quantity]
    if len(set(values)) < 2:
        return Difference(name, kind, margin, values[0] if values else None, None, len(values), OPEN, premise)
    mean, interval = mean_interval(values, 1.0 - (1.0 - CONFIDENCE) / comparisons)
    return Difference(name, kind, margin, mean, interval, len(values), judged(interval, kind, margin), premise)


def judged(interval: tuple[float, float], kind: str, margin: float) -> str:
    """The rule for one interval.

    Examples
    --------
    >>> judged((0.001, 0.02), "better", 0.01), judged((-0.01, 0.005), "better", 0.01)
    ('shows', 'does not show')
    >>> judged((-0.01, 0.02), "better", 0.01), judged((-0.008, 0.001), "as good", 0.01)
    ('cannot be judged here', 'shows')
    >>> judged((-0.03, -0.02), "as good", 0.01), judged((-0.009, 0.009), "equal", 0.01)
    ('does not show', 'shows')
    """
    low, high = interval
    if kind == "equal":
        if -margin <= low and high <= margin:
            return SHOWN
        return REFUTED if low > margin or high < -margin else OPEN
    if kind == "as good":
        return SHOWN if low > -margin else REFUTED if high < 0 else OPEN
    return SHOWN if low > 0 else REFUTED if high < margin else OPEN


def concluded(differences: Sequence[Difference]) -> tuple[str, str]:
    """The verdict on all together, and what it rests on: premises first, then what does not hold, then what is open.

    Examples
    --------
    >>> worse = difference("a minus b", [-0.03, -0.05, -0.04], "better", "accuracy", 1)
    >>> concluded([worse])
    ('does not show', 'a minus b: -0.0400 [-0.0648, -0.0152] excludes a difference of 0.01')
    """
    for one in differences:
        if one.premise and one.verdict != SHOWN:
            return OPEN, f"a premise is not shown: {one.name}: {one.words()}"
    asked = [one for one in differences if not one.premise]
    for verdict in (REFUTED, OPEN):
        against = [one for one in asked if one.verdict == verdict]
        if against:
            reason = _reason(against[0])
            more = f", and {len(against) - 1} more" if len(against) > 1 else ""
            return verdict, f"{against[0].name}: {against[0].words()} {reason}{more}"
    least = min(asked, key=lambda one: one.interval[0] if one.interval is not None else 0.0)
    return SHOWN, f"{'' if len(asked) == 1 else 'the lowest is '}{least.name}: {least.words()}"


def _reason(one: Difference) -> str:
    if one.verdict == OPEN:
        return "leaves it open"
    return "is worse" if one.kind == "as good" else f"excludes a difference of {one.margin:g}"
