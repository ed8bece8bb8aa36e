"""Largest relative errors: exact optima by hand, each array by its own scale."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sslth.experiments.kinds.kind import rng_of
from sslth.experiments.reproduce import Setup
from sslth.experiments.reproduce.dacunha2022 import EXPERIMENT, THEIRS, evaluate
from sslth.experiments.reproduce.experiment import Outcome
from sslth.networks.lenet5 import lenet5


def test_relative_errors_by_hand(tiny: Setup) -> None:
    cell = {"epochs": 1, "n": 5, "repetition": 0, "seed": 0}
    result = evaluate(tiny, cell)
    network = tiny.images.target(lenet5, ("lenet5",), epochs=1, seed=0, progress=lambda *_: None)
    subsets = np.array(list(itertools.product([0, 1], repeat=5)), dtype=float)
    rng, errors = rng_of(cell), []
    for name in ("conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias"):
        values = network.get_parameter(name).detach().double().numpy().ravel()
        sums = rng.uniform(-1, 1, (values.size, 5, 1))[..., 0] @ subsets.T
        away = np.abs(sums - values[:, None]).min(axis=1)
        assert result["relative"][name] == pytest.approx(away.max() / np.abs(values).max())
        errors.append(away)
    errors = np.concatenate(errors)
    assert result["parameters"] == errors.size == 2572
    assert result["median"] == pytest.approx(np.median(errors))
    assert result["largest"] == pytest.approx(errors.max())


def test_rows_say_where_theirs_lies() -> None:
    outcomes = [
        Outcome(
            {"n": n},
            {"relative": {"a": scale * THEIRS[n], "b": 0.0}, "median": 1e-9, "parameters": 2572},
            0.0,
        )
        for n, scales in ((15, (0.5, 2.0, 3.0)), (20, (2.0, 3.0, 4.0)), (25, (0.1, 0.2, 0.3)), (30, (1.0, 1.0, 1.0)))
        for scale in scales
    ]
    rows = {row.quantity: row for row in EXPERIMENT.rows(outcomes)}
    inside, above, below = (rows[f"largest relative error, n = {n}"] for n in (15, 20, 25))
    assert inside.ours == pytest.approx(2 * 0.0179)
    assert "theirs lies within" in inside.note
    assert "probability 50%" in inside.note
    assert "theirs lies outside" in above.note
    assert "no better solver is the reason" in above.note
    assert "as a solver's tolerance would make it" in below.note
    assert rows["error of the median parameter, n = 30"].theirs is None
