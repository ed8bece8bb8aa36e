"""Rows that put a published number beside ours: what an interval says about theirs, and the table as text."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["CONFIDENCE", "Row", "agreement", "format_number", "normal_quantile", "table_text"]

CONFIDENCE = 0.99  # of every interval, unless its note says otherwise
normal_quantile = 2.5758293035489004  # two-sided, for CONFIDENCE
_LINE = 118  # characters


@dataclass(frozen=True)
class Row:
    """One quantity.

    Attributes
    ----------
    quantity : str
    theirs, ours : float or None
        None: not published, or not computed.
    interval : (float, float) or None
        Of our number; the note says of which kind if it is no 99 % confidence interval.
    note : str
        What the comparison shows, and what it does not.
    """

    quantity: str
    theirs: float | None
    ours: float | None
    interval: tuple[float, float] | None
    note: str


def agreement(
    theirs: float, ours: float, interval: tuple[float, float], error: float | None = None, their_error: float = 0.0
) -> str:
    """Return what the interval says about their number, in words.

    Parameters
    ----------
    error, their_error : float
        Standard errors of our number and of theirs. Given, a number outside the interval is measured against both:
        theirs is a sample as well.

    Examples
    --------
    >>> agreement(0.5, 0.52, (0.4, 0.6))
    'theirs lies within the interval'
    >>> agreement(0.5, 0.62, (0.55, 0.7), 0.03, 0.03)
    'theirs lies outside the interval, 2.8 standard errors of the difference away: more than chance explains'
    """
    if interval[0] <= theirs <= interval[1]:
        return "theirs lies within the interval"
    if not error:
        return "theirs lies outside the interval"
    away = abs(theirs - ours) / math.hypot(error, their_error)
    verdict = "chance explains that" if away <= normal_quantile else "more than chance explains"
    return f"theirs lies outside the interval, {away:.1f} standard errors of the difference away: {verdict}"


def format_number(value: float | None) -> str:
    """A number for people: whole ones with their thousands apart, others with four digits; a dash for None.

    Examples
    --------
    >>> format_number(3725871), format_number(0.00404), format_number(7.7e-06), format_number(None)
    ('3,725,871', '0.00404', '7.7e-06', '-')
    """
    if value is None:
        return "-"
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e12:
        return f"{int(value):,}"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:.4g}"


def table_text(rows: Sequence[Row], differs: Iterable[str] = ()) -> str:
    """Return the table as lines of text, with the notes under it by number, and what differs in set-up.

    Examples
    --------
    >>> print(table_text([Row("failures", 0.004, 0.0041, (0.0036, 0.0047), "theirs lies within the interval")]))
        quantity  theirs  ours    interval
    [1] failures  0.004   0.0041  0.0036 to 0.0047
    <BLANKLINE>
    [1] theirs lies within the interval
    """
    cells = [("", "quantity", "theirs", "ours", "interval")]
    for number, row in enumerate(rows, start=1):
        ends = "-" if row.interval is None else " to ".join(format_number(end) for end in row.interval)
        cells.append((f"[{number}]", row.quantity, format_number(row.theirs), format_number(row.ours), ends))
    marks = max(len(line[0]) for line in cells)
    widths = [max(len(line[column]) for line in cells) for column in range(1, 4)]
    lines = []
    for mark, *columns, last in cells:
        padded = [text.ljust(width) for text, width in zip(columns, widths, strict=True)]
        lines.append(f"{mark.ljust(marks)} {'  '.join(padded)}  {last}")
    lines.append("")
    for number, row in enumerate(rows, start=1):
        if row.note:
            lines += _wrapped(f"[{number}]".ljust(marks) + " ", row.note)
    different = list(differs)
    if different:
        lines += ["", "What differs in set-up:"]
        for sentence in different:
            lines += _wrapped("- ", sentence)
    return "\n".join(lines)


def _wrapped(mark: str, text: str) -> list[str]:
    return textwrap.wrap(text, _LINE, initial_indent=mark, subsequent_indent=" " * len(mark))
