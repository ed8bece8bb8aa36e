"""A plan of widths after the fact: what was asked for, predicted and reached, side by side."""

from __future__ import annotations

import math
from typing import Any

from sslth.cnn.ticket import Ticket
from sslth.cnn.ticket_file import ticket_size
from sslth.cnn.widths.width_plan import WidthPlan

__all__ = ["planned_and_reached", "planned_lines", "unmet_wishes"]

_WISHES = {"error": "target_error", "seconds": "time_limit", "bytes": "max_bytes"}


def planned_and_reached(plan: WidthPlan, ticket: Ticket, seconds: float) -> dict[str, Any]:
    """The plan of a finished extraction, as JSON values.

    Parameters
    ----------
    plan : WidthPlan
    ticket : Ticket
        What came of it.
    seconds : float
        What the extraction took, pilot included.

    Returns
    -------
    dict
        `asked`, by the argument's name; `predicted` and `reached`, each with `error`, `seconds` and `bytes`;
        `on` and `inputs`, where errors were measured; `widths` by layer.
    """
    stored = ticket.settings["plan"]
    return {
        "asked": stored["asked"],
        "predicted": {
            "error": plan.predicted_error,
            "seconds": plan.predicted_seconds,
            "bytes": plan.predicted_bytes,
        },
        "reached": {
            "error": stored["reached"]["error"],
            "seconds": round(seconds, 3),
            "bytes": ticket_size(ticket),
        },
        "on": stored["on"],
        "inputs": stored["inputs"],
        "widths": ticket.widths,
    }


def planned_lines(planned: dict[str, Any]) -> dict[str, str]:
    """Lines for the table that people see."""
    predicted, reached = planned["predicted"], planned["reached"]
    return {
        "asked for": ", ".join(f"{name} {value:g}" for name, value in planned["asked"].items()),
        "predicted": f"error {predicted['error']:.2e}, {predicted['seconds']:.1f} s, {predicted['bytes']:,} bytes",
        "reached": f"error {reached['error']:.2e}, {reached['seconds']:.1f} s, {reached['bytes']:,} bytes",
    }


def unmet_wishes(planned: dict[str, Any] | None) -> list[str]:
    """One sentence for every wish that was not reached; for an error, which widths would be predicted to do it.

    Examples
    --------
    >>> asked, reached = {"max_bytes": 1000}, {"error": 0.1, "seconds": 1.0, "bytes": 1200}
    >>> unmet_wishes({"asked": asked, "reached": reached})
    ['not reached: the ticket has 1,200 bytes, and max_bytes is 1,000']
    """
    if planned is None:
        return []
    asked, reached = planned["asked"], planned["reached"]
    over = [what for what, wish in _WISHES.items() if wish in asked and reached[what] > asked[wish]]
    return [_sentence(what, asked[_WISHES[what]], reached, planned) for what in over]


def _sentence(what: str, wish: float, reached: dict[str, Any], planned: dict[str, Any]) -> str:
    if what == "bytes":
        return f"not reached: the ticket has {reached['bytes']:,} bytes, and max_bytes is {wish:,}"
    if what == "seconds":
        return f"not reached: the extraction took {reached['seconds']:.1f} s, and time_limit is {wish:g}"
    factor = 1.05 * math.sqrt(reached["error"] / wish)  # the error falls about as 1 / width²
    widest = math.ceil(factor * max(planned["widths"].values()))
    ask = 0.9 * wish**2 / reached["error"]
    return (
        f"not reached: the output error is {reached['error']:.2e}, and target_error is {wish:g}; widths {factor:.2g} "
        f"times as large (up to {widest:,}) are predicted to do it: ask for target_error {ask:.1e}"
    )
