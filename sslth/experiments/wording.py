"""Words that pages and tables share."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["words_for"]

_MOST_NAMES = 8


def words_for(names: Sequence[str]) -> str:
    """The names in one line, the first of them where there are many.

    Examples
    --------
    >>> words_for(["a.weight", "b.weight"])
    'a.weight, b.weight'
    """
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
