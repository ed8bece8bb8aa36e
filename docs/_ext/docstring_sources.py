"""Sources that docstrings cite as `[Key2000]_`: all on one page, and linked from every docstring that cites them.

Each docstring defines the sources it cites, so that `help()` shows them; several docstrings may define the same one.
Citations of reStructuredText have one name for the whole site, so the definitions become list items here, and the
directive `docstring-sources` writes the page that all of them lead to.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PACKAGE = Path(__file__).parents[2] / "sslth"

_DEFINITION = re.compile(
    r"^(?P<indent> *)\.\. \[(?P<key>[A-Za-z]\w*)\] (?P<text>.*(?:\n(?P=indent) +\S.*)*)", re.MULTILINE
)
_CITATION = re.compile(r"\[([A-Za-z]\w*)\]_(?!\w)")
_DOI = re.compile(r"doi:(10\.\d{4,9}/\S+?)(?=[.,;]?(?:\s|$))")
_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})(v\d+)?")


@dataclass
class Source:
    """One cited work: every text that docstrings give for it (one, if all is well) and the modules that cite it."""

    key: str
    texts: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)


def label(key: str) -> str:
    """The name of a source's place on the page."""
    return f"source-{key.lower()}"


def with_links(text: str) -> str:
    """Return the text with DOIs as links, and arXiv numbers, which have DOIs too."""
    text = _DOI.sub(lambda found: f"`doi:{found[1]} <https://doi.org/{quote(found[1])}>`__", text)
    return _ARXIV.sub(r"`arXiv:\1\2 <https://doi.org/10.48550/arXiv.\1>`__", text)


def rewritten(docstring: str) -> str:
    """Return a docstring whose definitions are list items, and whose citations lead to the page of sources."""

    def item(found: re.Match[str]) -> str:
        return f"{found['indent']}* [{found['key']}]_ {with_links(' '.join(found['text'].split()))}"

    return _CITATION.sub(lambda found: f":ref:`[{found[1]}] <{label(found[1])}>`", _DEFINITION.sub(item, docstring))


def collected(package: Path = PACKAGE) -> dict[str, Source]:
    """Return the sources that the docstrings of a package define, by key in alphabetical order."""
    sources: dict[str, Source] = {}
    for path in sorted(package.rglob("*.py")):
        module = ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
        for docstring in _docstrings(path):
            for found in _DEFINITION.finditer(docstring):
                source = sources.setdefault(found["key"], Source(found["key"]))
                text = " ".join(found["text"].split())
                if text not in source.texts:
                    source.texts.append(text)
                if module not in source.modules:
                    source.modules.append(module)
    return dict(sorted(sources.items()))


def page_text(sources: dict[str, Source]) -> str:
    """Return the sources as reStructuredText, each with the name that `rewritten` refers to."""
    lines = []
    for source in sources.values():
        used = ", ".join(f"``{module}``" for module in source.modules)
        lines += [f".. _{label(source.key)}:", "", f"**[{source.key}]** {with_links(source.texts[0])}"]
        lines += [f"*Cited in* {used}.", ""]
    return "\n".join(lines)


def _docstrings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            docstring = ast.get_docstring(node)
            if docstring:
                yield docstring


def _process(_app: Any, _what: str, _name: str, _target: Any, _options: Any, lines: list[str]) -> None:
    lines[:] = rewritten("\n".join(lines)).split("\n")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive and what becomes of docstrings."""
    from sphinx.util.docutils import SphinxDirective
    from sphinx.util.logging import getLogger

    class DocstringSources(SphinxDirective):
        def run(self) -> list[Any]:
            sources = collected()
            for path in PACKAGE.rglob("*.py"):
                self.env.note_dependency(str(path))
            for source in sources.values():
                if len(source.texts) > 1:
                    said = "; ".join(source.texts)
                    getLogger(__name__).warning("docstrings describe %s in more than one way: %s", source.key, said)
            return self.parse_text_to_nodes(page_text(sources))

    app.add_directive("docstring-sources", DocstringSources)
    app.connect("autodoc-process-docstring", _process, priority=400)  # after plain_docstrings, before napoleon
    return {"version": "1", "parallel_read_safe": True}
