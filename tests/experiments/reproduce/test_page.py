"""The page holds everything, and needs nothing from outside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sslth.experiments.reproduce import Reproduced, Row, experiment_named
from sslth.experiments.reproduce.page import comparable, draw_ratios, render_page, write_page

ROWS = [
    Row("failures <b>", 0.004, 0.0041, (0.0036, 0.0047), "a & b"),
    Row("errors", 1e-3, 2e-9, (0.0, 1e-6), ""),
    Row("nothing of theirs", None, 3.0, None, "only ours"),
    Row("zero", 0.0, 0.0, None, "no ratio"),
]


def done(rows: list[Row]) -> Reproduced:
    experiment = replace(experiment_named("burkholz2022"), title="A <title>")
    return Reproduced(experiment, rows, ["the data differ"], 1.5, [])


def test_the_page(tmp_path: Path) -> None:
    page = render_page([done(ROWS)], {"seed": 7}, "sslth reproduce all")
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
    for text in ("failures &lt;b&gt;", "a &amp; b", "A &lt;title&gt;", "the data differ", "seed 7", "0.0036 to 0.0047"):
        assert text in page
    assert page.count("data:image/png;base64,") == 1
    write_page(tmp_path / "p.html", [done(ROWS)], {"seed": 7}, "sslth reproduce all")
    assert (tmp_path / "p.html").read_text(encoding="utf-8") == page


def test_what_can_be_drawn(tmp_path: Path) -> None:
    assert [row.quantity for row in comparable(ROWS)] == ["failures <b>", "errors"]
    axes = draw_ratios(ROWS, "t", tmp_path / "a.png").axes[0]
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["failures <b>", "errors"]
    assert draw_ratios(ROWS[:1], "t").axes[0].get_xscale() == "linear"
    assert "no row" in draw_ratios(ROWS[2:], "t").axes[0].texts[0].get_text()
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
