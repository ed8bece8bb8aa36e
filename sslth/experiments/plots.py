"""Figures from stored results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sslth.errors import InvalidInputError
from sslth.experiments.error_vs_width import KIND, fit_power_law, points_of
from sslth.experiments.figures import draw_error_vs_width
from sslth.experiments.store import Store

__all__ = ["plot_error_vs_width"]


def plot_error_vs_width(store: Path, picture: Path) -> dict[str, Any]:
    """Draw what a store holds, and return the plotted points and the fit as JSON values."""
    raise InvalidInputError("unfinished")
