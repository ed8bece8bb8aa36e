"""Findings from figures that are known: what is planted is found, its opposite is not, noise is left open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from sslth.experiments.compare.findings import Finding, find
from sslth.experiments.compare.table import Results
from sslth.experiments.compare.verdicts import OPEN, REFUTED, SHOWN
from sslth.experiments.compare.ways import ROBUST_KEEP, SINGLE, WAYS

Cell = Mapping[str, Any]
NAMES = (
    "rare gems exist",
    "better than edge-popup",
    "lower calibration error",
    "less sure when wrong",
    "better detection",
    "a random fraction is enough",
    "easy examples need fewer steps",
    "connectivity predicts quality",
)
_DIET = {"imp": 0.0, "imp_random": 0.0, "imp_easiest": 0.011}  # what a diet adds to accuracy and connectivity


@pytest.fixture
def found(results_of: Callable[..., Results], result: Callable[..., dict[str, Any]], wobble: Any) -> Any:
    """Findings by name, of a world where each paper is right by `effect` with so much noise; `more` changes cells."""

    def of(
        effect: float = 1.0,
        noise: float = 0.004,
        keep: float = 0.02,
        more: Callable[[Cell], dict[str, Any]] | None = None,
        ways: tuple[str, ...] = tuple(WAYS),
    ) -> dict[str, Finding]:
        def evaluate(cell: Cell) -> dict[str, Any]:
            way, shift = cell["way"], wobble(cell, noise)
            figures: dict[str, Any] = {"accuracy": 0.8 + shift, "ood_auroc": 0.7 + shift, "keep": cell["keep"]}
            figures |= {"ece": 0.1 + shift, "confidence_when_wrong": 0.7 + shift}
            if way == "gem_miner":
                arms = {arm: 0.8 - 0.1 * effect + wobble(cell, noise) for arm in ("shuffled", "redrawn", "inverted")}
                arms["matched_random"] = arms["shuffled"] - 0.002 * wobble(cell, 1.0)
                figures |= {"controls": {"ticket": 0.8 + 0.3 * shift, **arms}, "accuracy": 0.8 + shift}
            if way in ("random", "edge_popup") and cell["keep"] == keep:
                figures["accuracy"] = 0.8 - 0.1 * effect + 0.5 * shift
            if cell["keep"] != keep:
                figures["accuracy"] = 0.9 + 0.1 * shift
            if way == "dro_ensemble":
                figures |= {"ece": 0.1 - 0.04 * effect + 0.5 * shift, "ood_auroc": 0.7 + 0.1 * effect}
                figures["confidence_when_wrong"] = 0.7 - 0.2 * effect + 0.5 * shift
            if way in _DIET:
                gain = 0.001 * cell["settings"]["rewind"] + effect * _DIET[way] + 0.3 * shift
                figures |= {"accuracy": 0.8 + gain, "connected": 0.9 + 0.5 * effect * gain + wobble(cell, 1e-3, 1)}
                if way == "imp_random":
                    figures["accuracy"] += min(effect, 0.0) * 0.02
            if way == "imp_easiest" and cell["settings"]["rewind"] == 9:
                figures["accuracy"] += 0.02 * effect
            return result(**(figures | (more(cell) if more else {})))

        return {one.name: one for one in find(results_of(evaluate, ways, keep), keep)}

    return of


def test_everything_that_is_planted_shows(found: Any) -> None:
    findings = found()
    assert tuple(findings) == NAMES
    assert {name: one.verdict for name, one in findings.items()} == dict.fromkeys(NAMES, SHOWN)
    for one in findings.values():
        assert len(one.differences) >= 1
        assert all(difference.seeds == 5 for difference in one.differences)


def test_the_opposite_does_not_show(found: Any) -> None:
    findings = found(effect=-1.0)
    for name in NAMES[:7]:
        assert findings[name].verdict == REFUTED, name


def test_noise_is_left_open(found: Any) -> None:
    findings = found(effect=0.0, noise=1.0)
    assert {name: one.verdict for name, one in findings.items()} == dict.fromkeys(NAMES, OPEN)


def test_each_difference_carries_its_interval_around_its_mean(found: Any) -> None:
    gems = found()["rare gems exist"]
    assert [one.name for one in gems.differences] == [
        "ticket minus random, best layerwise budget",
        "ticket minus shuffled",
        "ticket minus redrawn",
        "ticket minus inverted",
        "ticket minus matched random",
    ]
    for one in gems.differences:
        assert one.mean == pytest.approx(0.1, abs=0.01)
        assert one.interval[0] < one.mean < one.interval[1]


def test_rare_gems_are_not_judged_below_98_per_cent_sparsity(found: Any) -> None:
    gems = found(keep=0.05)["rare gems exist"]
    assert gems.verdict == OPEN
    assert "keep 5.0 %" in gems.why
    assert all(one.verdict == SHOWN for one in gems.differences)


def test_calibration_is_not_compared_at_unequal_accuracy(found: Any) -> None:
    findings = found(more=lambda cell: {"accuracy": 0.95} if cell["way"] == "dro_ensemble" else {})
    assert findings["lower calibration error"].verdict == OPEN
    assert "premise is not shown: accuracy, DRO minus single ticket" in findings["lower calibration error"].why
    assert findings["better detection"].verdict == SHOWN


@pytest.mark.parametrize("keep", [0.02, ROBUST_KEEP, 0.5])
def test_robust_ensembles_are_compared_at_one_setting_and_share(found: Any, keep: float) -> None:
    """Were the picked settings compared, these numbers of other settings would turn the verdicts."""

    def others_are_chosen(cell: Cell) -> dict[str, Any]:
        if cell["way"] in ("edge_popup", "plain_ensemble") and not cell["settings"].items() >= SINGLE.items():
            return {"validation": 1.0, "ece": 0.0, "ood_auroc": 1.0, "accuracy": 0.5}
        return {"accuracy": 0.9 + 0.001 * cell["seed"] * (cell["way"] == "dro_ensemble")}

    findings = found(keep=keep, more=others_are_chosen)
    assert findings["lower calibration error"].verdict == SHOWN
    assert findings["better detection"].verdict == SHOWN
    assert f"keep {max(keep, ROBUST_KEEP):g} together" in findings["better detection"].scope


def test_no_wrong_prediction_has_no_confidence(found: Any) -> None:
    findings = found(
        more=lambda cell: {"confidence_when_wrong": None} if cell["way"] == "edge_popup" and cell["seed"] > 0 else {}
    )
    unsure = findings["less sure when wrong"]
    assert unsure.verdict == OPEN
    assert [one.seeds for one in unsure.differences] == [1, 5]


def test_where_no_start_is_better_than_another_diets_are_not_judged(found: Any) -> None:
    def start_is_nothing(cell: Cell) -> dict[str, Any]:
        return {"accuracy": 0.8 + 0.001 * (cell["seed"] + len(cell["way"]) % 3)} if "imp" in cell["way"] else {}

    findings = found(more=start_is_nothing)
    for name in ("a random fraction is enough", "easy examples need fewer steps"):
        assert findings[name].verdict == OPEN
        assert findings[name].why.startswith("a premise is not shown: all data, 36")


def test_connectivity_that_goes_with_steps_alone_predicts_nothing_at_equal_steps(found: Any) -> None:
    def by_steps(cell: Cell) -> dict[str, Any]:
        if "imp" not in cell["way"]:
            return {}
        steps, place = cell["settings"]["rewind"], (len(cell["way"]) + cell["seed"]) % 4
        return {"connected": 0.9 + 0.002 * steps + 0.001 * place, "accuracy": 0.8 + 0.002 * steps - 0.001 * place}

    finding = found(more=by_steps)["connectivity predicts quality"]
    over_all, at_equal = finding.differences
    assert over_all.verdict == SHOWN
    assert at_equal.mean == pytest.approx(-1.0)
    assert finding.verdict == REFUTED


def test_connectivity_that_never_differs_has_no_rank(found: Any) -> None:
    finding = found(more=lambda cell: {"connected": 0.1} if "imp" in cell["way"] else {})[
        "connectivity predicts quality"
    ]
    assert finding.verdict == OPEN
    assert all(one.interval is None for one in finding.differences)


def test_only_findings_whose_ways_are_there_are_judged(found: Any) -> None:
    assert found(ways=("dense", "subset_sum")) == {}
    assert tuple(found(ways=("random", "gem_miner"))) == ("rare gems exist",)
    assert tuple(found(ways=("imp", "imp_random", "gem_miner", "edge_popup"))) == (NAMES[1], NAMES[5])


def test_ways_that_failed_are_not_judged(results_of: Callable[..., Results]) -> None:
    findings = find(results_of(lambda _cell: "ValueError: no"), 0.02)
    assert [one.verdict for one in findings] == [OPEN] * len(NAMES)
