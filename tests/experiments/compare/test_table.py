"""The table: validation picks, the test part never does, and what is missing or failed says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from scipy.stats import ttest_1samp

from sslth.experiments.compare.table import FIGURES, Results, choices_json, figure_of, shown, table_json, table_text
from sslth.experiments.compare.ways import WAYS

Cell = Mapping[str, Any]
Make = Callable[..., Results]
Made = Callable[..., dict[str, Any]]
RANDOM = ("random",)
SETTINGS = WAYS["random"].candidates


def test_validation_picks_and_the_test_part_does_not(results_of: Make, result: Made) -> None:
    def evaluate(cell: Cell) -> dict[str, Any]:
        place = SETTINGS.index(cell["settings"])
        validation = 0.9 if place == (2 + cell["seed"]) % 6 else 0.8
        return result(accuracy=1.0 - validation, validation=validation)  # the test part would pick the others

    results = results_of(evaluate, RANDOM)
    chosen = results.chosen("random", 0.02)
    assert {seed: SETTINGS.index(dict(one.settings)) for seed, one in chosen.items()} == {0: 2, 1: 3, 2: 4, 3: 5, 4: 0}
    assert all(len(one.candidates) == 6 for one in chosen.values())
    assert table_json(results, 0.02)["methods"]["random"]["accuracy_after"]["mean"] == pytest.approx(0.1)


def test_what_the_test_part_says_changes_no_choice(results_of: Make, result: Made, wobble: Any) -> None:
    def picked(sign: float) -> list[Any]:
        def evaluate(cell: Cell) -> dict[str, Any]:
            return result(accuracy=0.5 + sign * wobble(cell, 1.0), validation=0.5 + wobble(cell, 1.0, 1))

        choices: list[Any] = choices_json(results_of(evaluate), [0.02, 0.2])["choices"]
        return choices

    assert picked(1.0) == picked(-1.0)


@pytest.mark.parametrize(
    ("nlls", "expected"),
    [((0.3, 0.2, 0.2, 0.4, None, 0.5), 1), ((None,) * 6, 0), ((None, None, 9.0, None, None, None), 2)],
    ids=["lowest-then-first", "all-infinite", "finite"],
)
def test_equal_accuracies_are_told_apart_by_likelihood_then_order(
    results_of: Make, result: Made, nlls: tuple[float | None, ...], expected: int
) -> None:
    results = results_of(lambda cell: result(nll=nlls[SETTINGS.index(cell["settings"])]), RANDOM)
    assert {SETTINGS.index(dict(one.settings)) for one in results.chosen("random", 0.02).values()} == {expected}


def test_a_choice_among_some_settings(results_of: Make, result: Made) -> None:
    results = results_of(lambda cell: result(validation=0.9 if cell["settings"]["optimizer"] == "SGD" else 0.8), RANDOM)
    assert results.chosen("random", 0.02)[0].settings["optimizer"] == "SGD"
    among = results.chosen("random", 0.02, {"optimizer": "Adam"})[0]
    assert among.settings["optimizer"] == "Adam"
    assert len(among.candidates) == 3
    assert results.chosen("random", 0.02, {"optimizer": "LBFGS"}) == {}
    assert results.chosen("random", 0.3) == {}


def test_the_json_has_the_shape_that_is_promised(results_of: Make, result: Made, wobble: Any) -> None:
    results = results_of(lambda cell: result(accuracy=0.5 + wobble(cell, 0.1), barrier=None))
    table = json.loads(json.dumps(table_json(results, 0.02), allow_nan=False))
    assert list(table) == ["methods"]
    assert list(table["methods"]) == list(WAYS)
    for entry in table["methods"].values():
        assert set(entry) == {*FIGURES, "barrier_reason"}
        assert entry["barrier"] is None
        assert entry["barrier_reason"] == "no barrier here"
        for name in set(FIGURES) - {"barrier"}:
            assert set(entry[name]) == {"mean", "interval", "seeds"}
            assert entry[name]["seeds"] == 5
            assert entry[name]["interval"][0] <= entry[name]["mean"] <= entry[name]["interval"][1]
    values = [one.result["figures"]["accuracy_after"] for one in results.chosen("snip", 0.02).values()]
    expected = ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert table["methods"]["snip"]["accuracy_after"]["interval"] == pytest.approx([expected.low, expected.high])


def test_choices_are_stored_with_all_that_validation_saw(results_of: Make, result: Made) -> None:
    stored = choices_json(results_of(lambda _cell: result(validation=0.75)), [0.02, 0.2])
    assert stored["failed"] == []
    assert len(stored["choices"]) == 5 * (len(WAYS) + 3)
    for one in stored["choices"]:
        assert one["chosen"] in [candidate["settings"] for candidate in one["candidates"]]
        assert all(candidate["validation"]["accuracy"] == 0.75 for candidate in one["candidates"])
        assert all(set(candidate) == {"settings", "validation"} for candidate in one["candidates"])
    assert json.loads(json.dumps(stored)) == stored


def test_a_way_that_failed_is_marked_and_the_others_stay(results_of: Make, result: Made) -> None:
    results = results_of(lambda cell: "ValueError: too sparse" if cell["way"] == "snip" else result())
    methods = table_json(results, 0.02)["methods"]
    assert results.errors == {"snip": "ValueError: too sparse"}
    assert methods["snip"]["error"] == methods["snip"]["ece_reason"] == "ValueError: too sparse"
    assert all(methods["snip"][name] is None for name in FIGURES)
    assert [way for way, entry in methods.items() if "error" in entry] == ["snip"]
    lines = table_text({"methods": methods}, {}).splitlines()
    assert [line.split()[0] for line in lines if "(failed)" in line] == ["snip"]


def test_one_failed_setting_marks_the_row_and_is_stored(results_of: Make, result: Made) -> None:
    bad = SETTINGS[3]
    results = results_of(
        lambda cell: "DivergedError: NaN" if cell["settings"] == bad and cell["seed"] == 2 else result(), RANDOM
    )
    entry = table_json(results, 0.02)["methods"]["random"]
    assert entry["error"] == "DivergedError: NaN"
    assert entry["accuracy_after"]["seeds"] == 5
    failed = choices_json(results, [0.02])["failed"]
    assert failed == [
        {"method": "random", "keep": 0.02, "seed": 2, "settings": bad, "error": "DivergedError: NaN"},
    ]


def test_cells_without_an_outcome_count_as_failed(results_of: Make, result: Made) -> None:
    whole = results_of(lambda _cell: result(), ("dense",))
    assert whole.errors == {}
    empty = Results([{"way": "dense", "keep": 0.02, "seed": 0, "settings": {}}], [])
    assert empty.errors == {"dense": "not evaluated"}


def test_seeds_without_a_value_are_left_out_and_counted(result: Made) -> None:
    some = [result(nll=None), result(ece=0.1), result(ece=0.3), result(ece=None)]
    figure, reason = figure_of(some, "ece")
    assert (figure or {})["seeds"] == 3
    assert reason is None
    assert figure_of([result(ece=0.1), result(ece=None)], "ece") == (
        None,
        "one seed has a value (0.1), which gives no interval",
    )
    assert figure_of([result(ece=None)], "ece") == (None, "no ece here")
    assert figure_of([], "ece") == (None, "no seed has a result")


@pytest.mark.parametrize(
    ("name", "mean", "half", "text"),
    [
        ("accuracy_after", 0.975, 0.0071, "97.5 ± 0.7"),
        ("keep", 0.02, 0.0, "2"),
        ("keep", 0.219, 0.001, "21.9 ± 0.1"),
        ("bytes", 7446.2, 11.4, "7,446 ± 11"),
        ("steps", 432.0, 0.0, "432"),
        ("seconds", 2.34, 1.0, "2.3 ± 1.0"),
        ("ece", 0.0164, 0.0031, "0.016 ± 0.003"),
    ],
)
def test_figures_in_a_few_characters(name: str, mean: float, half: float, text: str) -> None:
    assert shown({"mean": mean, "interval": [mean - half, mean + half], "seeds": 5}, name) == text


def test_the_text_is_aligned(results_of: Make, result: Made) -> None:
    lines = table_text(table_json(results_of(lambda _cell: result()), 0.02), {"imp": "a long name"}).splitlines()
    assert len(lines) == 1 + len(WAYS)
    assert len({len(line) for line in lines}) == 1
    assert any(line.startswith("a long name ") for line in lines)
    heads = ["filters removed", "ece", "barrier", "steps", "seconds", "bytes"]
    places = [lines[0].index(head) for head in heads]
    assert places == sorted(places)
