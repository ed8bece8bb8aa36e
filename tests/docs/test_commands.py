"""Every command that README and docs show exists, with the options they show, in blocks and in running text.

Blocks run, in `test_commands_run` and in `tests/test_documentation.py`; here nothing does.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import tomllib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.main import get_command

from sslth.cli.main import app
from sslth.experiments.grid_file import make_grid
from sslth.experiments.plot_kinds import PLOT_KINDS
from sslth.theory.claims import claims
from tests.docs.code_blocks import (
    PAGES,
    PROGRAMS,
    ROOT,
    SHELL,
    examples_in_help,
    fenced,
    indented_lines,
    inline_code,
    inline_commands,
    read,
    shell_lines,
)

COMMANDS = get_command(app).commands  # type: ignore[attr-defined]  # an app is a group
LANGUAGES = {"python", "toml", *SHELL}  # of these blocks run, and grids are loaded
NO_CODE = {"text", "{eval-rst}", "{toctree}"}  # output and formulas; what the site is made of
LINES = {(page, line) for page in PAGES for line in shell_lines(read(page))}
INLINE = {(page, line) for page in PAGES for line in inline_commands(read(page))}
SHOWN = sorted(LINES | INLINE)


def by_program(program: str) -> list[tuple[Path, str]]:
    return [(page, line) for page, line in SHOWN if shlex.split(line)[0] == program]


def ids(value: object) -> str:
    return value.stem if isinstance(value, Path) else str(value)


class Parsed(Exception):
    """The command line was read, and nothing else of the program ran."""


def parsed_by(module: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> argparse.ArgumentParser | None:
    """Let a module read its command line and no more; without a parser of its own it takes no arguments."""
    spec = find_spec(module)
    assert spec is not None, f"there is no module {module}"
    name = f"{module}.__main__" if spec.submodule_search_locations else module
    if "argparse" not in Path(str(find_spec(name).origin)).read_text(encoding="utf-8"):  # type: ignore[union-attr]
        assert not arguments, f"{module} takes no arguments"
        return None
    usual, seen = argparse.ArgumentParser.parse_args, []

    def parse(self: argparse.ArgumentParser, *given: object) -> None:
        seen.append(self)
        usual(self, *given)  # type: ignore[call-overload]
        raise Parsed

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse)
        patch.setattr(sys, "argv", [module, *arguments])
        with pytest.raises((Parsed, SystemExit)) as ended:
            import_module(name).main()
    assert ended.type is Parsed, f"python -m {module} refuses {shlex.join(arguments)}"
    return seen[0]


def parse_ours(line: str) -> None:
    """As far as the command line goes: options exist, values have their types, nothing needed is missing."""
    name, *arguments = shlex.split(line)[1:]
    assert name in COMMANDS, f"there is no command sslth {name}"
    command = COMMANDS[name]
    shortened = [word for word in arguments if word != "…" and not word.isupper()]  # … or KIND: what is needed
    if len(shortened) < len(arguments):
        context = command.context_class(command, info_name=name)
        given, _, _ = command.make_parser(context).parse_args(shortened)
        for parameter in command.params:
            if given.get(parameter.name) is not None:
                parameter.process_value(context, given[parameter.name])
        return
    context = command.make_context(name, arguments)
    if name == "plot":
        assert context.params["kind"] in PLOT_KINDS
    if name == "check":
        assert set(context.params["claim"] or []) <= set(claims())


@pytest.mark.parametrize(("page", "line"), by_program("sslth"), ids=ids)
def test_command_parses(page: Path, line: str) -> None:
    mentioned = (page, line) in INLINE and len(shlex.split(line)) == 2  # `sslth plot`: the command by its name
    parse_ours(f"{line} …" if mentioned else line)


@pytest.mark.parametrize(("page", "line"), by_program("python"), ids=ids)
def test_module_takes_these_arguments(page: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, option, module, *arguments = shlex.split(line)
    assert option == "-m"
    parsed_by(module, arguments, monkeypatch)


@pytest.mark.parametrize(("page", "line"), by_program("make"), ids=ids)
def test_target_exists(page: Path, line: str) -> None:
    (target,) = shlex.split(line)[1:]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE)


@pytest.mark.parametrize(("page", "line"), by_program("pip"), ids=ids)
def test_extra_exists(page: Path, line: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for word in shlex.split(line)[2:]:
        if not word.startswith("-"):
            assert re.fullmatch(r"sslth\[(\w+)\]", word)[1] in extras  # type: ignore[index]


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_options_in_running_text_exist(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that begins with an option, `--dry-run`, belongs to a command that the page names, or to every one."""
    text = read(page)
    wanted = [set(re.findall(r"(?<!\S)--[a-z-]+", code)) for code in inline_code(text) if code.startswith("--")]
    if not wanted:
        return
    named = [shlex.split(line) for line in [*inline_commands(text), *shell_lines(text)]]
    ours = {words[1] for words in named if words[0] == "sslth"} if named else set(COMMANDS)
    known = [{"--help", *(opt for p in COMMANDS[name].params for opt in p.opts)} for name in ours]
    for words in named:
        if words[0] == "python" and (parser := parsed_by(words[2], words[3:], monkeypatch)):
            known.append(set(parser._option_string_actions))
        known += [set(words)] if words[0] == "pip" else []
    for options in wanted:
        assert any(options <= have for have in known), f"no command on this page has {sorted(options)}"


def test_every_command_is_shown_in_a_block() -> None:
    assert {shlex.split(line)[1] for _, line in LINES if line.startswith("sslth ")} >= set(COMMANDS)


def test_examples_in_the_help_stand_in_blocks() -> None:
    """So they run: the site shows them as blocks as well."""
    examples = examples_in_help()
    assert len(examples) == len(COMMANDS)
    assert set(examples) <= {line for _, line in LINES}


@pytest.mark.parametrize("line", ["sslth solve --law nsn --tolerence .1", "sslth solve … --tolerence .1"])
def test_a_misspelt_option_would_be_found(line: str) -> None:
    with pytest.raises(Exception, match="tolerence"):
        parse_ours(line)


@pytest.mark.parametrize(
    ("module", "arguments"),
    [("benchmarks.frontier", ["--dimension", "9", "--out", "x", "--bems", "1"]), ("benchmarks.pursuit", ["--quick"])],
)
def test_a_misspelt_option_of_a_module_would_be_found(
    module: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AssertionError):
        parsed_by(module, arguments, monkeypatch)


@pytest.mark.parametrize(("page", "line"), [pair for pair in SHOWN if "docs/" in pair[1]], ids=ids)
def test_files_of_this_repository_exist(page: Path, line: str) -> None:
    for word in shlex.split(line):
        assert not word.startswith("docs/") or (ROOT / word).exists(), f"{page.name} names {word}"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_blocks_are_of_kinds_that_run_or_no_code(page: Path) -> None:
    """An indented block holds commands; a fenced one says its language, at the margin, or it would be overlooked."""
    text = read(page)
    for line in indented_lines(text):
        assert line.startswith(tuple(f"{program} " for program in PROGRAMS)), f"no command: {line}"
    for language, block in fenced(text):
        assert language in LANGUAGES | NO_CODE or language.startswith(("{figure}", "{include}")), language
        if language == "{eval-rst}":
            assert not re.search(r"^(?!\.\. ).*::$|code-block|doctest", block, re.MULTILINE)
    assert not re.search(r"^ +`{3}|^ *~{3}|^ *:{3}|<pre|<code|\t", text, re.MULTILINE)


def test_grids_on_pages_are_grids() -> None:
    blocks = [block for page in PAGES for language, block in fenced(read(page)) if language == "toml"]
    assert blocks
    for block in blocks:
        assert make_grid(tomllib.loads(block)).cells
