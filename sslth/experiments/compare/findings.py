"""Which findings of the papers show here: what each is compared by; the rule is in `verdicts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sslth.errors import InvalidInputError
from sslth.experiments.compare.table import Chosen, Results
from sslth.experiments.compare.verdicts import (
    CONFIDENCE,
    MARGINS,
    OPEN,
    Difference,
    concluded,
    difference,
    judged,
    paired,
)
from sslth.experiments.compare.ways import REWINDS, SINGLE, robust_keep
from sslth.mining.correlation import rank_correlation
from sslth.mining.sanity import CONTROLS

__all__ = ["Finding", "find"]

_RARE_SPARSITY = 0.98
_ROUNDING = 1e-3  # by which a counted share may exceed the one that was asked for
_DIETS = ("imp", "imp_random", "imp_easiest")

BySeed = Mapping[int, float | None]
Numbers = npt.NDArray[np.float64]


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


def find(results: Results, keep: float) -> list[Finding]:
    """The verdict on each finding whose ways were compared, in the order of the papers."""
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


def _figure(chosen: Mapping[int, Chosen], name: str) -> dict[int, float | None]:
    return {seed: one.result["figures"][name] for seed, one in chosen.items()}


def _finding(name: str, paper: str, statement: str, scope: str, differences: Sequence[Difference]) -> Finding:
    verdict, why = concluded(differences)
    return Finding(name, paper, statement, scope, verdict, why, tuple(differences))


def _rare_gem(results: Results, keep: float) -> Finding:
    gems = results.chosen("gem_miner", keep)
    arms = {arm: {seed: one.result["controls"][arm] for seed, one in gems.items()} for arm in ("ticket", *CONTROLS)}
    against: dict[str, BySeed] = {
        "random, best layerwise budget": _figure(results.chosen("random", keep), "accuracy_after")
    }
    against |= {arm.replace("_", " "): arms[arm] for arm in CONTROLS}
    differences = [
        difference(f"ticket minus {name}", paired(arms["ticket"], values), "better", "accuracy", len(against))
        for name, values in against.items()
    ]
    counted = max((one.result["figures"]["keep"] for one in gems.values()), default=0.0)
    verdict, why = concluded(differences)
    if counted > 1.0 - _RARE_SPARSITY + _ROUNDING:
        verdict, why = OPEN, f"the tickets keep {100 * counted:.1f} %, and the finding speaks of 2 % or less"
    return Finding(
        "rare gems exist",
        "Sreenivasan et al. 2022",
        "Tickets found at initialisation at 98 % sparsity and more beat random masks and all sanity checks.",
        f"Gem-Miner at keep {keep:g}, test accuracy after finetuning",
        verdict,
        why,
        tuple(differences),
    )


def _beats_edge_popup(results: Results, keep: float) -> Finding:
    values = paired(*(_figure(results.chosen(way, keep), "accuracy_after") for way in ("gem_miner", "edge_popup")))
    return _finding(
        "better than edge-popup",
        "Sreenivasan et al. 2022",
        "After finetuning Gem-Miner's tickets are better than edge-popup's.",
        f"keep {keep:g}, test accuracy after finetuning",
        [difference("Gem-Miner minus edge-popup", values, "better", "accuracy", 1)],
    )


def _robust(results: Results, keep: float) -> list[Finding]:
    """Three findings, each against a single ticket and a plain ensemble of the same density and settings."""
    dro = results.chosen("dro_ensemble", keep, SINGLE)
    others = {
        "single ticket": results.chosen("edge_popup", keep, SINGLE),
        "plain ensemble": results.chosen("plain_ensemble", keep, SINGLE),
    }
    scope = f"three members that keep {keep:g} together, after finetuning, against one ticket that keeps as much"

    def lower(get: str, quantity: str, comparisons: int) -> list[Difference]:
        return [
            difference(
                f"{name} minus DRO", paired(_figure(other, get), _figure(dro, get)), "better", quantity, comparisons
            )
            for name, other in others.items()
        ]

    def minus_others(get: str, quantity: str, comparisons: int, *, premise: bool = False) -> list[Difference]:
        prefix, kind = ("accuracy, ", "equal") if premise else ("", "better")
        return [
            difference(
                f"{prefix}DRO minus {name}",
                paired(_figure(dro, get), _figure(other, get)),
                kind,
                quantity,
                comparisons,
                premise=premise,
            )
            for name, other in others.items()
        ]

    paper = "Sapkota et al. 2023"
    return [
        _finding(
            "lower calibration error",
            paper,
            "At equal accuracy the DRO ensemble's ECE is lower than a single ticket's and a plain ensemble's.",
            scope,
            [*minus_others("accuracy_after", "accuracy", 4, premise=True), *lower("ece", "ece", 4)],
        ),
        _finding(
            "less sure when wrong",
            paper,
            "The DRO ensemble is less confident where it is wrong than a single ticket and a plain ensemble.",
            scope,
            lower("confidence_when_wrong", "confidence", 2),
        ),
        _finding(
            "better detection",
            paper,
            "The DRO ensemble tells unknown inputs from known ones better than a single ticket and a plain ensemble.",
            scope,
            minus_others("ood_auroc", "auroc", 2),
        ),
    ]


def _after(results: Results, way: str, keep: float, steps: int) -> dict[int, float | None]:
    """By seed the accuracy of the run with so many steps of pre-training, the optimizer picked by validation."""
    return _figure(results.chosen(way, keep, {"rewind": steps}), "accuracy_after")


def _random_diet(results: Results, keep: float) -> Finding:
    many = REWINDS[-1]
    matters = difference(
        f"all data, {many} steps, minus no pre-training",
        paired(_after(results, "imp", keep, many), _after(results, "imp", keep, 0)),
        "better",
        "accuracy",
        1 + len(REWINDS),
        premise=True,  # where no start is better than another, that two are equally good says nothing
    )
    same = [
        difference(
            f"random 10 % minus all, {steps} steps",
            paired(_after(results, "imp_random", keep, steps), _after(results, "imp", keep, steps)),
            "as good",
            "accuracy",
            1 + len(REWINDS),
        )
        for steps in REWINDS
    ]
    return _finding(
        "a random fraction is enough",
        "Paul et al. 2022",
        "Pre-training on a small random fraction gives as good a start as all data, at equal steps.",
        f"iterative pruning to keep {keep:g}, test accuracy after finetuning",
        [matters, *same],
    )


def _easy_examples(results: Results, keep: float) -> Finding:
    few, many = REWINDS
    slow = _after(results, "imp", keep, many)
    matters = difference(
        f"all data, {many} minus {few} steps",
        paired(slow, _after(results, "imp", keep, few)),
        "better",
        "accuracy",
        2,
        premise=True,
    )
    saved = difference(
        f"easiest 10 %, {few} steps, minus all data, {many} steps",
        paired(_after(results, "imp_easiest", keep, few), slow),
        "as good",
        "accuracy",
        2,
    )
    return _finding(
        "easy examples need fewer steps",
        "Paul et al. 2022",
        "Pre-training on the easiest examples needs fewer steps than on all data.",
        f"iterative pruning to keep {keep:g}, easy by EL2N, test accuracy after finetuning",
        [matters, saved],
    )


def _connectivity(results: Results, keep: float) -> Finding:
    """Rank correlation over the starts of a seed; and once more with the mean of each number of steps taken off."""
    arms = [("imp", 0), *((way, steps) for way in _DIETS for steps in REWINDS)]
    runs = [results.chosen(way, keep, {"rewind": steps}) for way, steps in arms]
    seeds = sorted(set.intersection(*(set(run) for run in runs)))
    share = np.array([[run[seed].result["connected"] for run in runs] for seed in seeds])
    quality = np.array([[run[seed].result["figures"]["accuracy_after"] for run in runs] for seed in seeds])
    groups = [[place for place, arm in enumerate(arms) if arm[1] == steps] for steps in REWINDS]
    return _finding(
        "connectivity predicts quality",
        "Paul et al. 2022",
        "The more examples stay right between two dense trainings from a start, the better its ticket.",
        f"{len(arms)} starts a seed: diets and steps; iterative pruning to keep {keep:g}",
        [
            _correlated("rank correlation over all starts", share, quality),
            _correlated("rank correlation at equal steps", _centred(share, groups), _centred(quality, groups)),
        ],
    )


def _correlated(name: str, share: Numbers, quality: Numbers) -> Difference:
    margin = MARGINS["correlation"]
    try:
        found = rank_correlation(share.tolist(), quality.tolist(), confidence=1.0 - (1.0 - CONFIDENCE) / 2)
    except InvalidInputError:  # too few seeds, or a measurement that is the same for all starts of one
        return Difference(name, "better", margin, None, None, 0, OPEN)
    verdict = judged(found.interval, "better", margin)
    return Difference(name, "better", margin, found.mean, found.interval, len(share), verdict)


def _centred(values: Numbers, groups: Sequence[Sequence[int]]) -> Numbers:
    if values.ndim != 2:  # no seeds
        return values
    parts = [values[:, list(group)] - values[:, list(group)].mean(1, keepdims=True) for group in groups]
    return np.concatenate(parts, axis=1).round(12)  # what is equal stays equal: ranks would tell rounding apart
