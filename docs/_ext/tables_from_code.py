"""Parts of pages that the code itself writes: claims, kinds of experiments, solvers, modules, the command line.

A list of options copied by hand is wrong after the next change; these directives ask the package at build time.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable
from importlib import import_module
from pkgutil import walk_packages
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Union, get_args, get_origin

from docstring_sources import with_links

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_MARKUP = re.compile(r"([\\*`|_])")


def plain(text: str) -> str:
    """Return reStructuredText that shows the text as it is, on one line, with DOIs and arXiv numbers as links."""
    words = " ".join(text.split()).split(" ")
    return " ".join(word if "doi:" in word or "arXiv:" in word else _MARKUP.sub(r"\\\1", word) for word in words)


def claims_text() -> str:
    """The claims of `sslth check`: number, name, statement, source."""
    from sslth.theory.claims import claims

    lines = []
    for number, claim in claims().items():
        lines += [f"{number}: {plain(claim.name)}", f"   {plain(claim.statement)}", ""]
        lines += [f"   *Source:* {with_links(plain(claim.source))}.", ""]
    return "\n".join(lines)


def kinds_text() -> str:
    """The kinds of experiments that a grid may name, each with its parameters."""
    from sslth.experiments.kinds import KINDS, kind_named

    lines = []
    for name in sorted(KINDS):
        kind = kind_named(name)
        lines += [f"``{name}``", f"   {plain(kind.summary)}", ""]
        for key, entry in kind.settings.model_fields.items():
            limits = "".join(f", {_limit(rule)}" for rule in entry.metadata if _limit(rule))
            default = "needed" if entry.is_required() else f"{entry.default!r} if not given"
            lines += [f"   * ``{key}``: {plain(type_name(entry.annotation) + limits)}; {plain(default)}"]
        lines += [""]
    return "\n".join(lines)


def commands_text() -> str:
    """Every command of `sslth` with its help, arguments and options, as sections."""
    from typer.main import get_command

    from sslth.cli.main import app

    lines = []
    for name, command in sorted(get_command(app).commands.items()):  # type: ignore[attr-defined]  # an app is a group
        title = f"sslth {name}"
        lines += [title, "-" * len(title), ""]
        for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
            example = re.fullmatch(r"Example: (sslth .*)", " ".join(paragraph.split()))
            lines += ["Example::", "", f"   {example[1]}", ""] if example else [plain(paragraph), ""]
        for parameter in command.params:
            if parameter.name == "help":
                continue
            shown = ", ".join(parameter.opts) if parameter.opts[0].startswith("-") else parameter.name.upper()
            lines += [f"``{shown}``", f"   {plain(parameter.help or '')}{_default(parameter)}", ""]
    return "\n".join(lines)


def solvers_text() -> str:
    """The solvers by name: what each is for, and its class with its settings."""
    from sslth.subset_sum.solvers import REGISTRY

    lines = []
    for name, entry in sorted(REGISTRY.items()):
        home = f"sslth.subset_sum.solvers.{entry.module}.{entry.attribute}"
        lines += [name, "-" * len(name), "", f"{plain(entry.purpose)}.", "", f".. autoclass:: {home}", ""]
    return "\n".join(lines)


def modules_text(package: str, only: list[str] | None = None) -> str:
    """The public functions and classes of the modules of a package: of those named, or of all but single claims."""
    found = {module.name for module in walk_packages(import_module(package).__path__, f"{package}.")}
    names = [f"{package}.{name}" for name in only] if only else sorted(n for n in found if ".claim_" not in n)
    lines = []
    for name in names:
        public = getattr(import_module(name), "__all__", [])
        own = [each for each in public if getattr(getattr(import_module(name), each), "__module__", name) == name]
        if own:
            lines += [name, "-" * len(name), "", f".. automodule:: {name}", f"   :members: {', '.join(own)}", ""]
    return "\n".join(lines)


def type_name(annotation: Any) -> str:
    """A type as the documentation says it: `int`, `"a" or "b"`, `int or nothing`."""
    if get_origin(annotation) is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(annotation))
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(type_name(choice) for choice in get_args(annotation))
    if annotation is type(None):
        return "nothing"
    return getattr(annotation, "__name__", str(annotation)) if not get_args(annotation) else str(annotation)


def _limit(rule: Any) -> str:
    """A rule of pydantic in signs; empty for those that are no limit."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    return " and ".join(f"{sign} {getattr(rule, name)}" for name, sign in signs.items() if hasattr(rule, name))


def _default(parameter: Any) -> str:
    if parameter.required:
        return " Needed."
    if parameter.default is None or parameter.default is False or callable(parameter.default):
        return ""
    return f" Default: {plain(str(parameter.default))}."


def setup(app: Sphinx) -> dict[str, Any]:
    """Register one directive for each of the texts."""
    from sphinx.util.docutils import SphinxDirective

    def directive(text: Callable[..., str], arguments: int = 0) -> type[SphinxDirective]:
        class TextFromCode(SphinxDirective):
            required_arguments = arguments
            option_spec: ClassVar = {"only": str.split} if arguments else {}

            def run(self) -> list[Any]:
                self.env.note_reread()  # the page depends on much of the package: it is read in every build
                return self.parse_text_to_nodes(text(*self.arguments, **self.options), allow_section_headings=True)

        return TextFromCode

    app.add_directive("claims-from-code", directive(claims_text))
    app.add_directive("kinds-from-code", directive(kinds_text))
    app.add_directive("solvers-from-code", directive(solvers_text))
    app.add_directive("modules-from-code", directive(modules_text, arguments=1))
    app.add_directive("commands-from-code", directive(commands_text))
    return {"version": "1", "parallel_read_safe": True}
