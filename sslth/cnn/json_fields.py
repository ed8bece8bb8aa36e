"""Fields of a ticket file's metadata, each checked as it is read; TicketFileError says what is wrong."""

from __future__ import annotations

from typing import Any

from sslth.errors import TicketFileError

__all__ = ["size", "sizes", "typed"]


def typed(item: dict[str, Any], key: str, kind: type[Any]) -> Any:
    """The value of a key, of this type."""
    value = item[key]
    if not isinstance(value, kind):
        raise TicketFileError(f"the ticket's {key!r} is a {type(value).__name__}, not a {kind.__name__}")
    return value


def size(value: Any, key: str, smallest: int = 1, largest: int = 1 << 31) -> int:
    """A whole number in the range."""
    if isinstance(value, bool) or not isinstance(value, int) or not smallest <= value <= largest:
        raise TicketFileError(
            f"the ticket's {key!r} is {str(value)[:40]}, not a whole number from {smallest} to {largest}"
        )
    return value


def sizes(item: dict[str, Any], key: str, count: int, smallest: int = 1) -> tuple[int, ...]:
    """So many whole numbers."""
    value = typed(item, key, list)
    if len(value) != count:
        raise TicketFileError(f"the ticket's {key!r} has {len(value)} entries, not {count}")
    return tuple(size(entry, key, smallest) for entry in value)
