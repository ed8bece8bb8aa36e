"""Figures from stored results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sslth.errors import InvalidInputError

__all__ = ["plot_error_vs_width"]


def plot_error_vs_width(store: Path, picture: Path) -> dict[str, Any]:
    """Draw what a store holds, and return the plotted points and the fit as JSON values."""
    raise InvalidInputError("unfinished")
