"""What README, docs and the help of the commands show as code: blocks, their shell lines, and commands in the text."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from typer.main import get_command

from sslth.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if "auto_gallery" not in str(page)),
]
FENCE = re.compile(r"^(`{3,})(.*?)\n(.*?)^\1$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
SHELL = ("sh",)
PROGRAMS = ("sslth", "make", "python", "pip")


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def fenced(text: str) -> list[tuple[str, str]]:
    """Language and content of each fenced block."""
    return [(language, block) for _, language, block in FENCE.findall(text)]


def indented_lines(text: str) -> list[str]:
    """Lines of indented blocks: all of them are commands."""
    return [line[4:] for line in FENCE.sub("", text).splitlines() if line.startswith("    ")]


def shell_lines(text: str) -> list[str]:
    """Commands that a reader pastes, in the order of the page, without comments."""
    lines = []
    for block in re.split(r"(^`{3,}.*?^`{3,}$)", text, flags=re.DOTALL | re.MULTILINE):
        if found := FENCE.match(block):
            lines += found[3].splitlines() if found[2] in SHELL else []
        else:
            lines += indented_lines(block)
    commands = (shlex.split(line, comments=True) for line in lines)
    return [shlex.join(words) for words in commands if words]


def inline_code(text: str) -> list[str]:
    """Code in running text and tables, on one line each."""
    rest = "\n".join(line for line in FENCE.sub("", text).splitlines() if not line.startswith("    "))
    return [" ".join(code.split()) for code in INLINE.findall(rest)]


def inline_commands(text: str) -> list[str]:
    """Those that begin with a program of ours."""
    return [code for code in inline_code(text) if code.startswith(tuple(f"{program} " for program in PROGRAMS))]


def examples_in_help() -> list[str]:
    """The command that the help of each `sslth` command ends with, and the site's page of the command line shows."""
    helps = [" ".join((command.help or "").split()) for command in get_command(app).commands.values()]  # type: ignore[attr-defined]
    return [found[1] for text in helps for found in re.finditer(r"Example: (sslth .*?)(?= Exit status|$)", text)]
