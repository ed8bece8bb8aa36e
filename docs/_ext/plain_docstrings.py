"""Docstrings are written to be read as they stand, by `help()`; this makes them the reStructuredText that they mean.

What they use of it: `name` for code, *emphasis*, :math: and `.. math::`, lists, sections, examples. What they do not
mean by it: |x| is an absolute value and no substitution, and a lone asterisk is a product.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_INLINE = re.compile(
    r"(?P<keep>:[a-z:]+:`[^`]*`|``.+?``|`[^`]+`__?"  # roles, literals and links
    r"|\*\*[^*\s][^*]*\*\*|(?<![\w*])\*(?=[^\s*])[^*\n]*(?<=\S)\*(?![\w*])"  # strong, emphasis
    r"|^[ ]*\*[ ])"  # an item of a list
    r"|(?P<before>\w?)`(?P<code>[^`]+)`(?P<after>[\w\[({]?)"
    r"|(?P<sign>[|*])",
    re.DOTALL | re.MULTILINE,
)
_ATTRIBUTES = re.compile(r"^(:(?:ivar|vartype) )(\w+(?:, \w+)+):")


def as_rst(docstring: str) -> str:
    """Return reStructuredText that shows a docstring as it is meant."""
    return "\n".join(_INLINE.sub(_marked_up, text) if prose else text for prose, text in _blocks(docstring))


def several_names(field: str) -> str:
    """Return an attribute field that names several attributes as Sphinx takes it: a space would end the type."""
    return _ATTRIBUTES.sub(lambda found: found[1] + found[2].replace(" ", "") + ":", field)


def _marked_up(found: re.Match[str]) -> str:
    if found["keep"]:
        return found["keep"]
    if found["sign"]:
        return "\\" + found["sign"]
    before = found["before"] and found["before"] + "\\ "  # markup must stand alone; "\ " is nothing
    after = found["after"] and "\\ " + found["after"]
    return f"{before}``{' '.join(found['code'].split())}``{after}"


def _blocks(docstring: str) -> Iterator[tuple[bool, str]]:
    """Pieces of whole lines, and whether each is prose: examples, formulas and what follows `::` are not."""
    prose: list[str] = []
    verbatim_deeper_than: int | None = None
    in_example = False
    for line in docstring.split("\n"):
        text = line.strip()
        depth = len(line) - len(line.lstrip())
        if verbatim_deeper_than is not None and text and depth <= verbatim_deeper_than:
            verbatim_deeper_than = None
        in_example = text.startswith(">>>") or (in_example and bool(text))
        if verbatim_deeper_than is not None or in_example or text.startswith(".. math::"):
            if prose:
                yield True, "\n".join(prose)
                prose = []
            yield False, line
        else:
            prose.append(line)
        if verbatim_deeper_than is None and (text.endswith("::") or text.startswith(".. math::")):
            verbatim_deeper_than = depth
    if prose:
        yield True, "\n".join(prose)


def setup(app: Any) -> dict[str, Any]:
    """Treat every docstring, before the sections are read."""

    def process(_app: Any, _what: str, _name: str, _target: Any, _options: Any, lines: list[str]) -> None:
        lines[:] = as_rst("\n".join(lines)).split("\n")

    def join_names(_app: Any, _what: str, _name: str, _target: Any, _options: Any, lines: list[str]) -> None:
        lines[:] = [several_names(line) for line in lines]

    app.connect("autodoc-process-docstring", process, priority=300)
    app.connect("autodoc-process-docstring", join_names, priority=700)
    return {"version": "1", "parallel_read_safe": True}
