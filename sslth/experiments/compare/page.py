"""One HTML page with the whole comparison, that needs nothing outside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from sslth.experiments.compare.findings import MARGINS, Difference, Finding
from sslth.experiments.compare.table import shown
from sslth.experiments.report import picture
from sslth.subset_sum.files import write_atomically

__all__ = ["COLUMNS", "render_page", "write_page"]

COLUMNS = {
    "accuracy_before": "before finetuning (%)",
    "accuracy_after": "after finetuning (%)",
    "keep": "kept (%)",
    "filters_removed": "filters removed",
    "filters": "of",
    "ece": "ECE",
    "adaptive_ece": "adaptive ECE",
    "brier": "Brier",
    "nll": "NLL",
    "confidence_when_wrong": "confidence when wrong",
    "ood_auroc": "OOD AUROC",
    "barrier": "barrier",
    "steps": "steps",
    "seconds": "seconds",
    "bytes": "bytes",
}


def render_page(
    table: Mapping[str, Any],
    findings: Sequence[Finding],
    titles: Mapping[str, str],
    pictures: Mapping[str, bytes],
    facts: Mapping[str, Any],
    command: str,
) -> str:
    """Return the page as text; `facts` are shown as they are, by name."""
    rows = [
        {
            "title": titles.get(way, way),
            "cells": [{"text": shown(entry[name], name), "reason": entry.get(f"{name}_reason")} for name in COLUMNS],
        }
        for way, entry in table["methods"].items()
    ]
    notes = {
        f"{titles.get(way, way)}, {COLUMNS[name]}": entry[f"{name}_reason"]
        for way, entry in table["methods"].items()
        for name in COLUMNS
        if entry.get(f"{name}_reason")
    }
    environment = Environment(
        loader=PackageLoader("sslth.experiments"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update({"picture": picture, "interval": _interval, "slug": _slug})
    return environment.get_template("compare.html.j2").render(
        rows=rows,
        heads=list(COLUMNS.values()),
        notes=notes,
        findings=findings,
        pictures=pictures,
        facts=facts,
        margins=MARGINS,
        command=command,
    )


def write_page(path: Path, page: str) -> None:
    """Write the page; the file is complete or what it was before.

    Raises
    ------
    InvalidInputError
        If the file cannot be written.
    """
    content = page.encode("utf-8")
    write_atomically(path, lambda stream: stream.write(content))


def _interval(one: Difference) -> str:
    if one.interval is None or one.mean is None:
        return "no interval"
    return f"{one.mean:+.4f} [{one.interval[0]:+.4f}, {one.interval[1]:+.4f}]"


def _slug(verdict: str) -> str:
    """The class of the page's style that a verdict has."""
    return {"shows": "holds", "does not show": "violated"}.get(verdict, "undecided")
