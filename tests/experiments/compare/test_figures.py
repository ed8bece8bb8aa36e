"""Pictures of a comparison: every point stands where its number says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sslth.errors import InvalidInputError
from sslth.experiments.compare.figures import accuracy_figure, cost_figure, diagrams
from sslth.experiments.compare.table import Results, table_json
from sslth.experiments.compare.ways import WAYS
from sslth.experiments.figure_style import figure_to_png

Make = Callable[..., Results]
Made = Callable[..., dict[str, Any]]


def test_accuracies_stand_at_their_means_with_their_intervals(results_of: Make, result: Made, wobble: Any) -> None:
    def evaluate(cell: Any) -> Any:
        after = None if cell["way"] == "subset_sum" else 0.7 + wobble(cell, 0.1)
        return "ValueError: no" if cell["way"] == "snip" else result(after, accuracy_before=0.2 + wobble(cell, 0.1, 1))

    table = table_json(results_of(evaluate), 0.02)
    axes = accuracy_figure(table, {"imp": "IMP"}).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(labels) == len(WAYS) - 1
    assert "IMP (2 % kept)" in labels
    assert not any("snip" in label for label in labels)
    ways = [way for way in WAYS if way != "snip"]
    for container, name in zip(axes.containers, ("accuracy_before", "accuracy_after"), strict=True):
        drawn = [way for way in ways if table["methods"][way][name]]
        x, y = container.lines[0].get_data()
        assert np.allclose(x, [100 * table["methods"][way][name]["mean"] for way in drawn])
        assert [round(float(place)) for place in y] == [ways.index(way) for way in drawn]
        ends = [segment[:, 0] for segment in container.lines[2][0].get_segments()]
        assert np.allclose(ends, [np.multiply(100, table["methods"][way][name]["interval"]) for way in drawn])


def test_costs_stand_at_their_means(results_of: Make, result: Made) -> None:
    table = table_json(results_of(lambda cell: result(bytes=100.0 + 10 * len(cell["way"]), seconds=0.25)), 0.02)
    figure = cost_figure(table, {})
    for axes, name in zip(figure.axes, ("bytes", "steps", "seconds"), strict=True):
        assert axes.get_xscale() == "log"
        assert np.allclose(axes.lines[0].get_xdata(), [entry[name]["mean"] for entry in table["methods"].values()])
        low, high = axes.get_xlim()
        assert low < axes.lines[0].get_xdata().min() <= axes.lines[0].get_xdata().max() < high
    assert figure_to_png(figure, dpi=40) == figure_to_png(cost_figure(table, {}), dpi=40)


def test_nothing_to_draw(results_of: Make) -> None:
    table = table_json(results_of(lambda _cell: "ValueError: no"), 0.02)
    with pytest.raises(InvalidInputError, match="no method has an accuracy"):
        accuracy_figure(table, {})
    with pytest.raises(InvalidInputError, match="no method has bytes"):
        cost_figure(table, {})


def test_diagrams_are_those_of_all_seeds_together(results_of: Make, result: Made) -> None:
    results = results_of(lambda _cell: result(), ("dense", "snip"))
    found = diagrams(results, 0.02, {"dense": "nothing pruned"})
    assert list(found) == ["nothing pruned", "snip"]
    assert found["snip"].counts.tolist() == [5, 15]
    assert found["snip"].right.tolist() == [0, 15]
    assert found["snip"].error == pytest.approx(0.25)
