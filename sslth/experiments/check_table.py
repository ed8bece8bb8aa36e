"""The check as a table for a terminal: one row per claim."""

from __future__ import annotations

from typing import IO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sslth.experiments.check import FAMILY_CONFIDENCE, CheckReport, ClaimRow
from sslth.experiments.claim_words import bound_text, estimate_text, interval_text, percent_text, verdict_text
from sslth.theory.claims import Verdict

__all__ = ["correction_text", "print_check"]

_STYLES = {
    Verdict.HOLDS: "green",
    Verdict.VIOLATED: "bold red",
    Verdict.UNDECIDED: "yellow",
    Verdict.NOT_TESTABLE: "dim",
    None: "bold red",
}
_PLAIN_WIDTH = 150  # columns where there is no terminal to ask


def print_check(report: CheckReport, stream: IO[str] | None = None) -> None:
    """Print the table and one sentence on its intervals; colours only on a terminal."""
    console = Console(file=stream, highlight=False)
    if not console.is_terminal:
        console = Console(file=stream, highlight=False, width=_PLAIN_WIDTH)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    table.add_column("", justify="right", no_wrap=True)
    for name in ("claim", "what was computed", "estimate", "interval", "the claim says", "verdict"):
        table.add_column(name, no_wrap=name == "estimate")
    table.add_column("seconds", justify="right", no_wrap=True)
    for row in report.rows:
        # Text, because square brackets in a plain string would be read as markup.
        table.add_row(*(Text(cell) for cell in _cells(row)[:-2]), *_coloured(row))
    console.print(table)
    console.print(Text(correction_text(report)), soft_wrap=True)


def correction_text(report: CheckReport) -> str:
    """What the intervals of the table promise, in a sentence or two."""
    if not report.statistical_cases:
        return "Nothing was drawn: the intervals enclose computed numbers."
    if report.statistical_cases == 1:
        return f"The one statistical interval has confidence {percent_text(report.confidence)}."
    return (
        f"The {report.statistical_cases} statistical intervals of all claims hold together with probability "
        f"{percent_text(FAMILY_CONFIDENCE)}: each has confidence {percent_text(report.confidence)} (Bonferroni)."
    )


def _cells(row: ClaimRow) -> list[str]:
    number, seconds = str(row.claim.number), f"{row.seconds:.1f}"
    if row.findings is None:
        return [number, row.claim.name, "", "", "", "", f"error: {row.error}", seconds]
    case = row.findings.decisive
    numbers = [estimate_text(case), interval_text(case), bound_text(case)]
    return [number, row.claim.name, case.name, *numbers, verdict_text(row.findings), seconds]


def _coloured(row: ClaimRow) -> list[Text]:
    *_, verdict, seconds = _cells(row)
    return [Text(verdict, style=_STYLES[row.verdict]), Text(seconds)]
