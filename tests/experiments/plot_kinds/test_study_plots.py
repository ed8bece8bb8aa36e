"""The plots of the studies: tables from cells in any order, figures that can be saved, and numbers in summaries."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sslth.errors import InvalidInputError
from sslth.experiments.figure_style import save_figure
from sslth.experiments.grid import run_grid
from sslth.experiments.grid_file import make_grid
from sslth.experiments.kinds import rng_of
from sslth.experiments.plot_kinds import plot_kind_named
from sslth.experiments.plot_kinds.cardinality import binary_entropy
from sslth.experiments.plot_kinds.heat_map import crossing
from sslth.experiments.plot_kinds.layer_width import nsn_error
from sslth.experiments.plots import plot_store
from sslth.experiments.store import Row, Store

GRIDS: dict[str, list[dict[str, Any]]] = {
    "phase": [
        {
            "kind": "success",
            "target": "corner",
            "epsilon": 0.25,
            "repetitions": 30,
            "grid": {"d": [1, 2], "n": [2, 4, 6, 8, 10, 12]},
        }
    ],
    "cardinality": [
        {"kind": "success", "target": "zero", "d": 1, "n": 12, "epsilon": 0.01, "grid": {"k": [1, 3, 6, 9, 11]}}
    ],
    "exponents": [{"kind": "smallest_n", "target": "corner", "epsilon": 0.25, "grid": {"d": [1, 2, 3]}}],
    "layer-width": [
        {"kind": "layer_width", "c_out": 2, "n": 10, "grid": {"solver": ["meet_in_the_middle"], "repetition": [0, 1]}},
        {"kind": "layer_width", "c_out": 2, "grid": {"n": [10, 40], "repetition": [0, 1]}},
        {"kind": "network_width", "side": 1, "channels": 2, "grid": {"width": [64, 128]}},
    ],
    "width-exponents": [
        {
            "kind": "network_width",
            "depth": 1,
            "grid": {"width": [512, 1024], "side": [1, 3], "channels": [1, 2], "repetition": [0, 1, 2]},
        }
    ],
    "frontier": [
        {"kind": "structure", "repetitions": 12, "grid": {"removal": ["blocked", "weights"], "n": [16, 32]}},
        {"kind": "structure", "repetitions": 40, "grid": {"removal": ["filters_bound"], "n": [16, 64, 256]}},
        {"kind": "structure", "repetitions": 12, "grid": {"removal": ["filters", "linear_output"], "n": [6, 8]}},
    ],
}


def rows_of(grids: list[dict[str, Any]]) -> list[Row]:
    with Store(":memory:") as store:
        for content in grids:
            grid = make_grid(content)

            def evaluate(cell: Mapping[str, Any], kind: Any = grid.kind) -> Mapping[str, Any]:
                result: Mapping[str, Any] = kind.evaluate(cell, rng_of(cell))
                return result

            run_grid(grid.cells, evaluate, store)
        return list(store.rows())


@pytest.fixture(scope="module")
def rows() -> dict[str, list[Row]]:
    return {name: rows_of(grids) for name, grids in GRIDS.items()}


@pytest.mark.parametrize("name", GRIDS)
def test_tables_do_not_depend_on_order_and_figures_can_be_saved(name: str, rows: dict[str, list[Row]]) -> None:
    plot = plot_kind_named(name)
    some = rows[name]
    assert all(row.error is None for row in some)
    assert {row.parameters["kind"] for row in some} <= set(plot.kinds_of_cells)
    failed = Row("f" * 64, some[0].parameters, None, "ValueError: x", 0.1)
    table = plot.table(some)
    assert table
    assert plot.table([*reversed(some), failed]) == table
    assert len({tuple(sorted(point)) for point in table}) == 1
    json.dumps(table, allow_nan=False)
    json.dumps(dict(plot.summary(table)), allow_nan=False)
    stream = io.BytesIO()
    save_figure(plot.draw(table), stream)
    assert stream.getvalue().startswith(b"\x89PNG")


def test_phase_places_the_lines(rows: dict[str, list[Row]]) -> None:
    plot = plot_kind_named("phase")
    table = plot.table(rows["phase"])
    (found,) = plot.summary(table)["transitions"]
    for d in ("1", "2"):
        assert abs(found["half"][d] - found["counting"][d]) < 3
        if found["paley_zygmund"][d] is not None:
            assert found["paley_zygmund"][d] > found["half"][d] - 1
        assert found["theorem"][d] >= found["half"][d] * (1 - 1e-12)
    assert min(found["theorem"][d] - found["half"][d] for d in ("1", "2")) == pytest.approx(0, abs=1e-9)
    assert all(point["low"] <= point["share"] <= point["high"] for point in table)
    assert all(point["paley_zygmund"] <= point["high"] for point in table)  # 12 intervals at 99 %, fixed seed


def test_crossing_takes_the_last_rise() -> None:
    assert crossing([2, 4, 6], [0.0, 0.25, 0.75]) == 5.0
    assert crossing([2, 4, 6, 8], [0.4, 0.6, 0.4, 0.6]) == pytest.approx(7.0)
    assert crossing([2, 4], [0.6, 0.9]) is None
    assert crossing([], []) is None


def test_exponent_lies_below_the_theorem(rows: dict[str, list[Row]]) -> None:
    plot = plot_kind_named("exponents")
    (found,) = plot.summary(plot.table(rows["exponents"]))["series"]
    assert found["interval"][1] < 2.5 < 3.0 < found["theorem_exponent"]
    assert found["interval"][0] <= found["counting_exponent"] <= found["interval"][1]
    assert found["open"] == 0
    assert "d = 1 to 3" in found["sentence"]


def test_pursuit_needs_a_width_in_proportion_to_d(rows: dict[str, list[Row]]) -> None:
    plot = plot_kind_named("width-exponents")
    (law,) = plot.summary(plot.table(rows["width-exponents"]))["laws"]
    side, low, high = law["exponents"]["side"]
    assert low < side < high
    assert 0.5 < side < 4.0
    assert all(found["width"][1] <= found["width"][0] <= found["width"][2] for found in law["extrapolated"])


def test_frontier_orders_neurons_and_weights(rows: dict[str, list[Row]]) -> None:
    plot = plot_kind_named("frontier")
    fits = {fit["removal"]: fit for fit in plot.summary(plot.table(rows["frontier"]))["fits"]}
    low, high = fits["filters_bound"]["interval"]
    assert low < -0.5
    assert high < 0
    assert fits["filters_bound"]["fit"] == "power of n"
    assert fits["weights"]["value"] < 0
    assert fits["weights"]["fit"] == "bits a neuron"


def test_the_theorem_of_one_layer_is_its_own_inverse() -> None:
    error = nsn_error(1e5, 4, 0.3)
    assert (0.3 * 4**3 * np.log(4 / error)) ** 2 == pytest.approx(1e5)


def test_binary_entropy_is_symmetric() -> None:
    x = np.linspace(0.01, 0.5, 20)
    assert binary_entropy(x) == pytest.approx(binary_entropy(1 - x))
    assert float(binary_entropy(0.25)) == pytest.approx(0.811278, abs=1e-6)


def test_a_store_of_another_kind_says_what_could_draw_it(tmp_path: Path) -> None:
    with Store(tmp_path / "cells.db") as store:
        store.put({"kind": "success"}, {"hits": 1}, seconds=1.0)
    with pytest.raises(InvalidInputError, match=r"and has 0 of them, 0 failed; cardinality or phase .*could draw"):
        plot_store("frontier", tmp_path / "cells.db", tmp_path / "picture.png")
    assert not (tmp_path / "picture.png").exists()
