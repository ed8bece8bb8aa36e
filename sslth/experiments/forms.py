"""The networks that a ticket is compared with, and what people call them."""

from __future__ import annotations

from sslth.cnn.ticket import Ticket

__all__ = ["FORMS", "wide_form_fits"]

_LARGEST_WIDE = 1 << 30  # bytes of kept float32 kernels; to compare them takes five times as much

FORMS = {
    "target": "target network",
    "random": "random network",
    "wide": "ticket, wide form",
    "merged": "ticket, merged form",
}


def wide_form_fits(ticket: Ticket) -> bool:
    """Whether the kept filters are few enough to be run as they stand; tickets of very wide networks are not."""
    return sum(4 * kept.kept * (1 + kept.layer.wiring.d) for kept in ticket.layers) <= _LARGEST_WIDE
