"""Figures of claims: what is in them, and that nothing of the data makes them fail."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest

from sslth.errors import InvalidInputError
from sslth.experiments.claim_figures import draw_claim
from sslth.experiments.figure_style import figure_to_png
from sslth.theory.claims import Panel, Series

MEASURED = Series("measured", [1, 2, 4], [0.5, 0.7, 0.9], [0.4, 0.6, 0.8], [0.6, 0.8, 0.95])
BOUND = Series("the claim", [4, 1, 2], [0.6, 0.2, 0.3], role="bound")
THEORY = Series("theory", [1, 4], [0.5, 0.9], role="theory")


def panel(*series: Series, **settings: Any) -> Panel:
    return Panel("Hits against n", "n", "probability", series, **settings)


def test_points_have_bars_the_bound_is_dashed_theory_a_line() -> None:
    axes = draw_claim([panel(MEASURED, BOUND, THEORY)]).axes[0]
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert lines["the claim"].get_linestyle() == "--"
    assert lines["theory"].get_linestyle() == "-"
    assert list(lines["the claim"].get_xdata()) == [1, 2, 4]  # lines are drawn from left to right
    (points,) = axes.containers
    (bars,) = points.lines[2]
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    assert ends == pytest.approx(np.array([[0.4, 0.6], [0.6, 0.8], [0.8, 0.95]]))
    assert points.lines[0].get_linestyle() == "None"
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {"measured", "the claim", "theory"}
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("n", "probability", "Hits against n")


def test_a_bound_of_its_own_has_the_colour_of_its_points() -> None:
    pairs = [Series(f"{role} {k}", [1, 2], [k, k], role=role) for k in (1, 2) for role in ("measured", "bound")]
    axes = draw_claim([panel(*pairs)]).axes[0]
    colours = {line.get_label(): line.get_color() for line in axes.get_lines()}
    points = {points.get_label(): points.lines[0].get_color() for points in axes.containers}
    assert colours["bound 1"] == points["measured 1"] != points["measured 2"] == colours["bound 2"]


def test_ticks_are_numbers_that_people_write() -> None:
    short = Series("short", [20, 60, 200], [11, 15, 19])
    axes = draw_claim([panel(short, log_x=True)]).axes[0]
    axes.figure.draw_without_rendering()
    assert {label.get_text() for label in axes.get_xticklabels()} >= {"20", "50", "100", "200"}
    assert all(float(tick).is_integer() for tick in axes.get_yticks())
    few = Series("few", [1, 2, 3, 4], [1, 2, 3, 4])
    axes = draw_claim([panel(few, log_x=True)]).axes[0]
    axes.figure.draw_without_rendering()
    assert {label.get_text() for label in axes.get_xticklabels()} >= {"1", "2", "3", "4"}
    long = Series("long", [1e-8, 1.0], [1, 2])
    axes = draw_claim([panel(long, log_x=True)]).axes[0]
    axes.figure.draw_without_rendering()
    assert any("10^" in label.get_text() for label in axes.get_xticklabels())


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_every_panel_has_its_place(number: int) -> None:
    figure = draw_claim([panel(MEASURED, log_x=True, log_y=True)] * number, title="A claim")
    assert len(figure.axes) == number
    assert {axes.get_xscale() for axes in figure.axes} == {axes.get_yscale() for axes in figure.axes} == {"log"}
    assert figure_to_png(figure, dpi=40).startswith(b"\x89PNG")


@pytest.mark.parametrize("log_y", [False, True])
def test_what_axes_cannot_show_is_counted(log_y: bool) -> None:
    odd = Series("odd", [1, 2, 3, 4], [0.0, 1.0, math.inf, math.nan], [0.0, 0.5, 1, 1], [math.inf] * 4)
    axes = draw_claim([panel(odd, log_y=log_y)]).axes[0]
    (text,) = axes.get_legend().get_texts()
    assert text.get_text() == f"odd ({3 if log_y else 2} not shown)"
    low, high = axes.get_ylim()
    assert -1 < low < 1 < high < 3
    figure_to_png(axes.figure, dpi=40)


@pytest.mark.parametrize(
    "series",
    [
        [],
        [Series("empty", [], [])],
        [Series("one bound", [1], [2], role="bound"), Series("one point", [1], [3], [2], [4])],
        [Series("many", list(range(5000)), [1.0] * 5000)],
        [Series(f"series {k}", [1, 2], [k, k + 1], role=role) for k in range(9) for role in ("measured", "theory")],
        [Series("same", [3, 3], [1, 2])],
    ],
)
def test_unusual_data_are_drawn_all_the_same(series: list[Series]) -> None:
    for log in (False, True):
        assert figure_to_png(draw_claim([panel(*series, log_x=log, log_y=log)]), dpi=40)


def test_the_same_figure_is_the_same_file() -> None:
    first, second = io.BytesIO(), io.BytesIO()
    for stream in (first, second):
        draw_claim([panel(MEASURED, BOUND)], "A title", stream, "svg")
    assert first.getvalue() == second.getvalue()


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ([], "no panel"),
        ([panel(Series("s", [1], [1], role="guess"))], "has the role 'guess'"),
        ([panel(Series("s", [1, 2], [1]))], "lists of unequal length"),
        ([panel(Series("s", [1, 2], [1, 2], [1], [2]))], "lists of unequal length"),
        ([panel(Series("s", [1], [1], [1]))], "lists of unequal length"),
    ],
)
def test_what_is_no_panel_is_one_sentence(panels: list[Panel], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        draw_claim(panels)
