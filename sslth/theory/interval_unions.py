"""Unions of disjoint intervals of the line: grown by a shift of themselves, clipped, measured, paired by distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslth.errors import InvalidInputError

__all__ = ["IntervalUnion", "pairs_within"]

FloatArray = npt.NDArray[np.float64]

_UNIT = 2.0**-53  # relative rounding error of one operation


@dataclass(frozen=True, eq=False)
class IntervalUnion:
    """Closed intervals [starts[i], ends[i]] that do not touch, in ascending order.

    Attributes
    ----------
    starts, ends : float64[m]

    Examples
    --------
    >>> union = IntervalUnion.around([0.0, 0.5, 3.0], 0.25)
    >>> union.starts.tolist(), union.ends.tolist()
    ([-0.25, 2.75], [0.75, 3.25])
    """

    starts: FloatArray
    ends: FloatArray

    @classmethod
    def around(cls, points: npt.ArrayLike, radius: float) -> IntervalUnion:
        """Return all numbers within `radius` of a point; `points` is float64[m], m >= 1. O(m log m).

        Raises
        ------
        InvalidInputError
            If there is no point, one is not finite, or the radius is not positive.
        """
        at = np.asarray(points, dtype=np.float64)
        if at.ndim != 1 or at.size == 0 or not np.isfinite(at).all():
            raise InvalidInputError(f"a union needs a list of finite points, at least one, not shape {at.shape}")
        if not radius > 0.0:
            raise InvalidInputError(f"the radius is {radius}; take a positive one")
        return _united(at - radius, at + radius)

    @property
    def length(self) -> float:
        """The Lebesgue measure."""
        return float((self.ends - self.starts).sum())

    def grown(self, shift: float) -> IntervalUnion:
        """Return the union of this and this moved by `shift`: one step of f + (1 - f) f(· - x). O(m log m)."""
        return _united(
            np.concatenate([self.starts, self.starts + shift]), np.concatenate([self.ends, self.ends + shift])
        )

    def clipped(self, low: float, high: float) -> IntervalUnion:
        """Return the part in [low, high]; single points are left out."""
        starts, ends = np.maximum(self.starts, low), np.minimum(self.ends, high)
        inside = starts < ends
        return IntervalUnion(starts[inside], ends[inside])

    def gaps(self, low: float, high: float) -> IntervalUnion:
        """Return the closure of what is missing in [low, high]."""
        starts, ends = np.concatenate([[low], self.ends]), np.concatenate([self.starts, [high]])
        return IntervalUnion(starts, ends).clipped(low, high)

    def covers(self, low: float, high: float) -> bool:
        """Whether all of [low, high] belongs to it."""
        at = int(np.searchsorted(self.starts, low, side="right")) - 1
        return at >= 0 and bool(self.ends[at] >= high)


def pairs_within(first: IntervalUnion, second: IntervalUnion, distance: float) -> tuple[float, float]:
    r"""Return the area of all pairs (a, z), a in `first`, z in `second`, |a - z| <= distance, and its rounding error.

    With F(x) the length of `first` below x and H its integral, the area is the sum of
    H(z + distance) - H(z - distance) from end to end over the intervals of `second`; H is piecewise quadratic, so that
    nothing is lost but rounding. The second number bounds that (every value adds at most 2m + 12 positive terms,
    each rounded a few times). O((m + k) log m) for m and k intervals.

    Examples
    --------
    >>> left, right = IntervalUnion.around([-0.5], 0.5), IntervalUnion.around([0.5], 0.5)
    >>> area, error = pairs_within(left, right, 1.0)  # the triangle z <= a + 1
    >>> abs(area - 0.5) <= error < 1e-13
    True
    """
    if first.starts.size == 0 or second.starts.size == 0:
        return 0.0, 0.0
    widths = first.ends - first.starts
    below = np.concatenate([[0.0], np.cumsum(widths)])[:-1]
    steps = below[:-1] * np.diff(first.starts) + widths[:-1] * (first.starts[1:] - first.ends[:-1] + widths[:-1] / 2)
    knots = np.concatenate([[0.0], np.cumsum(steps)])

    def twice_integrated(x: FloatArray) -> FloatArray:
        at = np.searchsorted(first.starts, x, side="right") - 1
        known = np.maximum(at, 0)
        past = np.where(at < 0, 0.0, x - first.starts[known])
        within = np.minimum(past, widths[known])
        value = knots[known] + below[known] * past + within * (past - within / 2)
        return np.where(at < 0, 0.0, value)

    ends = np.stack(
        [second.ends + distance, second.starts - distance, second.starts + distance, second.ends - distance]
    )
    values = twice_integrated(ends)
    area = float((values[0] - values[2] - values[3] + values[1]).sum())
    terms = 2 * first.starts.size + second.starts.size + 16
    # an argument z + distance is rounded as well: it moves the value by its own error times the length
    moved = 8.0 * _UNIT * float(np.abs(ends).max()) * first.length * second.starts.size
    return area, 4.0 * _UNIT * terms * float(values.sum()) + moved


def _united(starts: FloatArray, ends: FloatArray) -> IntervalUnion:
    """The union of [starts[i], ends[i]], in any order.

    Sorted apart, the ends before place i are fewer than the starts up to it unless everything before has closed.
    """
    starts, ends = np.sort(starts), np.sort(ends)
    apart = starts[1:] > ends[:-1]
    return IntervalUnion(np.concatenate([starts[:1], starts[1:][apart]]), np.concatenate([ends[:-1][apart], ends[-1:]]))
