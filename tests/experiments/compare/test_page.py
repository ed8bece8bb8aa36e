"""The page: whole in itself, honest about what is missing, and safe with what users name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from typing import Any

import pytest

from sslth.experiments.compare.figures import accuracy_figure, cost_figure
from sslth.experiments.compare.findings import find
from sslth.experiments.compare.job import TITLES
from sslth.experiments.compare.page import PARTS, render_page
from sslth.experiments.compare.table import FIGURES, Results, table_json
from sslth.experiments.compare.ways import WAYS
from sslth.experiments.figure_style import figure_to_png

Make = Callable[..., Results]
Made = Callable[..., dict[str, Any]]


class Page(HTMLParser):
    """Addresses, text, rows of tables, and tags that are not closed."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "srcset")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


@pytest.fixture
def rendered(results_of: Make, result: Made, wobble: Any) -> Callable[..., str]:
    def of(evaluate: Any = None, **more: Any) -> str:
        def plain(cell: Mapping[str, Any]) -> dict[str, Any]:
            controls = dict.fromkeys(("ticket", "shuffled", "redrawn", "inverted", "matched_random"), 0.5)
            return result(0.5 + wobble(cell, 0.1), barrier=None, controls=controls, connected=0.5)

        results = results_of(plain if evaluate is None else lambda cell: evaluate(cell) or plain(cell))
        table = table_json(results, 0.02)
        given = {"pictures": {}, "facts": {"data": "digits"}, "command": "sslth compare"} | more
        return render_page(table, find(results, 0.02), TITLES, **given)

    return of


def test_the_page_needs_nothing_outside_it(rendered: Callable[..., str], results_of: Make, result: Made) -> None:
    table = table_json(results_of(lambda _cell: result()), 0.02)
    pictures = {
        "accuracy": figure_to_png(accuracy_figure(table, TITLES), dpi=40),
        "cost": figure_to_png(cost_figure(table, TITLES), dpi=40),
    }
    source = rendered(pictures=pictures)
    page = Page(source)
    assert page.open == []
    assert len(page.addresses) == 2
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert not re.search(r"https?://|url\(|@import", re.sub(r"base64,[^\"]*", "", source))
    assert "default-src 'none'" in source


def test_every_way_figure_and_finding_is_there(rendered: Callable[..., str]) -> None:
    text = Page(rendered()).text
    assert [name for part in PARTS.values() for name in part] != []
    assert {name for part in PARTS.values() for name in part} == set(FIGURES)
    for way in WAYS.values():
        assert text.count(way.title) >= 2
    for part in PARTS.values():
        for head in part.values():
            assert head in text
    assert text.count("cannot be judged here") >= 2
    assert "rare gems exist" in text
    assert "SynFlow, barrier: no barrier here" in text
    assert "overlap" in text


def test_a_failed_way_is_marked_with_its_error(rendered: Callable[..., str]) -> None:
    text = Page(rendered(lambda cell: "ValueError: 1 < 2" if cell["way"] == "snip" else None)).text
    assert text.count("SNIP (failed)") == len(PARTS)
    assert "SNIP: ValueError: 1 < 2." in text
    assert text.count("(failed)") == len(PARTS)
    assert "(failed)" not in Page(rendered()).text


def test_names_of_users_are_text(rendered: Callable[..., str]) -> None:
    bad = "<script>alert(1)</script>"
    source = rendered(facts={"data": bad}, command=f"sslth compare --data '{bad}'")
    assert "<script>" not in source
    assert Page(source).text.count(bad) == 2


def test_without_findings_the_page_says_so() -> None:
    page = Page(render_page({"methods": {}}, (), TITLES, {}, {}, "sslth compare --methods dense"))
    assert "None of the findings compares the ways that were chosen." in page.text
    assert "img" not in page.tags
