"""The kinds of the studies: what they count agrees with looking at every subset, and nothing open counts as a miss."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

import sslth
from sslth.experiments.kinds import kind_named, rng_of
from sslth.experiments.kinds import random_instances as instances
from sslth.experiments.kinds import success as success_module
from sslth.experiments.kinds.smallest_n import first_hit


def evaluated(kind: str, **given: Any) -> dict[str, Any]:
    chosen = kind_named(kind)
    parameters = chosen.settings(**given).model_dump()
    assert chosen.seconds(parameters) > 0
    return dict(chosen.evaluate(parameters, rng_of(parameters)))


def best_error(samples: np.ndarray, target: np.ndarray, k: int | None = None) -> float:
    errors = [
        np.abs(np.array(mask) @ samples - target).max()
        for mask in itertools.product((0, 1), repeat=len(samples))
        if k is None or sum(mask) == k
    ]
    return float(min(errors))


@pytest.mark.parametrize(("d", "k", "epsilon"), [(1, None, 0.02), (2, None, 0.2), (1, 3, 0.03)])
def test_answers_are_those_of_all_subsets(d: int, k: int | None, epsilon: float) -> None:
    samples, targets = instances.draw_batch("gaussian", 8, d, "uniform", 30, np.random.default_rng(1))
    states = instances.answer(samples, targets, epsilon, k, None)
    wanted = [best_error(x, z, k) <= epsilon for x, z in zip(samples, targets, strict=True)]
    assert (states == instances.HIT).tolist() == wanted
    assert 0 < sum(wanted) < 30
    assert not (states == instances.OPEN).any()


def test_targets_are_where_the_settings_say() -> None:
    rng = np.random.default_rng(0)
    assert (instances.draw_batch("nsn", 3, 2, "corner", 4, rng)[1] == 1.0).all()
    assert (instances.draw_batch("nsn", 3, 2, "zero", 4, rng)[1] == 0.0).all()
    uniform = instances.draw_batch("nsn", 3, 2, "uniform", 200, rng)[1]
    assert abs(uniform).max() <= 1.0
    assert uniform.std() > 0.5


def test_success_is_the_same_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"n": 8, "d": 2, "epsilon": 0.2, "repetitions": 25}
    whole = evaluated("success", **given)
    monkeypatch.setattr(success_module, "_NUMBERS_AT_ONCE", 100)  # six instances a batch
    assert evaluated("success", **given) == whole
    assert whole["hits"] + whole["misses"] == 25
    assert whole["open"] == 0
    assert whole["hits"] > 0


def test_a_search_without_proof_is_open_and_no_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    solve_many = sslth.solve_many

    def out_of_time(*args: Any, **kwargs: Any) -> Any:
        return solve_many(*args, **(kwargs | {"solver": "sorted_pursuit"}))  # proves nothing

    monkeypatch.setattr(instances.sslth, "solve_many", out_of_time)
    counts = evaluated("success", n=10, d=2, epsilon=1e-9, repetitions=5)
    assert counts == {"hits": 0, "misses": 0, "open": 5, "repetitions": 5}
    found = evaluated("smallest_n", d=2, epsilon=1e-9, n_max=10, repetitions=3)
    assert found == {"smallest": [], "open": 3, "repetitions": 3}


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("success", {"n": 4, "d": 1, "epsilon": 0.1, "k": 5}),
        ("success", {"n": 4, "d": 1, "epsilon": 0.1, "repetitions": 0}),
        ("smallest_n", {"d": 1, "epsilon": 1.5}),
        ("layer_width", {"c_out": 2, "n": 60, "solver": "meet_in_the_middle"}),
        ("structure", {"removal": "filters", "n": 100}),
    ],
)
def test_impossible_cells_are_refused(kind: str, given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kind_named(kind).settings(**given)


@pytest.mark.parametrize("truth", range(8))
@pytest.mark.parametrize("guess", range(1, 7))
def test_first_hit_finds_the_step(truth: int, guess: int) -> None:
    asked: list[int] = []

    def state(n: int) -> int:
        asked.append(n)
        return instances.HIT if n >= truth else instances.MISS

    assert first_hit(state, guess, 6) == truth
    assert len(asked) == len(set(asked))
    assert all(0 <= n <= 6 for n in asked)


def test_smallest_n_is_where_the_first_rows_begin_to_hit() -> None:
    given = {"d": 1, "epsilon": 0.01, "n_max": 9, "repetitions": 20, "target": "corner"}
    found = evaluated("smallest_n", **given)
    parameters = kind_named("smallest_n").settings(**given).model_dump()
    rng = rng_of(parameters)
    wanted = []
    for _ in range(20):
        samples, targets = instances.draw_batch("gaussian", 9, 1, "corner", 1, rng)
        hits = [n for n in range(1, 10) if best_error(samples[0, :n], targets[0]) <= 0.01]
        wanted.append(hits[0] if hits else None)
    assert found["smallest"] == wanted
    assert None in wanted


def test_layers_nest_and_the_optimum_is_proved() -> None:
    exact = evaluated("layer_width", c_in=2, c_out=2, n=12, solver="meet_in_the_middle")
    pursuit = evaluated("layer_width", c_in=2, c_out=2, n=12, solver="sorted_pursuit")
    assert exact["proved_optimal"]
    assert exact["d"] == 2
    assert exact["entry_error"] <= pursuit["entry_error"]
    assert exact["median_entry_error"] <= pursuit["median_entry_error"]
    assert exact["floor"] == pursuit["floor"] > 0  # the same instances
    wide = evaluated("layer_width", c_in=2, c_out=2, n=256, solver="message_passing")
    assert wide["relative_error"] < pursuit["relative_error"]
    assert not wide["proved_optimal"]


def test_networks_get_closer_with_the_width() -> None:
    given = {"side": 1, "channels": 2, "depth": 2}
    narrow, wide = (evaluated("network_width", width=width, **given) for width in (16, 512))
    assert wide["relative_output_error"] < 1e-2 < narrow["relative_output_error"]
    assert wide["floor_error"] < wide["relative_output_error"]
    # two layers of two channels, 2 n filters each, and as many constants again as one channel has
    assert wide["total_filters"] == 2 * (2 + 1) * 2 * 512


def test_what_may_be_removed_orders_the_errors() -> None:
    medians = {
        removal: float(np.median(evaluated("structure", removal=removal, n=10, repetitions=12)["errors"]))
        for removal in ("linear_output", "filters_bound", "blocked", "weights", "filters")
    }
    assert medians["filters_bound"] < medians["linear_output"]
    assert medians["weights"] <= medians["blocked"]
    assert medians["filters"] > 0
