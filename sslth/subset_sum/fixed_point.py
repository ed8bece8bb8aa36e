"""Exact search on integers: an instance on a common power-of-two grid, and deciding among near-ties exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.exact_errors import round_down
from sslth.subset_sum.instance import FloatArray, Instance

__all__ = ["UNREACHABLE", "FixedPoint", "equal_rows", "to_fixed_point"]

IntArray = npt.NDArray[np.int64]

UNREACHABLE = 1 << 62
"""Above every integer error: sums stay below 2**61 and rounding adds at most half a unit a row."""

_FINEST_EXPONENT = -1074  # every float64 is a multiple of 2**-1074


@dataclass(frozen=True)
class FixedPoint:
    """An instance in whole multiples of `2**exponent`.

    Attributes
    ----------
    rows : int64[n, d]
    target : int64[d]
    exponent : int
        The step of the grid is `2**exponent`.
    slack : int
        For every subset, the integer sup-norm error and the true error divided by the step differ by at most
        this; 0 if every entry lies on the grid.
    floor : int
        No subset of an allowed size has a smaller integer error: the distance of the target from the box
        that the sums span.
    """

    rows: IntArray
    target: IntArray
    exponent: int
    slack: int
    floor: int

    @property
    def band(self) -> int:
        """How far above the best integer error a true minimiser may lie; -1: only strict improvements matter."""
        return 2 * self.slack if self.slack else -1

    def error(self, subset: npt.ArrayLike) -> int:
        """The integer sup-norm error of a subset."""
        chosen = np.asarray(subset, dtype=np.int64)
        return int(np.abs(self.rows[chosen].sum(axis=0) - self.target).max())

    def lower_bound(self, error: int) -> float:
        """What is proven about true errors, rounded down, once no subset has an integer error below `error`."""
        return round_down(Fraction(max(0, error - self.slack)) * Fraction(2) ** self.exponent)

    def points(self, error: float) -> int:
        """How many whole steps fit into `error`, at most `UNREACHABLE`."""
        if math.isinf(error):
            return UNREACHABLE
        return min(UNREACHABLE, math.floor(Fraction(error) / Fraction(2) ** self.exponent))


def to_fixed_point(instance: Instance, bits: int = 61) -> FixedPoint:
    """Round an instance to the finest common grid on which every column's `sum |X| + |z|` stays below `2**bits`.

    Parameters
    ----------
    instance : Instance
    bits : int
        At most 61, so that sums and differences of sums fit int64.

    Returns
    -------
    FixedPoint
        On a grid no finer than the entries need: integers and short floats have slack 0.

    Notes
    -----
    One grid for all columns, because the sup norm compares them. An entry is off by at most half a step; the
    slack adds up the roundings that one subset can combine, upwards and downwards apart. O(n d) time and memory.

    Examples
    --------
    >>> grid = to_fixed_point(Instance([[0.5], [0.75]], [1.0]))
    >>> grid.rows.ravel().tolist(), grid.target.tolist(), grid.exponent, grid.slack
    ([2, 3], [4], -2, 0)
    """
    entries = np.vstack([instance.samples, instance.target])
    exponent = max(_coarsest_exact_exponent(entries), _reach_exponent(entries) - bits)
    with np.errstate(under="ignore"):
        scaled = np.ldexp(entries, -exponent)
    integers = np.rint(scaled)
    exact = bool(np.array_equal(np.ldexp(integers, exponent), entries))
    grid = integers.astype(np.int64)
    rows, target = np.ascontiguousarray(grid[:-1]), np.ascontiguousarray(grid[-1])
    return FixedPoint(
        rows=rows,
        target=target,
        exponent=exponent,
        slack=0 if exact else _slack(scaled - integers),
        floor=_distance_from_box(rows, target, instance.smallest_size, instance.largest_size),
    )


def _coarsest_exact_exponent(entries: FloatArray) -> int:
    """The largest e such that every entry is a multiple of 2**e; 0 if all are zero."""
    values = entries[entries != 0]
    if not values.size:
        return 0
    fractions, exponents = np.frexp(values)
    mantissas = np.abs(np.ldexp(fractions, 53)).astype(np.int64)
    lowest_bits = np.frexp((mantissas & -mantissas).astype(np.float64))[1] - 1
    return int((exponents.astype(np.int64) - 53 + lowest_bits).min())


def _reach_exponent(entries: FloatArray) -> int:
    """An e with `sum |entries| < 2**e` in every column."""
    count = entries.shape[0]
    largest = float(np.abs(entries).max())
    if largest == 0.0:
        return _FINEST_EXPONENT
    top = math.frexp(largest)[1]
    with np.errstate(under="ignore"):
        reach = float(np.ldexp(np.abs(entries), -top).sum(axis=0).max())
    # float sums err by less than one part in 2**50 / count: counted upwards
    return top + math.frexp(reach * (1.0 + 2.0**-40 + count * 2.0**-50))[1]


def _slack(cut: FloatArray) -> int:
    """The most that roundings can add up to in one subset; `cut` is what rounding took from rows and target."""
    above = np.maximum(cut[:-1], 0.0).sum(axis=0)
    below = np.maximum(-cut[:-1], 0.0).sum(axis=0)
    worst = float(np.maximum(above - cut[-1], below + cut[-1]).max())
    return max(1, math.ceil(worst * (1.0 + 1e-9) + 1e-9))


def _distance_from_box(rows: IntArray, target: IntArray, smallest: int, largest: int) -> int:
    def sums(ordered: IntArray) -> IntArray:
        steps: IntArray = np.zeros((ordered.shape[0] + 1, ordered.shape[1]), dtype=np.int64)
        np.cumsum(ordered, axis=0, out=steps[1:])
        return steps[smallest : largest + 1]

    if smallest > largest:
        return 0
    ordered = np.sort(rows, axis=0)
    low, high = sums(ordered).min(axis=0), sums(ordered[::-1]).max(axis=0)
    return int(np.maximum(np.maximum(low - target, target - high), 0).max())


def equal_rows(instance: Instance) -> list[IntArray]:
    """Row indices, grouped by equal rows, in the order of first occurrence.

    Of equal rows only the number chosen matters. Rows of zeros are left out where no size asks for them.
    """
    samples = instance.samples + 0.0  # -0.0 becomes 0.0
    first_of: dict[bytes, list[int]] = {}
    for index, row in enumerate(samples):
        first_of.setdefault(row.tobytes(), []).append(index)
    if instance.smallest_size == 0:
        first_of.pop(bytes(8 * instance.d), None)
    return [np.array(group, dtype=np.int64) for group in first_of.values()]
