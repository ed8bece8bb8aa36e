"""The report of the main job: one HTML page that a person reads top to bottom, with nothing outside it."""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, Undefined
from markupsafe import Markup

from sslth.experiments.forms import FORMS
from sslth.experiments.wording import words_for
from sslth.subset_sum.files import write_atomically

__all__ = ["render_report", "write_report"]

NOT_MEASURED = "not measured"

# Pictures that have their place on the page; any other comes at the end, under its own name.
PLACED_PICTURES = ("kept_filters", "kernels", "layer_errors", "error_vs_width")


def write_report(
    path: str | os.PathLike[str],
    summary: Mapping[str, Any],
    pictures: Mapping[str, bytes],
    command: str,
    *,
    title: str = "Structured strong lottery ticket",
    asked: str | None = None,
) -> None:
    """Write the page; the file is complete or what it was before.

    Parameters
    ----------
    path : path-like
    summary : mapping
        The content of `summary.json`. What is missing or None reads "not measured"; every number on the page, apart
        from those in the pictures, is one of these.
    pictures : {name: PNG bytes}
        `kept_filters`, `kernels`, `layer_errors`, `error_vs_width`; others follow at the end.
    command : str
        What makes everything again.
    title : str
    asked : str, optional
        One paragraph on what was asked; by default one made of the summary.

    Raises
    ------
    InvalidInputError
        If the file cannot be written.
    """
    page = render_report(summary, pictures, command, title=title, asked=asked).encode("utf-8")
    write_atomically(path, lambda stream: stream.write(page))


def render_report(
    summary: Mapping[str, Any],
    pictures: Mapping[str, bytes],
    command: str,
    *,
    title: str = "Structured strong lottery ticket",
    asked: str | None = None,
) -> str:
    """Return the page as text; see `write_report`."""
    environment = Environment(
        loader=PackageLoader("sslth.experiments"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    filters = (number, whole, percent, size, short_size, box, seconds, milliseconds, picture, words_for)
    environment.filters.update({function.__name__: function for function in filters})
    return environment.get_template("report.html.j2").render(
        summary=summary,
        pictures=pictures,
        others={name: content for name, content in pictures.items() if name not in PLACED_PICTURES},
        command=command,
        title=title,
        asked=asked,
        forms=FORMS,
    )


def number(value: Any) -> str:
    """A float with three significant digits."""
    if not _is_number(value):
        return NOT_MEASURED
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        digits, exponent = f"{value:.2e}".split("e")
        raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{digits} × 10{raised}".replace("-", "−")
    return f"{value:.3g}".replace("-", "−") if abs(value) < 999.5 else f"{value:,.0f}"


def whole(value: Any) -> str:
    """A whole number, with its thousands apart."""
    return f"{int(value):,}" if _is_number(value) else NOT_MEASURED


def percent(value: Any) -> str:
    """A share between 0 and 1 in percent."""
    return f"{100 * value:.2f} %" if _is_number(value) else NOT_MEASURED


def size(value: Any) -> str:
    """A number of bytes, with a unit that suits it."""
    if not _is_number(value):
        return NOT_MEASURED
    if value < 1000:
        return f"{int(value)} bytes"
    unit, name = next((unit, name) for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if value >= unit)
    return f"{value / unit:.3g} {name} ({int(value):,} bytes)"


def short_size(value: Any) -> str:
    """A number of bytes with a unit alone."""
    return size(value).split(" (")[0]


def seconds(value: Any) -> str:
    """A duration."""
    return f"{number(value)} s" if _is_number(value) else NOT_MEASURED


def milliseconds(value: Any) -> str:
    """A short duration, in seconds where it is not."""
    return seconds(value) if not _is_number(value) or value >= 1.0 else f"{number(1000 * value)} ms"


def box(value: Any) -> str:
    """One side of the box: a number, or the range of an array."""
    if isinstance(value, list | tuple):
        flat = [entry for entry in _flat(value) if _is_number(entry)]
        return f"{number(min(flat))} to {number(max(flat))} (an array)" if flat else NOT_MEASURED
    return number(value)


def picture(content: bytes) -> Markup:
    """A PNG as a data URI."""
    return Markup("data:image/png;base64,{}").format(base64.b64encode(content).decode("ascii"))


def _is_number(value: Any) -> bool:
    if value is None or isinstance(value, Undefined | bool | str):
        return False
    try:
        return math.isfinite(value)
    except (TypeError, OverflowError):
        return False


def _flat(value: Any) -> list[Any]:
    return [entry for item in value for entry in _flat(item)] if isinstance(value, list | tuple) else [value]
