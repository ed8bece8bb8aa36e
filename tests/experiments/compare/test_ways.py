"""Which cells there are: every way, setting and seed once, and where calibration is judged."""

from __future__ import annotations

import pytest

from sslth.errors import InvalidInputError
from sslth.experiments.cells import cell_key
from sslth.experiments.compare.ways import ROBUST_KEEP, SINGLE, WAYS, TrainingEffort, cells_of, chosen_ways, robust_keep


def cells(ways: tuple[str, ...], keep: float, effort: TrainingEffort, seeds: int = 2) -> list[dict[str, object]]:
    return cells_of(ways, keep, seeds, effort, "digits", "abc", None)


def test_every_setting_of_every_way_once_a_seed(smallest: TrainingEffort) -> None:
    made = cells(tuple(WAYS), 0.02, smallest)
    assert len({cell_key(cell) for cell in made}) == len(made)
    for way, given in WAYS.items():
        settings = [cell["settings"] for cell in made if (cell["way"], cell["keep"], cell["seed"]) == (way, 0.02, 1)]
        assert settings == list(given.candidates)


def test_more_seeds_leave_the_cells_of_the_first_as_they_are(smallest: TrainingEffort) -> None:
    few, many = cells(tuple(WAYS), 0.02, smallest), cells(tuple(WAYS), 0.02, smallest, 3)
    assert many[: len(few)] == few


def test_what_changes_a_result_changes_the_key(smallest: TrainingEffort) -> None:
    one = cells(("dense",), 0.02, smallest)[0]
    for name, value in {"epochs": 2, "finetune": 2, "fingerprint": "abd", "arch": "a:b", "data": "mnist1d"}.items():
        assert cell_key({**one, name: value}) != cell_key(one)


def test_calibration_is_judged_at_one_setting_where_members_learn(smallest: TrainingEffort) -> None:
    judged = [cell for cell in cells(tuple(WAYS), 0.02, smallest) if cell["keep"] == ROBUST_KEEP]
    assert {cell["way"] for cell in judged} == {"edge_popup", "plain_ensemble", "dro_ensemble"}
    assert all(cell["settings"].items() >= SINGLE.items() for cell in judged)  # type: ignore[attr-defined]
    assert len([cell for cell in judged if cell["way"] == "edge_popup"]) == 2  # one a seed
    assert robust_keep(("edge_popup", "dro_ensemble"), 0.02) is None
    assert robust_keep(tuple(WAYS), 0.02) == ROBUST_KEEP
    assert robust_keep(tuple(WAYS), 0.4) == 0.4
    assert {cell["keep"] for cell in cells(tuple(WAYS), 0.4, smallest)} == {0.4}


def test_names_are_put_in_order(smallest: TrainingEffort) -> None:
    assert chosen_ways(None) == tuple(WAYS)
    assert chosen_ways(" subset_sum,random ,, random") == ("random", "subset_sum")
    assert TrainingEffort.quick().epochs < TrainingEffort.full().epochs


@pytest.mark.parametrize(("text", "said"), [("gems", "no method 'gems'"), ("", "name some"), (" , ", "name some")])
def test_names_that_are_none(text: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        chosen_ways(text)
