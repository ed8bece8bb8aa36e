"""How commands talk: standard JSON for machines, one line for people."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import typer

__all__ = ["echo_json", "standard_json"]


def standard_json(value: Any) -> Any:
    """Numbers that JSON cannot write become null, with the reason beside them under `<key>_reason`."""
    if isinstance(value, Mapping):
        clean: dict[str, Any] = {}
        for key, item in value.items():
            clean[str(key)] = standard_json(item)
            if isinstance(item, float) and not math.isfinite(item):
                clean.setdefault(f"{key}_reason", "not a number" if math.isnan(item) else "infinite")
        return clean
    if isinstance(value, (list, tuple)):
        return [standard_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def echo_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output."""
    typer.echo(json.dumps(standard_json(value), indent=2, allow_nan=False))
