"""Which findings of the papers show here: verdicts by a rule from intervals, none written by hand.

A finding is a list of differences over seeds, each turned so that the finding says "above 0". All intervals of one
finding are Student's and hold together at 95 % (Bonferroni). With a margin that is the smallest difference of interest:

- shows: every interval lies above 0 (where the finding is "as good as": above minus the margin);
- does not show: an interval lies below the margin: a difference of interest is excluded ("as good as": below 0);
- cannot be judged here: anything else, or a premise that does not hold, or numbers that are missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sslth.errors import InvalidInputError
from sslth.experiments.compare.table import Results
from sslth.experiments.compare.ways import REWINDS, SINGLE, robust_keep
from sslth.mining.correlation import rank_correlation
from sslth.mining.intervals import mean_interval
from sslth.mining.sanity import CONTROLS

__all__ = ["MARGINS", "VERDICTS", "Difference", "Finding", "find", "judged"]

VERDICTS = ("shows", "does not show", "cannot be judged here")
MARGINS = {"accuracy": 0.01, "ece": 0.005, "confidence": 0.05, "auroc": 0.01, "correlation": 0.2}
_RARE_SPARSITY = 0.98
_CONFIDENCE = 0.95
_DIETS = ("imp", "imp_random", "imp_easiest")

BySeed = Mapping[int, float | None]


@dataclass(frozen=True)
class Difference:
    """One comparison over seeds: its mean, its joint interval, and what that says.

    `kind` is "better", "as good" or "equal"; "equal" is a premise: the whole interval within the margin.
    """

    name: str
    kind: str
    margin: float
    mean: float | None
    interval: tuple[float, float] | None
    seeds: int
    verdict: str


@dataclass(frozen=True)
class Finding:
    """A statement of a paper, what it was compared by, and the verdict.

    `why` says in one sentence what the verdict rests on; `scope` what was measured.
    """

    name: str
    paper: str
    statement: str
    scope: str
    verdict: str
    why: str
    differences: tuple[Difference, ...] = field(default=())


def judged(interval: tuple[float, float], kind: str, margin: float) -> str:
    """The rule for one interval.

    Examples
    --------
    >>> judged((0.001, 0.02), "better", 0.01), judged((-0.01, 0.005), "better", 0.01)
    ('shows', 'does not show')
    >>> judged((-0.01, 0.02), "better", 0.01), judged((-0.008, 0.001), "as good", 0.01)
    ('cannot be judged here', 'shows')
    """
    low, high = interval
    if kind == "equal":
        if -margin <= low and high <= margin:
            return VERDICTS[0]
        return VERDICTS[1] if low > 0 or high < 0 else VERDICTS[2]
    if kind == "as good":
        return VERDICTS[0] if low > -margin else VERDICTS[1] if high < 0 else VERDICTS[2]
    return VERDICTS[0] if low > 0 else VERDICTS[1] if high < margin else VERDICTS[2]


def find(results: Results, keep: float) -> list[Finding]:
    """The verdict on each finding whose ways were compared."""
    ways = set(results.ways)
    found: list[Finding] = []
    if {"gem_miner", "random"} <= ways:
        found.append(_rare_gem(results, keep))
    if {"gem_miner", "edge_popup"} <= ways:
        found.append(_beats_edge_popup(results, keep))
    judged_at = robust_keep(results.ways, keep)
    if judged_at is not None:
        found += _robust(results, judged_at)
    if {"imp", "imp_random"} <= ways:
        found.append(_random_diet(results, keep))
    if {"imp", "imp_easiest"} <= ways:
        found.append(_easy_examples(results, keep))
    if set(_DIETS) <= ways:
        found.append(_connectivity(results, keep))
    return found


def _minus(first: BySeed, second: BySeed) -> list[float]:
    pairs = [(first[seed], second[seed]) for seed in sorted(first.keys() & second.keys())]
    return [one - other for one, other in pairs if one is not None and other is not None]


def _difference(name: str, values: Sequence[float], kind: str, quantity: str, comparisons: int) -> Difference:
    margin = MARGINS[quantity]
    if len(values) < 2:
        return Difference(name, kind, margin, None, None, len(values), VERDICTS[2])
    mean, interval = mean_interval(values, 1.0 - (1.0 - _CONFIDENCE) / comparisons)
    return Difference(name, kind, margin, mean, interval, len(values), judged(interval, kind, margin))


def _concluded(differences: Sequence[Difference], premises: Sequence[Difference] = ()) -> tuple[str, str]:
    """The verdict on all together: what does not hold decides, then what is open; premises come first."""
    for premise in premises:
        if premise.verdict != VERDICTS[0]:
            return VERDICTS[2], f"not comparable: {premise.name} {_words(premise)}"
    for verdict in (VERDICTS[1], VERDICTS[2]):
        against = [one for one in differences if one.verdict == verdict]
        if against:
            reason = "excludes a difference of interest" if verdict == VERDICTS[1] else "leaves it open"
            return verdict, f"{against[0].name} {_words(against[0])} {reason}" + (
                f", and {len(against) - 1} more" if len(against) > 1 else ""
            )
    least = min(differences, key=lambda one: one.interval[0] if one.interval is not None else 0.0)
    return VERDICTS[0], f"the smallest difference is {least.name} {_words(least)}"


def _words(one: Difference) -> str:
    if one.interval is None or one.mean is None:
        return f"has {one.seeds} seeds with a value"
    return f"{one.mean:+.4f} [{one.interval[0]:+.4f}, {one.interval[1]:+.4f}]"


def _of(results: Results, way: str, keep: float, figure: str) -> dict[int, float | None]:
    return {seed: one.result["figures"][figure] for seed, one in results.chosen(way, keep).items()}


def _rare_gem(results: Results, keep: float) -> Finding:
    gems = results.chosen("gem_miner", keep)
    arms = {arm: {seed: one.result["controls"][arm] for seed, one in gems.items()} for arm in ("ticket", *CONTROLS)}
    against = {"random, best layerwise budget": _of(results, "random", keep, "accuracy_after")}
    against |= {arm.replace("_", " "): arms[arm] for arm in CONTROLS}
    differences = [
        _difference(f"ticket minus {name}", _minus(arms["ticket"], values), "better", "accuracy", len(against))
        for name, values in against.items()
    ]
    verdict, why = _concluded(differences)
    counted = [one.result["figures"]["keep"] for one in gems.values()]
    if counted and max(counted) > 1.0 - _RARE_SPARSITY + 1e-3:
        verdict, why = (
            VERDICTS[2],
            f"the tickets keep {100 * max(counted):.1f} %, and the finding speaks of 2 % or less",
        )
    statement = "Tickets found at initialisation at 98 % sparsity and more beat random masks and all sanity checks."
    scope = f"Gem-Miner at keep {keep:g}, test accuracy after finetuning"
    return Finding("rare gems exist", "Sreenivasan et al. 2022", statement, scope, verdict, why, tuple(differences))


def _beats_edge_popup(results: Results, keep: float) -> Finding:
    values = _minus(*(_of(results, way, keep, "accuracy_after") for way in ("gem_miner", "edge_popup")))
    differences = [_difference("Gem-Miner minus edge-popup", values, "better", "accuracy", 1)]
    verdict, why = _concluded(differences)
    statement = "After finetuning Gem-Miner's tickets are better than edge-popup's."
    scope = f"keep {keep:g}, test accuracy after finetuning"
    return Finding(
        "better than edge-popup", "Sreenivasan et al. 2022", statement, scope, verdict, why, tuple(differences)
    )


def _robust(results: Results, keep: float) -> list[Finding]:
    """Three findings, each against a single ticket and a plain ensemble of the same density and settings."""
    dro = {seed: one.result for seed, one in results.chosen("dro_ensemble", keep).items()}
    others = {
        "single ticket": results.with_settings("edge_popup", keep, SINGLE),
        "plain ensemble": {seed: one.result for seed, one in results.chosen("plain_ensemble", keep).items()},
    }
    scope = f"three members that keep {keep:g} together, after finetuning, against one ticket that keeps as much"

    def figure(of: Mapping[int, Mapping[str, Any]], name: str) -> dict[int, float | None]:
        return {seed: result["figures"][name] for seed, result in of.items()}

    def finding(name: str, statement: str, get: str, quantity: str, sign: int, equal: bool) -> Finding:
        differences, premises = [], []
        for other, given in others.items():
            pair = (figure(dro, get), figure(given, get))
            values = _minus(*(pair if sign > 0 else pair[::-1]))
            words = f"DRO minus {other}" if sign > 0 else f"{other} minus DRO"
            differences.append(_difference(words, values, "better", quantity, len(others)))
            if equal:
                same = _minus(figure(dro, "accuracy_after"), figure(given, "accuracy_after"))
                premises.append(_difference(f"accuracy, DRO minus {other},", same, "equal", "accuracy", len(others)))
        verdict, why = _concluded(differences, premises)
        return Finding(name, "Sapkota et al. 2023", statement, scope, verdict, why, (*premises, *differences))

    return [
        finding(
            "lower calibration error",
            "At equal accuracy the DRO ensemble's ECE is lower than a single ticket's and a plain ensemble's.",
            "ece", "ece", -1, True,
        ),
        finding(
            "less sure when wrong",
            "The DRO ensemble is less confident where it is wrong than a single ticket and a plain ensemble.",
            "confidence_when_wrong", "confidence", -1, False,
        ),
        finding(
            "better detection",
            "The DRO ensemble tells unknown inputs from known ones better than a single ticket and a plain ensemble.",
            "ood_auroc", "auroc", 1, False,
        ),
    ]  # fmt: skip


def _at_steps(results: Results, way: str, keep: float, steps: int) -> dict[int, Mapping[str, Any]]:
    """By seed the run with so many steps of pre-training whose optimizer validation prefers."""
    found = {}
    for seed, chosen in results.chosen(way, keep).items():
        runs = [result for settings, result in chosen.candidates if settings["rewind"] == steps]
        if runs:
            found[seed] = max(runs, key=lambda run: run["validation"]["accuracy"])
    return found


def _accuracy_at(results: Results, way: str, keep: float, steps: int) -> dict[int, float | None]:
    return {seed: run["figures"]["accuracy_after"] for seed, run in _at_steps(results, way, keep, steps).items()}


def _random_diet(results: Results, keep: float) -> Finding:
    def at(way: str, steps: int) -> dict[int, float | None]:
        return _accuracy_at(results, way, keep, steps)

    differences = [
        _difference(
            f"random 10 % minus all, {steps} steps,",
            _minus(at("imp_random", steps), at("imp", steps)),
            "as good",
            "accuracy",
            len(REWINDS),
        )
        for steps in REWINDS
    ]
    verdict, why = _concluded(differences)
    statement = "Pre-training on a small random fraction gives as good a start as all data, at equal steps."
    scope = f"iterative pruning to keep {keep:g}, test accuracy after finetuning"
    return Finding(
        "a random fraction is enough", "Paul et al. 2022", statement, scope, verdict, why, tuple(differences)
    )


def _easy_examples(results: Results, keep: float) -> Finding:
    few, many = REWINDS

    def at(way: str, steps: int) -> dict[int, float | None]:
        return _accuracy_at(results, way, keep, steps)

    premise = _difference(
        f"all, {many} minus {few} steps,", _minus(at("imp", many), at("imp", few)), "better", "accuracy", 2
    )
    saved = _difference(
        f"easiest 10 %, {few} steps, minus all, {many} steps,",
        _minus(at("imp_easiest", few), at("imp", many)),
        "as good",
        "accuracy",
        2,
    )
    verdict, why = _concluded([saved], [premise])
    statement = "Pre-training on the easiest examples needs fewer steps than on all data."
    scope = f"iterative pruning to keep {keep:g}, easy by EL2N, test accuracy after finetuning"
    return Finding(
        "easy examples need fewer steps", "Paul et al. 2022", statement, scope, verdict, why, (premise, saved)
    )


def _connectivity(results: Results, keep: float) -> Finding:
    """Rank correlation over the starts of a seed; and once more with the mean of each number of steps taken off."""
    arms = [("imp", 0), *((way, steps) for way in _DIETS for steps in REWINDS)]
    runs = [_at_steps(results, way, keep, steps) for way, steps in arms]
    seeds = sorted(set.intersection(*(set(run) for run in runs)))
    share = np.array([[run[seed]["connected"] for run in runs] for seed in seeds])
    quality = np.array([[run[seed]["figures"]["accuracy_after"] for run in runs] for seed in seeds])
    groups = [[place for place, arm in enumerate(arms) if arm[1] == steps] for steps in REWINDS]
    differences = [
        _correlated("rank correlation over all starts", share, quality),
        _correlated("rank correlation at equal steps", _centred(share, groups), _centred(quality, groups)),
    ]
    verdict, why = _concluded(differences)
    statement = "The more examples stay right between two dense trainings from a start, the better its ticket."
    scope = f"{len(arms)} starts a seed: diets and steps; iterative pruning to keep {keep:g}"
    return Finding(
        "connectivity predicts quality", "Paul et al. 2022", statement, scope, verdict, why, tuple(differences)
    )


def _correlated(name: str, share: np.ndarray, quality: np.ndarray) -> Difference:
    try:
        found = rank_correlation(share.tolist(), quality.tolist(), confidence=1.0 - (1.0 - _CONFIDENCE) / 2)
    except InvalidInputError:
        return Difference(name, "better", MARGINS["correlation"], None, None, 0, VERDICTS[2])
    verdict = judged(found.interval, "better", MARGINS["correlation"])
    return Difference(name, "better", MARGINS["correlation"], found.mean, found.interval, len(share), verdict)


def _centred(values: np.ndarray, groups: Sequence[Sequence[int]]) -> np.ndarray:
    if values.ndim != 2:
        return values
    parts = [values[:, list(group)] - values[:, list(group)].mean(1, keepdims=True) for group in groups]
    return np.concatenate(parts, axis=1)
