"""Weights by subset sums: exact optima by hand, and what the rows say."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from sslth.experiments.kinds.kind import rng_of
from sslth.experiments.reproduce import Setup
from sslth.experiments.reproduce.experiment import Outcome
from sslth.experiments.reproduce.pensia2020 import EXPERIMENT, _share, evaluate
from sslth.networks.two_layer import two_layer

CELL = {"hidden": 2, "epochs": 1, "n": 6, "epsilon": 0.01, "seed": 0}
SUBSETS = np.array(list(itertools.product([0, 1], repeat=6)), dtype=float)


def layers(tiny: Setup) -> list[np.ndarray]:
    network = tiny.images.target(
        lambda: two_layer(2), ("two_layer", 2), epochs=1, seed=0, progress=lambda *_: None
    )  # fmt: skip
    return [weights.detach().double().numpy() for weights in network.parameters()]


@pytest.mark.parametrize("sampling", ["row", "their_range", "weight"])
def test_smallest_errors_are_those_of_all_subsets(sampling: str, tiny: Setup) -> None:
    cell = CELL | {"sampling": sampling, "goal": "smallest"}
    result = evaluate(tiny, cell)
    weights = layers(tiny)
    widest = (min(w.min() for w in weights), max(w.max() for w in weights))
    low, high = {"row": widest, "their_range": (-0.46423155069351196, 0.5407021641731262), "weight": (-1, 1)}[sampling]
    rng = rng_of({key: value for key, value in cell.items() if key != "goal"})
    errors, kept = [], []
    for row in itertools.chain(*weights):
        samples = rng.uniform(low, high, (row.size, 6, 1) if sampling == "weight" else (6, 1))[..., 0]
        sums = samples @ SUBSETS.T
        away = np.abs((sums if sampling == "weight" else sums[None]) - row[:, None])
        errors.append(away.min(axis=1))
        kept.append(int(SUBSETS[away.argmin(axis=1)].sum()))
    errors = np.concatenate(errors)
    assert result["largest_error"] == pytest.approx(errors.max())
    assert result["misses"] == int((errors > 0.01).sum()) > 0
    assert result["kept_by_row"] == kept
    assert result["weights_by_row"] == [784, 784] + [2] * 10
    assert 0 <= result["accuracy_after"] <= 1


@pytest.mark.needs_jit
def test_the_first_fit_is_within_the_tolerance_and_misses_are_the_same(tiny: Setup) -> None:
    for n, missed in ((6, True), (16, False)):
        cell = CELL | {"n": n, "sampling": "row"}
        first, smallest = (evaluate(tiny, cell | {"goal": goal}) for goal in ("first", "smallest"))
        assert first["misses"] == smallest["misses"]
        assert (first["misses"] > 0) is missed
        if not missed:
            assert smallest["largest_error"] < first["largest_error"] <= 0.01


def test_weights_beyond_the_samples_range_are_counted(tiny: Setup) -> None:
    cell = CELL | {"sampling": "weight", "goal": "smallest"}
    network = tiny.images.target(lambda: two_layer(2), ("two_layer", 2), epochs=1, seed=0, progress=print)
    before = float(network.linear2.weight.detach()[0, 0])
    try:
        network.linear2.weight.data[0, 0] = 50.0
        result = evaluate(tiny, cell)
        assert result["outside"] == 1
        assert result["misses"] >= 1
        assert result["largest_error"] > 50 - 6
        assert evaluate(tiny, cell | {"sampling": "row"})["outside"] == 0
    finally:
        network.linear2.weight.data[0, 0] = before


def test_the_share_has_rows_as_its_units() -> None:
    share, error = _share([30, 50, 40], [10, 10, 10], 10)
    assert share == 0.4
    assert error == pytest.approx(np.std([0.3, 0.5, 0.4], ddof=1) / math.sqrt(3))


def test_rows_for_every_way() -> None:
    result = {
        "seconds": 2.0, "kept_by_row": [45, 44], "weights_by_row": [10, 10], "largest_error": 0.002, "misses": 0,
        "smallest_weight": -0.2, "largest_weight": 0.3, "outside": 0, "accuracy_before": 0.9, "accuracy_after": 0.89,
    }  # fmt: skip
    outcomes = [
        Outcome({"sampling": sampling, "goal": goal, "n": 10, "epsilon": 0.01}, result, 1.0)
        for sampling in ("row", "their_range", "weight")
        for goal in ("smallest", "first")
    ]
    rows = {row.quantity: row for row in EXPERIMENT.rows(outcomes)}
    share = rows["share of samples kept; in common, smallest error"]
    assert share.theirs == pytest.approx(0.44691, abs=1e-5)
    assert share.ours == pytest.approx(0.445)
    assert share.note.startswith("theirs lies within")
    assert rows["weights approximated"].theirs == 397_000
    assert rows["change of accuracy, percentage points"].ours == pytest.approx(-1.0)
    assert rows["weights without a fit; own U[-1, 1], smallest error"].theirs is None
