"""The error of a run whose numbers left the finite."""

from __future__ import annotations

from sslth.errors import SslthError

__all__ = ["DivergedError"]


class DivergedError(SslthError, ArithmeticError):
    """A loss or a score became NaN or infinite; the last good checkpoint is kept."""
