"""The check as a page: one HTML file with a section and a figure per claim, and nothing outside it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

import sslth
from sslth.experiments.check import CheckReport, ClaimRow
from sslth.experiments.check_table import correction_text
from sslth.experiments.claim_figures import draw_claim
from sslth.experiments.claim_words import bound_text, estimate_text, interval_text, parameters_text, verdict_text
from sslth.experiments.figure_style import figure_to_png
from sslth.experiments.report import picture
from sslth.subset_sum.files import write_bytes
from sslth.theory.claims import Case

__all__ = ["command_for", "render_check", "write_check"]

_DPI = 120.0


def write_check(path: str | os.PathLike[str], report: CheckReport, folder: str | None = None) -> None:
    """Write the page; the file is complete or what it was before.

    Parameters
    ----------
    path : path-like
    report : CheckReport
    folder : str, optional
        The folder of the results, for the commands on the page.

    Raises
    ------
    InvalidInputError
        If the file cannot be written.
    """
    write_bytes(Path(path), render_check(report, folder).encode("utf-8"))


def render_check(report: CheckReport, folder: str | None = None) -> str:
    """Return the page as text; see `write_check`."""
    environment = Environment(
        loader=PackageLoader("sslth.experiments"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["picture"] = picture
    return environment.get_template("check.html.j2").render(
        report=report,
        correction=correction_text(report),
        sections=[_section(row, report, folder) for row in report.rows],
        command=command_for(report, report.chosen or (), folder),
        version=sslth.__version__,
    )


def command_for(report: CheckReport, claims: Sequence[int], folder: str | None = None) -> str:
    """The command line that makes these rows again; all of them if none are named."""
    words = ["sslth", "check", f"--{report.effort.value}", "--seed", str(report.seed)]
    words += [word for number in claims for word in ("--claim", str(number))]
    return shlex.join(words if folder is None else [*words, "--out", folder])


def _section(row: ClaimRow, report: CheckReport, folder: str | None) -> dict[str, Any]:
    """What the template shows of a claim, all as text and PNG bytes."""
    section: dict[str, Any] = {
        "claim": row.claim,
        "error": row.error,
        "cells": row.cells,
        "seconds": f"{row.seconds:.1f}",
        "command": command_for(report, (row.claim.number,), folder),
        "verdict": "error",
        "words": f"error: {row.error}",
    }
    if row.findings is None:
        return section
    figure, problem = _figure(row)
    return section | {
        "verdict": row.findings.verdict.value,
        "words": verdict_text(row.findings),
        "decisive": _case(row.findings.decisive),
        "cases": [_case(case) for case in row.findings.cases],
        "note": row.findings.note,
        "figure": figure,
        "figure_problem": problem,
    }


def _case(case: Case) -> dict[str, Any]:
    return {
        "name": case.name,
        "estimate": estimate_text(case),
        "interval": interval_text(case),
        "bound": bound_text(case),
        "bounded": case.bound is not None,
        "repetitions": "computed" if case.repetitions is None else f"{case.repetitions:,}",
        "verdict": case.verdict.value,
        "words": verdict_text(case),
        "proof": case.proof,
        "parameters": parameters_text(case.parameters),
    }


def _figure(row: ClaimRow) -> tuple[bytes | None, str]:
    """The picture, or why there is none: a figure that cannot be drawn must not cost the page."""
    if row.findings is None or not row.findings.panels:
        return None, "This claim has no figure."
    try:
        return figure_to_png(draw_claim(row.findings.panels), dpi=_DPI), ""
    except Exception as problem:
        return None, f"The figure cannot be drawn: {problem}"
