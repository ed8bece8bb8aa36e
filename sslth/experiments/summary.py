"""`summary.json`: what the main job reached, in names and units that stay."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import numpy.typing as npt

import sslth
from sslth.cnn.certificates.certificate import Report
from sslth.cnn.ticket import Ticket
from sslth.cnn.ticket_file import ticket_size
from sslth.experiments.comparison import Comparison
from sslth.experiments.deployed_size import deployed_table
from sslth.experiments.planned import planned_lines
from sslth.experiments.wording import words_for

__all__ = ["summary_of", "summary_table"]

_PACKAGES = ("numpy", "scipy", "numba", "torch", "ortools", "matplotlib")


def summary_of(
    ticket: Ticket,
    certificate: Report,
    comparison: Comparison,
    *,
    settings: Mapping[str, Any],
    stays: list[str],
    deployed: dict[str, Any],
    planned: dict[str, Any] | None,
    target_bytes: int,
    seconds: Mapping[str, float],
    evaluated_on: str,
    command: str,
) -> dict[str, Any]:
    """Everything that a main job reached, ready for JSON.

    `low` and `high` are numbers, or [least, largest] entry of an array; errors are absolute unless they are called
    relative. A kernel error is None where the target's kernel is zero and the ticket's, refitted on data, is not.
    """
    kernel_error = {name: error if math.isfinite(error) else None for name, error in certificate.kernel_error.items()}
    return {
        "target_accuracy": comparison.target_accuracy,
        "ticket_accuracy": comparison.ticket_accuracy,
        "agreement": comparison.agreement,
        "compared_form": comparison.form,
        "relative_output_error": comparison.relative_output_error,
        "max_output_error": comparison.max_output_error,
        "certified_upper": certificate.upper if certificate.reason is None else None,
        "certified_upper_reason": certificate.reason,
        "attained_lower": certificate.lower,
        "loose": certificate.loose,
        "float32_error": certificate.float32_error if math.isfinite(certificate.float32_error) else None,
        "kernel_error": kernel_error,
        "gain": {kept.layer.name: kept.layer.gain for kept in ticket.layers},
        "width": ticket.width,
        "narrowest": min(ticket.widths.values()),
        "plan": planned,
        "kept_filters": ticket.kept_filters,
        "total_filters": ticket.total_filters,
        "ticket_bytes": ticket_size(ticket),
        "target_bytes": target_bytes,
        "deployed": deployed,
        "seconds": {stage: round(spent, 3) for stage, spent in seconds.items()},
        "versions": _versions(),
        "seed": ticket.seed,
        "low": _ends(ticket.low),
        "high": _ends(ticket.high),
        "carried_over": list(ticket.carry_over),
        "stays": stays,
        "source": ticket.source,
        "evaluated_on": evaluated_on,
        "command": command,
        "settings": dict(settings),
        "layers": [{**layer, "kernel_error": kernel_error[layer["name"]]} for layer in ticket.summary()["layers"]],
    }


def summary_table(summary: dict[str, Any]) -> str:
    """The few numbers that say whether it worked, as lines of text."""

    def percent(value: float | None) -> str:
        return "not measured" if value is None else f"{100 * value:.2f} %"

    upper = summary["certified_upper"]
    proved = f"none: {summary['certified_upper_reason']}" if upper is None else f"{upper:.2e}"
    if summary["loose"]:
        proved += ", loose at this depth: more than 1,000 times what was attained"
    carried = ", ".join(summary["carried_over"])
    widths = f"{summary['width']:,}"
    if summary["narrowest"] != summary["width"]:
        widths = f"{summary['narrowest']:,} to {widths}"
    lines = {
        "accuracy, target": percent(summary["target_accuracy"]),
        "accuracy, ticket": percent(summary["ticket_accuracy"]),
        "same class": percent(summary["agreement"]),
        "relative output error": f"{summary['relative_output_error']:.2e}",
        "largest output error seen": f"{summary['max_output_error']:.2e}",
        "attained by search": f"{summary['attained_lower']:.2e}",
        "proved upper bound": proved,
        "kept filters": f"{summary['kept_filters']:,} of {summary['total_filters']:,} (width {widths})",
        **({} if summary["plan"] is None else planned_lines(summary["plan"])),
        "ticket file": f"{summary['ticket_bytes']:,} bytes",
        **({"CARRIED OVER": f"{carried}: the target's own weights, not random ones"} if carried else {}),
        **({"taken as they are": words_for(summary["stays"])} if summary["stays"] else {}),
        "seconds": ", ".join(f"{stage} {spent:.1f}" for stage, spent in summary["seconds"].items()),
    }
    text = "\n".join(f"{name:26s} {value}" for name, value in lines.items())
    return f"{text}\n\n{deployed_table(summary['deployed'])}"


def _ends(corner: npt.NDArray[np.float64]) -> float | list[float]:
    return float(corner) if corner.ndim == 0 else [float(corner.min()), float(corner.max())]


def _versions() -> dict[str, str]:
    found = {"sslth": sslth.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
