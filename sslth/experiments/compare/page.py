"""One HTML page with the whole comparison, that needs nothing outside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader

from sslth.experiments.compare.findings import Finding
from sslth.experiments.compare.table import shown
from sslth.experiments.compare.verdicts import MARGINS, REFUTED, SHOWN
from sslth.experiments.report import picture

__all__ = ["PARTS", "render_page"]

PARTS = {
    "Accuracy, size and cost": {
        "accuracy_before": "before finetuning (%)",
        "accuracy_after": "after finetuning (%)",
        "keep": "kept (%)",
        "filters_removed": "filters removed",
        "filters": "of",
        "steps": "steps",
        "seconds": "seconds",
        "bytes": "bytes",
    },
    "Calibration, detection and connectivity": {
        "ece": "ECE",
        "adaptive_ece": "adaptive ECE",
        "brier": "Brier",
        "nll": "NLL",
        "confidence_when_wrong": "confidence when wrong",
        "ood_auroc": "OOD AUROC",
        "barrier": "barrier",
    },
}


def render_page(
    table: Mapping[str, Any],
    findings: Sequence[Finding],
    titles: Mapping[str, str],
    pictures: Mapping[str, bytes],
    facts: Mapping[str, Any],
    command: str,
) -> str:
    """Return the page as text.

    Parameters
    ----------
    table : mapping
        What `table_json` returns.
    titles : mapping
        What people call each way.
    pictures : mapping of bytes
        PNG files by name: "accuracy", "cost", "reliability"; those that are missing are left out.
    facts : mapping
        Shown as they are, by name.
    command : str
        What makes the page again.
    """
    methods = table["methods"]
    parts = [
        {
            "title": title,
            "heads": list(columns.values()),
            "rows": [
                {
                    "title": titles.get(way, way),
                    "failed": "error" in entry,
                    "cells": [
                        {"text": shown(entry[name], name), "reason": entry.get(f"{name}_reason")} for name in columns
                    ],
                }
                for way, entry in methods.items()
            ],
        }
        for title, columns in PARTS.items()
    ]
    notes = {
        f"{titles.get(way, way)}, {head}": entry[f"{name}_reason"]
        for way, entry in methods.items()
        for columns in PARTS.values()
        for name, head in columns.items()
        if entry.get(f"{name}_reason")
    }
    environment = Environment(
        loader=PackageLoader("sslth.experiments"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update({"picture": picture, "slug": _slug})
    return environment.get_template("compare.html.j2").render(
        parts=parts,
        errors={titles.get(way, way): entry["error"] for way, entry in methods.items() if "error" in entry},
        notes=notes,
        findings=findings,
        pictures=pictures,
        facts=facts,
        margins=MARGINS,
        command=command,
    )


def _slug(verdict: str) -> str:
    """The class of the page's style that a verdict has."""
    return {SHOWN: "holds", REFUTED: "violated"}.get(verdict, "undecided")
