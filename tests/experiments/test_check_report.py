"""The page of the check: it stands alone, has a section per claim, and says what the table says."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import toy_claims as toys

from sslth.errors import InvalidInputError
from sslth.experiments.check import check
from sslth.experiments.check_report import render_check, write_check
from sslth.experiments.check_table import print_check
from sslth.theory.claims import Findings, Panel, Series

ALL = toys.catalogue(
    toys.holds(1), toys.violated(2), toys.undecided(3), toys.not_testable(4), toys.failing(5), toys.computed(6, 2.0)
)
VOID = {"meta", "img", "br", "link", "hr"}


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects text, links and pictures."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.sources: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        found = {name: value or "" for name, value in attributes}
        self.sources += [found["src"]] if "src" in found else []
        self.links += [found["href"]] if "href" in found else []
        self.ids += [found["id"]] if "id" in found else []
        assert tag != "img" or found["alt"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def report():
    return check(catalogue=ALL)


@pytest.fixture(scope="module")
def source(report) -> str:
    return render_check(report, "out/my check")


def test_the_page_stands_alone(source: str) -> None:
    page = Page(source)
    assert not re.search(r"https?://|url\(|@import", re.sub(r"base64,[^\"]*", "", source))
    assert not page.tags & {"script", "link", "iframe"}
    assert len(page.sources) == 4  # a claim that failed and one without panels have no figure
    for link in page.sources:
        head, content = link.split(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(content, validate=True).startswith(b"\x89PNG")


def test_the_page_has_a_section_for_every_claim(source: str) -> None:
    page = Page(source)
    assert page.ids == [f"claim-{number}" for number in ALL]
    assert page.links == [f"#{name}" for name in page.ids]
    for claim in ALL.values():
        for said in (f"{claim.number}. {claim.name}", claim.statement, claim.source):
            assert said in page.words, said
    for said in (
        "holds", "violated", "undecided: about", "not testable here", "unnamed constant", "computed",
        "error: 1 of 4 cells failed: ValueError: no luck in this cell", "This claim has no figure.",
        "What the numbers do not show", "Two thresholds [0.1, 0.5] only.", "t = 0.1, law = uniform", "2,000",
        "The 8 statistical intervals of all claims hold together with probability 99 %", "99.875 %",
        "sslth check --quick --seed 0 --out 'out/my check'",
        "sslth check --quick --seed 0 --claim 3 --out 'out/my check'", "4 parts", "1 part.",
    ):  # fmt: skip
        assert said in page.words, said
    assert "None" not in page.words
    assert "Undefined" not in page.words


def test_text_is_escaped() -> None:
    claim = replace(toys.holds(1), name="<script>alert(1)</script>", source="<b>bold</b>")
    page = Page(render_check(check(catalogue=toys.catalogue(claim)), "<i>"))
    assert not page.tags & {"script", "b", "i", "all"}
    assert "<script>alert(1)</script>" in page.words


def test_a_figure_that_cannot_be_drawn_costs_only_itself() -> None:
    claim = toys.holds(1)

    def judge(pairs, confidence: float) -> Findings:
        return replace(claim.judge(pairs, confidence), panels=[Panel("p", "x", "y", [Series("s", [1], [1, 2])])])

    page = Page(render_check(check(catalogue=toys.catalogue(replace(claim, judge=judge)))))
    assert "The figure cannot be drawn: the series 's' has lists of unequal length" in page.words


def test_the_page_is_written_whole_or_not_at_all(report, tmp_path) -> None:
    write_check(tmp_path / "check.html", report)
    assert Page((tmp_path / "check.html").read_text(encoding="utf-8")).ids
    assert [file.name for file in tmp_path.iterdir()] == ["check.html"]
    with pytest.raises(InvalidInputError, match="cannot write"):
        write_check(tmp_path / "nowhere" / "check.html", report)


def test_the_table_has_a_row_per_claim(report) -> None:
    stream = io.StringIO()
    print_check(report, stream)
    lines = stream.getvalue().splitlines()
    assert max(len(line) for line in lines[:-1]) <= 150
    for number, words in enumerate(("holds", "violated", "undecided", "not testable here", "error", "holds"), start=1):
        (line,) = [line for line in lines if line.lstrip().startswith(f"{number} ")]
        assert words in line
    words = " ".join(" ".join(lines).split())
    assert "P(|XY| <= 0.1)" in words
    assert "at least" in words
    assert "each has confidence 99.875 % (Bonferroni)" in words
    assert "\x1b" not in words


def test_one_interval_or_none_need_no_correction() -> None:
    stream = io.StringIO()
    print_check(check(claims=[6], catalogue=ALL), stream)
    assert "Nothing was drawn" in stream.getvalue()
