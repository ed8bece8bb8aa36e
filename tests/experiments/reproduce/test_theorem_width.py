"""The theorem's width beside the search's."""

from __future__ import annotations

import math

import pytest

from sslth.experiments.reproduce import Setup
from sslth.experiments.reproduce.experiment import Outcome
from sslth.experiments.reproduce.theorem_width import EXPERIMENT, evaluate, needed_width, theorem_width


def test_the_formula() -> None:
    shapes = [(3, 8), (3, 16), (1, 10)]
    by_hand = 3**12 * 16**6 * math.log(9 * 16 * 3 / 0.1) ** 3
    assert theorem_width(shapes, 0.1) == pytest.approx(by_hand)
    assert theorem_width(shapes, 0.1, constant=2.0) == pytest.approx(2 * by_hand)
    assert theorem_width(shapes, 0.1, kernel_exponent=13.0) == pytest.approx(3 * by_hand)
    assert theorem_width(shapes, 0.01) > by_hand
    assert theorem_width([(1, 10)], 0.1) == pytest.approx(1e6 * math.log(100) ** 3)


def test_the_needed_width_is_that_from_which_on_it_suffices() -> None:
    errors = {64: 0.5, 128: 0.09, 256: 0.2, 512: 0.1, 1024: 0.01}
    assert needed_width(errors, 0.1) == 512
    assert needed_width(errors, 1.0) == 64
    assert needed_width(errors, 0.001) is None
    assert needed_width({64: math.inf, 128: math.nan}, 1.0) is None


def result(held_out: float, certified: float | None) -> dict:
    shapes, norms = [[3, 8], [1, 10]], [math.log(10.0), math.log(20.0)]
    return {"held_out": held_out, "certified": certified, "largest_logit": 14.0, "shapes": shapes, "log_norms": norms}


def test_rows() -> None:
    errors = {(64, 0): (2.0, None), (128, 0): (0.5, 3.0), (256, 0): (0.05, 0.6),
              (64, 1): (0.9, 5.0), (128, 1): (0.2, 2.0), (256, 1): (0.06, 0.9)}  # fmt: skip
    outcomes = [
        Outcome({"width": width, "network": network}, result(*pair), 1.0) for (width, network), pair in errors.items()
    ]
    rows = {row.quantity: row for row in EXPERIMENT.rows(outcomes)}
    held_out = rows["width for error 1, held-out images"]
    assert held_out.theirs == pytest.approx(theorem_width([(3, 8), (1, 10)], 1.0))
    assert (held_out.ours, held_out.interval) == (96.0, (0.0, 128.0))
    proved = rows["width for error 1, proved, whole box"]
    assert (proved.ours, proved.interval) == (256.0, (128.0, 256.0))
    unreached = rows["width for error 0.1, proved, whole box"]
    assert unreached.ours is None
    assert "smallest error is 0.6" in unreached.note
    scaled = rows["theorem's width, normalised, error 0.1"]
    assert scaled.theirs == pytest.approx(theorem_width([(3, 8), (1, 10)], 0.1 / 200.0))


def test_one_cell_for_real() -> None:
    found = evaluate(Setup(), {"epochs": 1, "width": 64, "network": 0, "seed": 0})
    assert found["shapes"] == [(3, 8), (3, 16), (1, 10)]
    assert len(found["log_norms"]) == 3
    assert 0 < found["held_out"] <= found["certified"] < math.inf
    assert found["attained"] <= found["certified"]
