"""Exact search on integers: an instance on a common power-of-two grid, and deciding among near-ties exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.instance import FloatArray, Instance
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.verify import verify

__all__ = [
    "UNREACHABLE",
    "CandidateBuffer",
    "FixedPoint",
    "best_exactly",
    "equal_rows",
    "exact_errors",
    "quick_subset",
    "to_fixed_point",
]

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


def round_down(value: Fraction) -> float:
    """The largest float64 that is at most a value >= 0."""
    nearest = float(value)
    return nearest if Fraction(nearest) <= value else math.nextafter(nearest, 0.0)


def best_exactly(instance: Instance, subsets: Iterable[npt.ArrayLike]) -> tuple[IntArray, Fraction]:
    """The first subset with the smallest true error, and that error, in exact integer arithmetic.

    Cost O(number of subsets · k · d) additions of integers of at most 2,100 bits.
    """
    known = [np.asarray(subset, dtype=np.int64) for subset in subsets]
    if not known:
        raise ValueError("there is no subset to choose from")
    errors = exact_errors(instance, known)
    best = errors.index(min(errors))
    return known[best], errors[best]


def exact_errors(instance: Instance, subsets: Iterable[npt.ArrayLike]) -> list[Fraction]:
    """The true error of each subset. Cost as `best_exactly`."""
    exact, exponent = _exact_integers(np.vstack([instance.samples, instance.target]))
    step = Fraction(2) ** exponent
    errors = []
    for subset in subsets:
        residual = exact[np.asarray(subset, dtype=np.int64)].sum(axis=0) - exact[-1]
        errors.append(max(abs(int(entry)) for entry in residual) * step)
    return errors


def _exact_integers(entries: FloatArray) -> tuple[npt.NDArray[np.object_], int]:
    """Python integers and an exponent e with `entries == integers * 2**e`, without rounding."""
    fractions, exponents = np.frexp(entries)
    mantissas = np.ldexp(fractions, 53).astype(np.int64)
    exponents = exponents.astype(np.int64) - 53
    lowest = int(exponents[entries != 0].min()) if entries.any() else 0
    shifts = np.where(entries != 0, exponents - lowest, 0)
    return mantissas.astype(object) << shifts.astype(object), lowest


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


def quick_subset(instance: Instance) -> IntArray:
    """Some subset of an allowed size: one row after the other, the one that leaves the smallest error.

    Cost O(k n d) for k chosen rows, cut off after about 10 ms; fails to find anything good where rows must cancel.
    """
    largest = instance.largest_size
    free = np.ones(instance.n, dtype=np.bool_)
    chosen: list[int] = []
    residual = instance.target.copy()
    steps = min(largest, 1 + 2_000_000 // (instance.n * instance.d))
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps):
            open_rows = np.flatnonzero(free)
            errors = np.abs(residual - instance.samples[open_rows]).max(axis=1)
            best = int(np.argmin(errors))
            improves = bool(errors[best] < np.abs(residual).max())
            if not improves and len(chosen) >= instance.smallest_size:
                break
            row = int(open_rows[best])
            free[row] = False
            chosen.append(row)
            residual = residual - instance.samples[row]
    missing = instance.smallest_size - len(chosen)
    if missing > 0:
        chosen.extend(np.flatnonzero(free)[:missing].tolist())
    return np.sort(np.array(chosen, dtype=np.int64))


@dataclass
class CandidateBuffer:
    """Where a search kernel puts the subsets that may be minimisers, and what it may still accept.

    A kernel accepts a subset whose integer error is at most `min(bound, best + band)`, writes error and codes at
    `count`, lowers `best`, and returns when the buffer is full or an error of at most `return_at` was accepted.

    Attributes
    ----------
    grid : FixedPoint
    limits : Limits
    decode : callable
        Turns the two integers of a candidate into a subset.
    errors, codes : int64[capacity], int64[capacity, 2]
    control : int64[5]
        count, best, band, bound, return_at.
    """

    instance: Instance
    grid: FixedPoint
    limits: Limits
    decode: Callable[[int, int], IntArray]
    capacity: int = 4096
    errors: IntArray = field(init=False)
    codes: IntArray = field(init=False)
    control: IntArray = field(init=False)
    incumbent: IntArray = field(init=False)
    overflowed_at: int | None = field(init=False, default=None)
    within_tolerance: IntArray | None = field(init=False, default=None)
    checked: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.errors = np.zeros(self.capacity, dtype=np.int64)
        self.codes = np.zeros((self.capacity, 2), dtype=np.int64)
        self.incumbent = quick_subset(self.instance)
        self.control = np.array([0, self.grid.error(self.incumbent), self.grid.band, UNREACHABLE, -1], dtype=np.int64)
        self.control[4] = self.tolerance_points
        self._offer(self.incumbent, self.best)

    @property
    def best(self) -> int:
        """The smallest integer error so far."""
        return int(self.control[1])

    @property
    def is_settled(self) -> bool:
        """Whether nothing better can exist: the best error cannot be below the distance from the box."""
        return self.conclusive_bound < self.grid.floor

    @property
    def conclusive_bound(self) -> int:
        """A pass that accepts integer errors up to here has seen every possible minimiser."""
        return self.best + self.grid.band

    @property
    def tolerance_points(self) -> int:
        """The largest integer error that a subset within the tolerance may have; -1 without a tolerance."""
        if self.limits.tolerance is None:
            return -1
        return min(UNREACHABLE, self.grid.points(self.limits.tolerance) + self.grid.slack)

    def start_pass(self, bound: int) -> None:
        """Forget the candidates but not the best error: the next pass sees every candidate up to `bound` again."""
        self._remember_best()
        self.control[0] = self.checked = 0
        self.control[3] = bound
        self.overflowed_at = None
        self.control[2] = self.grid.band
        self.control[4] = self.tolerance_points

    def settle(self) -> None:
        """Look at what a kernel has accepted since the last call: tolerance, a full buffer."""
        count = int(self.control[0])
        if self.limits.tolerance is not None:
            for index in range(self.checked, count):
                if int(self.errors[index]) <= self.tolerance_points:
                    self._offer(self._decoded(index), int(self.errors[index]))
                    if self.within_tolerance is not None:
                        return
        self.checked = count
        if self.overflowed_at is not None and count:
            if self.best + self.grid.band < self.overflowed_at:
                self.overflowed_at = None  # whatever was dropped is too far from the new best
                self.control[2], self.control[4] = self.grid.band, self.tolerance_points
            else:
                self.overflowed_at = min(self.overflowed_at, self.best)
        if count == self.capacity:
            self._compact()

    def absorb(self, errors: IntArray, codes: IntArray) -> None:
        """Take over what another buffer accepted, in order, by the rules of this one."""
        start = 0
        while start < errors.size:
            count = int(self.control[0])
            stop = min(errors.size, start + self.capacity - count)
            part = errors[start:stop]
            before = self.best
            self.control[1] = min(before, int(part.min()))
            band = int(self.control[2])
            limit = min(int(self.control[3]), self.best + band)
            near = np.flatnonzero(part <= limit)
            if band < 0 and self.best < before:  # strict improvements only: the first of the best will do
                near = np.flatnonzero(part == self.best)[:1]
            self.errors[count : count + near.size] = part[near]
            self.codes[count : count + near.size] = codes[start:stop][near]
            self.control[0] += near.size
            self.settle()
            start = stop

    def meets_tolerance(self, subset: IntArray) -> bool:
        """Whether the true error of a subset is within the tolerance."""
        return self.limits.is_met_by(verify(self.instance, subset).error)

    def subsets(self) -> list[IntArray]:
        """The subsets that may be minimisers, the incumbent first where it is one."""
        limit = self.best + max(0, self.grid.band)
        chosen = [self.incumbent] if self.grid.error(self.incumbent) <= limit else []
        count = int(self.control[0])
        return chosen + [self._decoded(int(i)) for i in np.flatnonzero(self.errors[:count] <= limit)]

    def best_subset(self) -> IntArray:
        """The subset with the smallest true error among those known."""
        if self.within_tolerance is not None:
            return self.within_tolerance
        subsets = self.subsets()
        if self.grid.slack == 0:  # all have the same error then; the last found is the best
            errors = [self.grid.error(subset) for subset in subsets]
            return subsets[int(np.argmin(errors))]
        return best_exactly(self.instance, subsets)[0]

    def _offer(self, subset: IntArray, error: int) -> None:
        if self.limits.tolerance is not None and error <= self.tolerance_points and self.meets_tolerance(subset):
            self.within_tolerance = subset

    def _decoded(self, index: int) -> IntArray:
        return self.decode(int(self.codes[index, 0]), int(self.codes[index, 1]))

    def _remember_best(self) -> None:
        count = int(self.control[0])
        hits = np.flatnonzero(self.errors[:count] == self.best)
        if hits.size and self.grid.error(self.incumbent) > self.best:
            self.incumbent = self._decoded(int(hits[0]))

    def _compact(self) -> None:
        count = int(self.control[0])
        near = np.flatnonzero(self.errors[:count] <= self.best + max(0, self.grid.band))
        if near.size > self.capacity // 2:
            near = near[np.argsort(self.errors[near], kind="stable")[: self.capacity // 2]]
            self.overflowed_at = self.best
            self.control[2], self.control[4] = -1, UNREACHABLE  # strict improvements only, each reported
        self.errors[: near.size] = self.errors[near]
        self.codes[: near.size] = self.codes[near]
        self.control[0] = self.checked = near.size
