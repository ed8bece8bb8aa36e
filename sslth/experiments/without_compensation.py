"""What a refitted ticket would have been without its calibration: a second search, for the report alone."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn

from sslth.cnn.extract import extract
from sslth.cnn.ticket import Ticket
from sslth.experiments.comparison import outputs_of

__all__ = ["with_error_without"]


def with_error_without(model: nn.Module, ticket: Ticket, calibration: Tensor, **how: Any) -> dict[str, Any]:
    """The ticket's settings, with the output error of a ticket of the same widths and seed that was not compensated.

    `how` goes to `extract`. The error is ‖ticket - target‖ / ‖target - its mean over the inputs‖ on the calibration
    inputs [m, ...], to three digits, as the one beside it. Costs as much as extracting the ticket without calibration.
    """
    other = extract(
        model,
        calibration[:1],
        ticket.widths,
        ticket.seed,
        low=ticket.low,
        high=ticket.high,
        compensate=False,
        **how,
    )
    target = outputs_of(copy.deepcopy(model).cpu().eval().double(), calibration.double())
    found = outputs_of(other.to_module(model, merged=True).double(), calibration.double())
    error = float((found - target).norm() / (target - target.mean(dim=0)).norm())
    settings = copy.deepcopy(dict(ticket.settings))
    settings["compensation"]["output_error"]["without"] = float(f"{error:.3g}")
    return settings
