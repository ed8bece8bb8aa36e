"""How far random rows come at a width, and at what cost: the shape of both laws; a pilot finds their constants."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sslth.cnn.plan import Searcher
from sslth.cnn.search import TiledSearch

__all__ = ["Anchor", "SearchLaw", "bytes_of_gaps", "seconds_of_tiled_block", "tiled_error"]

# Relative error of a layer's longest block by n / d, root mean square: docs/decisions/0015-width-plans.md
_LARGEST_D_OF_MESSAGES = 1294  # 5 d rows of d entries are at most 8 Mi
_RATIOS = (1.0, 2.0, 4.0, 7.0, 14.0, 28.0, 56.0, 112.0)
_ERRORS = {  # up to this d
    1: (0.9, 0.6, 0.34, 0.1, 1.5e-3, 1e-6, 3e-8, 4e-9),
    4: (0.8, 0.61, 0.32, 0.07, 3.3e-3, 4.9e-4, 8e-5, 1.5e-5),
    26: (0.8, 0.67, 0.37, 0.064, 0.0103, 1.4e-3, 2.7e-4, 6.5e-5),
    _LARGEST_D_OF_MESSAGES: (0.9, 0.85, 0.27, 0.044, 8.6e-3, 1.5e-3, 3.4e-4, 7.8e-5),
    1 << 31: (1.0, 0.97, 0.48, 0.21, 0.043, 5.8e-3, 9.5e-4, 2e-4),  # too large for message passing
}
_FINEST = 1e-15  # of float64 sums

_NS_A_FILTER, _NS_AN_ENTRY, _NS_A_BLOCK = 340.0, 4.5, 3e6
_NS_A_TAIL_ENTRY = 80.0


def tiled_error(n: float, d: int) -> float:
    """The relative error that tiles of signs leave of a layer's longest block, about; n filters of one sign.

    Above n = 112 d it falls as 1 / n². What a layer's rows do differently is a factor for a pilot to find.
    """
    errors = next(row for largest, row in _ERRORS.items() if d <= largest)
    ratio = n / d
    if ratio > _RATIOS[-1]:
        return max(_FINEST, errors[-1] * (_RATIOS[-1] / ratio) ** 2)
    return float(math.exp(np.interp(math.log(ratio), np.log(_RATIOS), np.log(errors))))


def seconds_of_tiled_block(n: float, d: int) -> float:
    """What one sign of a block takes, about, on the machine that this was measured on."""
    tail = min(n, 5.0 * d) * d if d <= _LARGEST_D_OF_MESSAGES else 0.0
    return 1e-9 * (_NS_A_BLOCK + _NS_A_FILTER * n + _NS_AN_ENTRY * n * d + _NS_A_TAIL_ENTRY * tail)


def bytes_of_gaps(kept: float, filters: float) -> float:
    """Bytes of `kept` random filter numbers below `filters`, as a ticket stores them: gaps in seven-bit groups."""
    if kept <= 0:
        return 0.0
    mean = max(1.0, filters / kept)
    return kept * (1.0 + sum(math.exp(-(128.0**i) / mean) for i in range(1, 5)))


class Anchor(NamedTuple):
    """What a pilot saw at one width: errors in units of random rows, kept filters and seconds, all of one block."""

    n: int
    error: float
    kept: float
    seconds: float


@dataclass(frozen=True)
class SearchLaw:
    """What the search of one block of dimension d will do at any width, from what it did at one or two.

    Attributes
    ----------
    solver : Searcher
    d : int
    anchor : Anchor
        At the wider width of the pilot.
    slope : float
        The error in units of rows falls as n to minus this; only where the law's shape is not known.
    kept_slope : float
        1 where the number of kept filters grows with the width, 0 where it is limited.
    """

    solver: Searcher
    d: int
    anchor: Anchor
    slope: float
    kept_slope: float

    def error(self, n: float, d: int | None = None) -> float:
        """Length of what is left of a block, in units of random rows; for a bias of another dimension d as well."""
        other = self.d if d is None else d
        if isinstance(self.solver, TiledSearch):
            return self.anchor.error * _in_rows(self.solver, n, other) / _in_rows(self.solver, self.anchor.n, self.d)
        alike = n * self.d / other  # the same number of rows a dimension
        return float(self.anchor.error * (alike / self.anchor.n) ** -self.slope * math.sqrt(other / self.d))

    def kept(self, n: float) -> float:
        """Kept filters of one sign of a block."""
        return float(self.anchor.kept * (n / self.anchor.n) ** self.kept_slope)

    def work(self, n: float) -> float:
        """Seconds of one sign of a block on the machine of the law's constants: the same on every machine."""
        if isinstance(self.solver, TiledSearch):
            return seconds_of_tiled_block(n, self.d)
        return 1e-9 * (_NS_A_BLOCK + _NS_A_FILTER * n + 10 * _NS_AN_ENTRY * n * self.d)

    def seconds(self, n: float) -> float:
        """The same on this machine."""
        return self.work(n) * self.anchor.seconds / self.work(self.anchor.n)


def _in_rows(solver: TiledSearch, n: float, d: int) -> float:
    return tiled_error(n, d) * solver.gain(np.ones(1), 0.0, max(1, round(n)), d)
