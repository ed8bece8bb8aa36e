"""What a ticket's settings say of its compensation; they may come from a file that anybody wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["matched_errors", "output_errors"]


def matched_errors(settings: Mapping[str, Any]) -> dict[str, float]:
    """By layer, the largest relative error of a channel block against what it was aimed at; from settings."""
    found = _part(settings, "matched_error")
    return {str(name): float(value) for name, value in found.items() if isinstance(value, int | float)}


def output_errors(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """{"with", "without", "inputs", "on"} of a ticket's settings; None where it was not measured."""
    return dict(_part(settings, "output_error")) or None


def _part(settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    note = settings.get("compensation")
    part = note.get(key) if isinstance(note, Mapping) else None
    return part if isinstance(part, Mapping) else {}
