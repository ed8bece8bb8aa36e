"""The errors that sslth raises: one sentence each, which says what is wrong, where, and what to do."""

from __future__ import annotations

__all__ = ["DeviceLostError", "InvalidInputError", "SslthError", "TicketFileError", "UnsupportedModuleError"]


class SslthError(Exception):
    """Base of every error that sslth raises on purpose; its text is one line for the user."""


class InvalidInputError(SslthError, ValueError):
    """An argument, an array or a file cannot be what was asked for."""


class DeviceLostError(SslthError, RuntimeError):
    """A device failed in the middle of work that can be taken up again."""


class UnsupportedModuleError(SslthError, TypeError):
    """A network holds a module whose weights a ticket cannot replace."""


class TicketFileError(SslthError, ValueError):
    """A ticket file is unreadable, truncated, inconsistent, or from another format version."""
