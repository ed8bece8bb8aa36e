"""Every command that README and docs show exists, with the options they show."""

from __future__ import annotations

import re
import shlex
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.main import get_command

from sslth.cli.main import app
from sslth.experiments.grid_file import make_grid
from sslth.experiments.plot_kinds import PLOT_KINDS
from sslth.theory.claims import claims

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^(`{3,})(.*?)\n(.*?)^\1$", re.DOTALL | re.MULTILINE)


def shell_lines(text: str) -> list[str]:
    """Lines of indented blocks, and of fenced ones that are no other language, without comments."""
    lines = []
    for _, language, block in FENCE.findall(text):
        if language.strip() in ("", "sh", "bash", "shell", "console"):
            lines += block.splitlines()
    lines += [line[4:] for line in FENCE.sub("", text).splitlines() if line.startswith("    ")]
    return [
        shlex.join(shlex.split(line, comments=True)) for line in lines if re.match(r"\$? ?(sslth|make|python) ", line)
    ]


LINES = sorted({(page, line) for page in PAGES for line in shell_lines(page.read_text(encoding="utf-8"))})
OURS = [(page, line) for page, line in LINES if line.startswith("sslth ")]


def ids(value: object) -> str:
    return value.stem if isinstance(value, Path) else str(value)


@pytest.mark.parametrize(("page", "line"), OURS, ids=ids)
def test_command_parses(page: Path, line: str) -> None:
    group = get_command(app)
    name, *arguments = shlex.split(line)[1:]
    assert name in group.commands, f"{page.name}: there is no command sslth {name}"
    # as far as the command line goes: options exist, values have their types, nothing needed is missing
    context = group.commands[name].make_context(name, arguments)
    if name == "plot":
        assert context.params["kind"] in PLOT_KINDS
    if name == "check":
        assert set(context.params["claim"] or []) <= set(claims())


@pytest.mark.parametrize(("page", "line"), [pair for pair in LINES if pair not in OURS], ids=ids)
def test_target_or_module_exists(page: Path, line: str) -> None:
    words = shlex.split(line)
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert re.search(rf"^{re.escape(words[1])}:", makefile, re.MULTILINE), f"{page.name}: {line}"
    elif words[1] == "-m":
        assert find_spec(words[2]) is not None, f"{page.name}: {line}"


def test_commands_in_running_text_exist() -> None:
    known = set(get_command(app).commands)
    for page in PAGES:
        for name in re.findall(r"`sslth ([a-z]+)[^`]*`", page.read_text(encoding="utf-8")):
            assert name in known, f"{page.name} speaks of sslth {name}"


def test_every_command_is_shown_somewhere() -> None:
    shown = {shlex.split(line)[1] for _, line in OURS}
    assert shown >= set(get_command(app).commands)


def test_a_misspelt_option_would_be_found() -> None:
    command = get_command(app).commands["solve"]
    with pytest.raises(Exception, match="tolerence"):
        command.make_context("solve", ["--law", "nsn", "--tolerence", ".1"])


@pytest.mark.parametrize(("page", "line"), [pair for pair in OURS if "docs/" in pair[1]], ids=ids)
def test_files_of_this_repository_exist(page: Path, line: str) -> None:
    for word in shlex.split(line):
        assert not word.startswith("docs/") or (ROOT / word).exists(), f"{page.name} names {word}"


def test_grids_on_pages_are_grids() -> None:
    blocks = [
        block
        for page in PAGES
        for _, language, block in FENCE.findall(page.read_text(encoding="utf-8"))
        if language == "toml"
    ]
    assert blocks
    for block in blocks:
        assert make_grid(tomllib.loads(block)).cells
