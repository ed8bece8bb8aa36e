"""Real tickets of every form: counted, the same each time, and blind to the test part until they are finished."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from sslth.data.splits import Examples, Splits, split_arrays
from sslth.experiments.cells import result_json
from sslth.experiments.compare import cells
from sslth.experiments.compare.table import FIGURES
from sslth.experiments.compare.ways import WAYS, TrainingEffort, cells_of

KEEP = 0.3


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three blobs of 1x4x4 in place of what is named, and a network of 16-12-3."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 60)
    inputs = rng.normal(size=(3, 1, 4, 4))[labels] + 0.7 * rng.normal(size=(180, 1, 4, 4))
    data = split_arrays(inputs, labels)
    monkeypatch.setattr(cells, "_data", lambda _name, _fingerprint, _seed: data)
    monkeypatch.setattr(cells, "network_for", lambda _arch, _data: network())


def network() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 12), torch.nn.ReLU(), torch.nn.Linear(12, 3))


def cell(way: str, effort: TrainingEffort, place: int = 0, seed: int = 1) -> dict[str, Any]:
    return [one for one in cells_of([way], KEEP, 2, effort, "blobs", "abc", None) if one["seed"] == seed][place]


def without_time(result: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(result_json(result))
    plain["figures"].pop("seconds")
    return plain


@pytest.mark.parametrize("way", WAYS)
def test_a_cell_has_every_figure_and_is_the_same_each_time(way: str, smallest: TrainingEffort) -> None:
    threads = torch.get_num_threads()
    parameters = cell(way, smallest, -1)
    first = cells.evaluate_way(parameters)
    assert torch.get_num_threads() == threads
    assert without_time(cells.evaluate_way(json.loads(json.dumps(parameters)))) == without_time(first)
    assert set(first["figures"]) == set(FIGURES)
    assert set(first["reasons"]) == {name for name, value in first["figures"].items() if value is None}
    assert all(value is None or math.isfinite(value) for value in first["figures"].values())
    weights = 16 * 12 + 12 * 3
    if WAYS[way].form in ("mined", "diet"):
        assert first["figures"]["keep"] == round(KEEP * weights) / weights
    if way == "dense":
        assert first["figures"]["keep"] == 1.0
        assert first["figures"]["bytes"] == 4 * (weights + 12 + 3)
    assert first["figures"]["filters"] == {"ensemble": 45, "extracted": first["figures"]["filters"]}.get(
        WAYS[way].form, 15
    )


def test_the_test_part_moves_no_choice_and_no_ticket(monkeypatch: pytest.MonkeyPatch, smallest: TrainingEffort) -> None:
    """With other test labels everything that a choice looks at, and every ticket, is the same."""

    def blind(parameters: dict[str, Any]) -> Any:
        result = cells.evaluate_way(parameters)
        same = {name: result["figures"][name] for name in ("keep", "filters_removed", "steps", "bytes")}
        return result["validation"], same, result.get("connected"), result["figures"]["accuracy_after"]

    parameters = [cell(way, smallest) for way in WAYS if way != "subset_sum"]
    before = [blind(one) for one in parameters]
    data: Splits = cells._data("", "", 0)
    labels = (data.test.labels + 1) % 3
    other = dataclasses.replace(data, test=Examples(data.test.inputs, labels))
    monkeypatch.setattr(cells, "_data", lambda _name, _fingerprint, _seed: other)
    after = [blind(one) for one in parameters]
    assert [one[:3] for one in after] == [one[:3] for one in before]
    assert [one[3] for one in after] != [one[3] for one in before]


def test_steps_are_counted(smallest: TrainingEffort) -> None:
    def steps(way: str, **changes: Any) -> float:
        parameters = {**cell(way, smallest), **changes}
        return float(cells.evaluate_way(parameters)["figures"]["steps"])

    batches = math.ceil(len(cells._data("", "", 0).train) / 64)
    assert steps("random", finetune=3) == 3 * batches  # chosen without training
    assert steps("edge_popup", epochs=2, finetune=3) == 5 * batches
    assert steps("plain_ensemble", epochs=2, finetune=3) == 3 * 5 * batches
    assert steps("dense", epochs=2, finetune=3) == 5 * batches
    easiest, random = steps("imp_easiest"), steps("imp_random")
    assert easiest - random == 5 * 20  # the networks that tell easy from hard


def test_gems_bring_their_controls_and_subset_sums_what_they_stand_for(smallest: TrainingEffort) -> None:
    gem = cells.evaluate_way(cell("gem_miner", smallest))
    assert set(gem["controls"]) == {"ticket", "shuffled", "redrawn", "inverted", "matched_random"}
    assert gem["controls"]["ticket"] == gem["figures"]["accuracy_after"]
    wide = cells.evaluate_way({**cell("subset_sum", smallest), "width": 2048, "epochs": 4})
    assert wide["agreement"] >= 0.9
    assert wide["figures"]["accuracy_before"] == pytest.approx(wide["target_accuracy"], abs=0.1)
    assert wide["figures"]["filters_removed"] == pytest.approx(
        (1 - wide["figures"]["keep"]) * wide["figures"]["filters"]
    )


def test_seeds_and_settings_differ(smallest: TrainingEffort) -> None:
    found = [
        without_time(cells.evaluate_way(cell("random", smallest, place, seed))) for place in (0, 1) for seed in (0, 1)
    ]
    assert all(one != other for place, one in enumerate(found) for other in found[:place])
