"""The report: one page that stands alone, says only what the summary says, and never crashes on what is missing."""

import base64
import re
from html.parser import HTMLParser

import pytest
from jinja2 import Environment, PackageLoader

from sslth.errors import InvalidInputError
from sslth.experiments.figures import draw_layer_errors, figure_to_png
from sslth.experiments.report import number, render_report, seconds, size, write_report

SUMMARY = {
    "target_accuracy": 0.972,
    "ticket_accuracy": 0.969,
    "agreement": 0.997,
    "relative_output_error": 0.0021,
    "max_output_error": 0.054,
    "certified_upper": 1.75,
    "certified_upper_reason": None,
    "attained_lower": 0.25,
    "float32_error": 3e-5,
    "kernel_error": {"conv1": 1.5e-4},
    "gain": {"conv1": 31.0},
    "width": 4096,
    "kept_filters": 35013,
    "total_filters": 622592,
    "ticket_bytes": 61234,
    "target_bytes": 8032,
    "seconds": {"extract": 1.25, "error_vs_width": 5.0},
    "versions": {"numpy": "2.4.6"},
    "seed": 0,
    "low": 0.0,
    "high": 1.0,
    "evaluated_on": "360 held-out images",
    "layers": [
        {"name": "conv1", "kind": "conv2d", "blocks": 2, "d": 72, "width": 4096, "gain": 31.0, "kept": 1200,
         "total": 16384, "kernel_error": 1.5e-4, "signs": "+"},
    ],
}  # fmt: skip
DEPLOYED = {
    "batch": 16,
    "threads": 2,
    "networks": {
        "target": {"parameters": 1898, "multiply_adds": 48_000, "seconds": 2.5e-4, "runs": 7, "bytes": 8032},
        "random": {"parameters": 9_000_000, "multiply_adds": 7_000_000_000, "seconds": None, "runs": 0,
                   "not_timed": "too large to be drawn as a whole", "bytes": 36_000_000},
        "wide": {"parameters": 2_345_678, "multiply_adds": 88_000_000, "seconds": 1.75, "runs": 5, "bytes": 9_400_000},
        "merged": {"parameters": 1901, "multiply_adds": 48_001, "seconds": 2.6e-4, "runs": 7, "bytes": 8033},
    },
    "layers": [{"name": f"stage.{i}", **{form: {"parameters": 10 + i, "multiply_adds": 1000 + i}
                for form in ("target", "random", "wide", "merged")}} for i in range(20)],
    "times": {"parameters": 1235.9, "multiply_adds": 1833.3, "bytes": 1170.3},
    "in_words": "The wide form has 1,236 times the target's weights.",
}  # fmt: skip
VOID = {"meta", "img", "br", "link", "hr"}


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects text and links."""

    def __init__(self, source):
        super().__init__()
        self.open, self.text, self.sources, self.tags = [], [], [], set()
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]
        if tag == "img":
            assert dict(attributes)["alt"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def picture():
    return figure_to_png(draw_layer_errors({"conv1": 1.5e-4}), dpi=50)


def test_the_page_stands_alone_and_has_its_pictures(tmp_path, picture):
    names = ("kept_filters", "kernels", "layer_errors", "error_vs_width", "something_else")
    write_report(tmp_path / "report.html", SUMMARY, dict.fromkeys(names, picture), "make demo --width 4096")
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(source)
    assert not re.search(r"https?://|//[a-z]|url\(|@import", re.sub(r"base64,[^\"]*", "", source))
    assert not page.tags & {"script", "link", "iframe"}
    assert len(page.sources) == 5
    for link in page.sources:
        head, content = link.split(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(content, validate=True) == picture
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_the_page_says_what_the_summary_says():
    words = Page(render_report(SUMMARY, {}, "make demo --width 4096")).words
    for said in (
        "width 4,096", "seed 0", "35,013 of 622,592", "0.0021", "360 held-out images", "99.70 %", "97.20 %", "96.90 %",
        "more than 1.75", "0.054", "0.25", "3.00 × 10⁻⁵", "conv1", "1.50 × 10⁻⁴", "61,234 bytes", "8,032 bytes",
        "1.25 s",
        "numpy 2.4.6", "make demo --width 4096", "between 0 and 1", "larger and slower than the target", "merged",
    ):  # fmt: skip
        assert said in words, said


def test_headings_come_in_reading_order(picture):
    source = render_report(SUMMARY, {"kept_filters": picture}, "make demo")
    headings = re.findall(r"<h2>(.*?)</h2>", source)
    assert headings == [
        "What was kept", "Accuracy", "Output error, attained and proved", "Layer by layer", "Error against width",
        "Sizes", "Times", "Make it again",
    ]  # fmt: skip


@pytest.mark.parametrize("gone", [*SUMMARY, "everything"])
@pytest.mark.parametrize("how", ["missing", "None"])
def test_what_is_missing_reads_not_measured(gone, how):
    names = list(SUMMARY) if gone == "everything" else [gone]
    summary = {name: value for name, value in SUMMARY.items() if name not in names}
    if how == "None":
        summary |= dict.fromkeys(names)
    words = Page(render_report(summary, {}, "make demo")).words
    assert "None" not in words
    assert "Undefined" not in words
    if gone in ("target_accuracy", "agreement", "width", "seed", "ticket_bytes", "attained_lower", "everything"):
        assert "not measured" in words


def test_a_layer_may_know_little():
    words = Page(render_report(SUMMARY | {"layers": [{"name": "conv1", "gain": None}]}, {}, "make demo")).words
    assert "conv1 not measured" in words


def test_no_bound_says_why_and_no_labels_says_so():
    summary = SUMMARY | {"certified_upper": None, "certified_upper_reason": "forward cannot be traced"}
    words = Page(render_report(summary | {"target_accuracy": None, "ticket_accuracy": None}, {}, "make demo")).words
    assert "No bound for all inputs was proved: forward cannot be traced." in words
    assert "No labels were given" in words


def test_what_is_carried_over_and_a_loose_proof_stand_at_the_top() -> None:
    def head(page: str) -> str:
        return Page(page).words.split("What was kept")[0]

    plain = head(render_report(SUMMARY, {}, "make demo"))
    assert "Carried over" not in plain
    assert "loose" not in plain
    page = render_report(SUMMARY | {"carried_over": ["norm", "<i>"], "loose": True}, {}, "make demo")
    assert "Carried over unchanged: norm, <i>. The weights of these modules are the target's own" in head(page)
    assert "loose at this depth : more than 1,000 times what a search for the worst input attained" in head(page)
    assert "<i>" not in page


def test_errors_with_and_without_compensation_stand_side_by_side() -> None:
    note = {
        "matched": "channel means",
        "output_error": {"with": 0.0125, "without": 0.375, "inputs": 256, "on": "example_input"},
    }
    page = render_report(SUMMARY | {"settings": {"compensation": note}}, {}, "make demo")
    assert "Compensation" in page
    assert "0.0125" in page
    assert "0.375" in page
    refitted = {
        "matched": "calibration",
        "inputs": 64,
        "output_error": {"with": 0.01, "without": None, "inputs": 64, "on": "calibration"},
    }
    page = render_report(SUMMARY | {"settings": {"compensation": refitted}}, {}, "make demo")
    assert "64 calibration inputs" in page
    assert "a second search" in page
    plain = {"matched": "weights", "because": "<compensate=False>"}
    page = render_report(SUMMARY | {"settings": {"compensation": plain}}, {}, "make demo")
    assert "own weights: &lt;compensate=False&gt;" in page
    assert "Compensation" not in render_report(SUMMARY, {}, "make demo")


def test_text_is_escaped():
    summary = SUMMARY | {"evaluated_on": "<script>alert(1)</script>", "versions": {"<b>": "<i>"}}
    page = Page(render_report(summary, {"<u>": b"\x89PNG"}, "make <demo> && true", title="<h1>", asked="<s>?"))
    assert not page.tags & {"script", "b", "i", "u", "demo", "s"}
    assert "make <demo> && true" in page.words


def test_an_array_as_box_reads_as_its_range():
    words = Page(render_report(SUMMARY | {"low": [[-1.0, -0.5], [0.0, -2.0]]}, {}, "make demo")).words
    assert "between −2 to 0 (an array) and 1" in words


def test_numbers_read_well():
    assert [number(x) for x in (0, 0.5, -0.25, 1.23e-5, 999.4, 12345.6, 2e7, float("nan"), None, True)] == [
        "0", "0.5", "−0.25", "1.23 × 10⁻⁵", "999", "12,346", "2.00 × 10⁷", "not measured", "not measured",
        "not measured",
    ]  # fmt: skip
    assert [size(x) for x in (0, 999, 61234, 5_000_000, None)] == [
        "0 bytes", "999 bytes", "61.2 kB (61,234 bytes)", "5 MB (5,000,000 bytes)", "not measured",
    ]  # fmt: skip
    assert [seconds(x) for x in (0.1234, 12.0, 1234.5)] == ["0.123 s", "12 s", "1,234 s"]


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(InvalidInputError, match="cannot write"):
        write_report(tmp_path / "nowhere" / "report.html", SUMMARY, {}, "make demo")


def test_sizes_stand_side_by_side_and_say_which_form_is_large():
    source = render_report(SUMMARY | {"deployed": DEPLOYED}, {}, "make demo")
    words = Page(source).words
    for said in (
        "target network 1,898 48,000 0.25 ms 8.03 kB", "ticket, wide form 2,345,678 88,000,000 1.75 s 9.4 MB",
        "random network 9,000,000 7,000,000,000 not run: too large to be drawn as a whole 36 MB",
        "ticket, merged form 1,901 48,001 0.26 ms", "1,236 times the target's weights", "batch of 16", "2 threads",
        "stage.19 29 1,019 29 1,019 29 1,019",
    ):  # fmt: skip
        assert said in words, said
    assert "Neither form makes the target smaller" in words


@pytest.mark.parametrize(("count", "opened"), [(1, True), (8, True), (9, False), (60, False)])
def test_many_layers_are_folded(count, opened):
    layers = [SUMMARY["layers"][0] | {"name": f"conv{i}"} for i in range(count)]
    source = render_report(SUMMARY | {"layers": layers}, {}, "make demo")
    assert ("<details open>" in source) is opened
    assert source.count("<details") == 1
    assert ("All 60 layers" in Page(source).words) is (count == 60)


def test_pages_share_their_style():
    loader = PackageLoader("sslth.experiments")
    style = loader.get_source(Environment(autoescape=True), "page.css.j2")[0]
    assert style.strip() in render_report(SUMMARY, {}, "make demo")
    for name in ("report", "check", "reproduce"):
        source = loader.get_source(Environment(autoescape=True), f"{name}.html.j2")[0]
        assert 'include "page.css.j2"' in source
        assert "font:" not in source
