"""The pages of the site: nothing public is missing from them, and docstrings become what they mean."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

import sslth

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS / "_ext"))

from docstring_sources import Source, collected, page_text, rewritten, with_links  # noqa: E402
from plain_docstrings import as_rst, several_names  # noqa: E402
from tables_from_code import (  # noqa: E402
    claims_text,
    commands_text,
    kinds_text,
    modules_text,
    plain,
    solvers_text,
    type_name,
)

API = {page.stem: page.read_text(encoding="utf-8") for page in sorted((DOCS / "api").glob("*.md"))}


@pytest.mark.parametrize("name", sslth.__all__)
def test_public_name_has_its_place(name: str) -> None:
    assert f"   sslth.{name}\n" in API["index"]
    places = rf"\.\. (autoclass|autofunction|autoexception|py:module):: (sslth\.)?{name}$"
    assert any(re.search(places, text, re.MULTILINE) for page, text in API.items() if page != "index")


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_page_is_in_the_table_of_contents(page: Path) -> None:
    blocks = re.findall(r"^```\{toctree\}\n(.*?)^```", (DOCS / "index.md").read_text(encoding="utf-8"), re.M | re.S)
    entries = [line for block in blocks for line in block.splitlines() if line and not line.startswith(":")]
    found = sum(any(page == match for match in DOCS.glob(f"{entry}.md")) for entry in entries)
    assert found == (page.stem != "index")


def test_modules_that_pages_name_exist() -> None:
    for text in API.values():
        for package, only in re.findall(r"^\.\. modules-from-code:: (\S+)(?:\n   :only: (.*))?", text, re.MULTILINE):
            assert "automodule" in modules_text(package, only.split() or None)


def test_each_source_has_one_description() -> None:
    sources = collected()
    assert {key: source.texts for key, source in sources.items() if len(source.texts) > 1} == {}
    assert sources["HorowitzSahni1974"].modules == [
        "sslth.subset_sum.count",
        "sslth.subset_sum.solve_many",
        "sslth.subset_sum.solvers.meet_in_the_middle",
    ]


def test_each_citation_has_a_source() -> None:
    sources = set(collected())
    for path in (ROOT / "sslth").rglob("*.py"):
        for key in re.findall(r"\[([A-Z]\w*\d{4})\]_", path.read_text(encoding="utf-8")):
            assert key in sources, f"{path.name} cites {key}"


def test_definitions_become_items_and_citations_links() -> None:
    docstring = 'Halves [A1999]_.\n\n.. [A1999] A. Author, "Title",\n   Journal 1. doi:10.1/x(2)3.\n'
    assert rewritten(docstring) == (
        "Halves :ref:`[A1999] <source-a1999>`.\n\n"
        '* :ref:`[A1999] <source-a1999>` A. Author, "Title", Journal 1. doi:10.1/x(2)3.\n'
    )


def test_dois_and_arxiv_numbers_become_links() -> None:
    assert with_links("doi:10.1016/S0004-3702(98)00086-1.").startswith("`doi:10.1016/S0004-3702(98)00086-1 <https://")
    assert "3E3.0.CO%3B2-S>`__" in with_links("doi:10.1002/(SICI)1098-2418(199801)12:1<51::AID-RSA3>3.0.CO;2-S")
    assert with_links("arXiv:2311.09858v2") == "`arXiv:2311.09858v2 <https://doi.org/10.48550/arXiv.2311.09858>`__"


def test_the_page_of_sources_has_the_labels_that_citations_lead_to() -> None:
    text = page_text({"A1999": Source("A1999", ["A. Author."], ["sslth.one"])})
    assert text.startswith(".. _source-a1999:\n\n**[A1999]** A. Author.\n")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("|x| <= 1", r"\|x\| <= 1"),
        ("`name` and ``more``", "``name`` and ``more``"),
        ("`front`[0]", r"``front``\ [0]"),
        ("`two\n    lines`", "``two lines``"),
        ("float64[*shape]", r"float64[\*shape]"),
        ("3 * d, *one* and **two**", r"3 \* d, *one* and **two**"),
        ("* an item", "* an item"),
        (":math:`|x|`", ":math:`|x|`"),
        (">>> a | b\n3\n\nc | d", ">>> a | b\n3\n\nc \\| d"),
        (".. math:: |x|,\n\n   |y|\n\n|z|", ".. math:: |x|,\n\n   |y|\n\n\\|z\\|"),
        ("as in::\n\n    a | b\n\nc | d", "as in::\n\n    a | b\n\nc \\| d"),
    ],
)
def test_docstring_becomes_what_it_means(written: str, meant: str) -> None:
    assert as_rst(written) == meant


def test_attributes_that_share_a_line() -> None:
    assert several_names(":ivar low, high: Ends.") == ":ivar low,high: Ends."
    assert several_names(":ivar low: The end, as given: ours.") == ":ivar low: The end, as given: ours."


def test_texts_from_code_are_complete() -> None:
    from sslth.cli.main import app
    from sslth.experiments.kinds import KINDS
    from sslth.subset_sum.solvers import REGISTRY
    from sslth.theory.claims import claims

    assert all(f"{number}: {plain(claim.name)}\n" in claims_text() for number, claim in claims().items())
    assert all(f"``{name}``\n" in kinds_text() for name in KINDS)
    assert all(f".{entry.module}.{entry.attribute}\n" in solvers_text() for entry in REGISTRY.values())
    commands = commands_text()
    assert all(f"sslth {command.name}\n---" in commands for command in app.registered_commands)
    assert "``--time-limit``\n   Seconds. Default: 10.0." in commands


def test_types_in_words() -> None:
    assert type_name(int | None) == "int or nothing"
    settings = import_module("sslth.experiments.kinds.success").KIND.settings
    assert '"gaussian"' in type_name(settings.model_fields["law"].annotation)


def test_citation_names_this_version() -> None:
    assert f"\nversion: {sslth.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 75
