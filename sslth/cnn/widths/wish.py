"""What a plan of widths is asked for: an output error, a time, a size; checked before anything is run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sslth.errors import InvalidInputError
from sslth.subset_sum.arguments import non_negative, whole_number
from sslth.subset_sum.memory import parse_bytes

__all__ = ["WIDEST", "Wish", "checked_width", "checked_wish"]

WIDEST = 1 << 31  # 2n must be a 32-bit filter number
DEFAULT_WIDTH = 4096


@dataclass(frozen=True)
class Wish:
    """What the widths are to be chosen for; None where nothing was said.

    Attributes
    ----------
    target_error : float or None
        The output error, ‖ticket - target‖₂ / ‖target - its mean over the inputs‖₂.
    time_limit : float or None
        Seconds of the whole extraction, pilot included.
    max_bytes : int or None
        Size of the ticket file.
    widest : int or None
        No layer may be wider.
    max_kept : int or None
        Filters to keep in a block, where that alone was asked for and no width.
    """

    target_error: float | None = None
    time_limit: float | None = None
    max_bytes: int | None = None
    widest: int | None = None
    max_kept: int | None = None

    @property
    def asked(self) -> dict[str, float | int]:
        """What was asked for, by the argument's name; empty where no plan is wanted."""
        found = {
            "target_error": self.target_error,
            "time_limit": self.time_limit,
            "max_bytes": self.max_bytes,
            "max_kept": self.max_kept,
        }
        return {name: value for name, value in found.items() if value is not None}


def checked_wish(
    width: Any, target_error: Any = None, time_limit: Any = None, max_bytes: Any = None, max_kept: int | None = None
) -> Wish:
    """The wish, or InvalidInputError in one sentence; `width` limits the plan if there is one.

    `max_kept` alone, without a width, is a wish for the smallest error up to the default width.

    Examples
    --------
    >>> checked_wish(None, target_error=1e-2, max_bytes="20kB").asked
    {'target_error': 0.01, 'max_bytes': 20000}
    """
    wish = Wish(
        None if target_error is None else _positive(target_error, "target_error"),
        None if time_limit is None else _positive(time_limit, "time_limit"),
        None if max_bytes is None else parse_bytes(max_bytes, "max_bytes"),
    )
    if not wish.asked:
        return wish if width is not None or max_kept is None else Wish(widest=DEFAULT_WIDTH, max_kept=max_kept)
    if isinstance(width, Mapping):
        raise InvalidInputError(
            f"width says how wide every layer is; leave it out, or leave out {next(iter(wish.asked))}"
        )
    widest = None if width is None else whole_number(width, "width", 1, WIDEST)
    return Wish(wish.target_error, wish.time_limit, wish.max_bytes, widest)


def checked_width(width: Any) -> int | dict[str, int]:
    """One width for all layers, 4,096 where none was given, or one for each."""
    if isinstance(width, Mapping):
        return {name: whole_number(value, f"the width of {name}", 1, WIDEST) for name, value in width.items()}
    return whole_number(DEFAULT_WIDTH if width is None else width, "width", 1, WIDEST)


def _positive(value: Any, name: str) -> float:
    number = non_negative(value, name)
    if not 0 < number < math.inf:
        raise InvalidInputError(f"{name} is {value!r}; it must be a positive number")
    return number
