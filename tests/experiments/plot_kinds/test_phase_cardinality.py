"""The heat map over n and k: lines at known places, kept apart by panel, and a picture."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sslth.errors import InvalidInputError
from sslth.experiments.plot_kinds.heat_map import counts_over, crossing, measured_half
from sslth.experiments.plot_kinds.phase_cardinality import PLOT, rfss_constant, rfss_width
from sslth.experiments.store import Row


def _row(n: int, k: int | None, hits: int, d: int = 1, seed: int = 0, left_open: int = 0) -> Row:
    parameters: dict[str, Any] = {"kind": "success", "law": "gaussian", "target": "zero", "d": d, "n": n, "k": k}
    parameters |= {"epsilon": 0.25, "seed": seed}
    result = {"hits": hits, "misses": 10 - hits - left_open, "open": left_open, "repetitions": 10}
    return Row(f"{n}-{k}-{d}-{seed}", parameters, result, None, 0.1)


def test_half_is_where_the_share_rises_through_one_half() -> None:
    rows = [
        _row(n, k, hits)
        for k, shares in ((1, (0, 5, 10)), (2, (2, 4, 8)))
        for n, hits in zip((4, 6, 8), shares, strict=True)
    ]
    points = PLOT.table(rows)
    half = measured_half(counts_over(points, "k"), [1, 2])
    assert half == {1: pytest.approx(6.0), 2: pytest.approx(6.5)}
    assert crossing([1, 2], [0.6, 0.9]) is None


def test_seeds_are_added_up_and_open_instances_do_not_count_as_misses() -> None:
    points = PLOT.table([_row(4, 1, 3), _row(4, 1, 5, seed=1, left_open=2)])
    assert counts_over(points, "k") == {(1, 4): (8, 18, 2)}


def test_the_theorem_asks_for_what_was_measured_and_no_less() -> None:
    half: dict[int, float | None] = {2: 9.0, 3: 8.0, 4: None}
    constant = rfss_constant(half, 1e-2)
    assert constant is not None
    for k, n in half.items():
        if n is not None:
            asked = rfss_width(k, 1e-2, constant)
            assert asked is not None
            assert asked >= n - 1e-9
    smaller = [rfss_width(k, 1e-2, 0.9 * constant) for k in (2, 3)]
    assert any(asked is not None and asked < n for asked, n in zip(smaller, (9.0, 8.0), strict=True))
    assert rfss_width(0, 1e-2, 1.0) is None
    assert rfss_width(1, 1e-2, math.inf) is None


def test_a_panel_for_each_dimension_and_a_summary_of_its_lines() -> None:
    rows = [_row(n, k, min(10, n), d=d) for d in (1, 2) for k in (1, 2) for n in (4, 6, 8)]
    rows.append(_row(6, None, 1))  # without fixed cardinality: another figure's
    points = PLOT.table(rows)
    figure = PLOT.draw(points)
    assert len([axes for axes in figure.axes if axes.get_xlabel() == "cardinality k"]) == 2
    first, second = PLOT.summary(points)["transitions"]
    assert (first["d"], second["d"]) == (1, 2)
    assert first["half"]["1"] == pytest.approx(5.0)
    assert first["least_constant"] is not None
    assert second["least_constant"] is None


def test_too_many_panels_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="at most 4"):
        PLOT.draw(PLOT.table([_row(4, 1, 3, d=d) for d in range(1, 7)]))
