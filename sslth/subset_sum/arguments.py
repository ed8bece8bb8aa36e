"""Checking scalar arguments: one sentence with the offending value when they cannot be."""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np

from sslth.errors import InvalidInputError

__all__ = ["non_negative", "seed_number", "whole_number", "written_number"]


_MOST_DIGITS = 40


def whole_number(value: Any, name: str, smallest: int, largest: int) -> int:
    """A Python int in the range; InvalidInputError for anything else, booleans included."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not smallest <= int(value) <= largest:
        raise InvalidInputError(f"{name} is {value!r}; it must be a whole number from {smallest} to {largest}")
    return int(value)


def written_number(text: str, name: str) -> int:
    """The whole number that a text such as "4096" or "1e7" means; InvalidInputError for anything else.

    Examples
    --------
    >>> written_number("2.5e6", "width")
    2500000
    """
    try:
        number = Decimal(text)
        if number.is_finite() and number.adjusted() < _MOST_DIGITS and number == int(number):
            return int(number)
    except InvalidOperation:
        pass
    raise InvalidInputError(f"{name} is {text!r}; write a whole number such as 4096 or 1e7")


def seed_number(value: Any) -> int:
    """A seed: a whole number of 64 bits."""
    return whole_number(value, "seed", 0, 2**64 - 1)


def non_negative(value: Any, name: str) -> float:
    """A float that is at least 0 and not NaN; infinity is allowed."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InvalidInputError(f"{name} is {value!r}; it must be a number that is at least 0")
    if value != value or value < 0:  # NaN is the number that is not itself; math.isnan fails on huge integers
        raise InvalidInputError(f"{name} is {value}; it must be a number that is at least 0")
    try:
        return float(value)
    except OverflowError:
        return math.inf
