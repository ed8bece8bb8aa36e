"""Differencing in one dimension: the largest numbers are set against each other, and a search ends it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.instance import FloatArray, Instance
from sslth.subset_sum.kernels.differencing import LOW_BITS, difference_largest, search_signs, spread_signs
from sslth.subset_sum.kernels.pursuit import threshold_pass
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import Outcome, StoppedBy
from sslth.subset_sum.solvers.scaling import scaled_to_one
from sslth.subset_sum.verify import verify

__all__ = ["Differencing"]

IntArray = npt.NDArray[np.int64]

_STEPS_A_CHUNK = 8_000
_MOVES_A_CHUNK = 2_000_000
_RESTART_SIZE = 2_000  # restarts share the differences that lead to so many numbers
_SEARCHED = 30  # how many numbers the depth-first search takes over


@dataclass(frozen=True)
class Differencing:
    """Karmarkar and Karp's largest differencing method, its last numbers searched depth first; d = 1 only.

    Idea: with signs s = +-1 a subset hits the target z iff sum s_i x_i = 2 z - sum x, so the right-hand side joins
    the numbers as one more, and all are to be split into two sets of equal sums. The two largest are put into
    different sets again and again, that is, replaced by their difference [KarmarkarKarp1982]_: the last number is
    twice the error, near n^(-0.72 ln n) times the largest for random numbers [BoettcherMertens2008]_. Then the last
    numbers are searched depth first, differences before sums, with bounds [Korf1998]_; after that the search is
    repeated from other differences: the third largest now and then takes the part of the second.

    Numbers are integers of 123 bits, so differences are exact down to 1e-37 of the largest sum: from n = 2,000 or so
    Gaussian rows an error of exactly 0 is found in milliseconds.

    Cost: O(n log n) time for the first answer (.3 s at n = 10^6, most of it for sorting), O(n) memory. A unit of work
    is a row decided, a difference, or a number moved by the search. It fails where n is below a few hundred: `k_tree`
    gets nearer in the same time, and exact solvers nearer still. It honours no cardinality: differences fix who is
    apart, not how many are chosen.

    Parameters
    ----------
    rows : int
        So many of the smallest rows take part; larger ones are decided by a pursuit before.
    restarts : int
        How often the last numbers are searched.
    search_work : int
        Numbers moved by one search.

    References
    ----------
    .. [KarmarkarKarp1982] N. Karmarkar, R. M. Karp, "The differencing method of set partitioning", Report UCB/CSD
       82/113, University of California, Berkeley, 1982.
    .. [Korf1998] R. E. Korf, "A complete anytime algorithm for number partitioning", Artificial Intelligence 106,
       1998. doi:10.1016/S0004-3702(98)00086-1
    .. [BoettcherMertens2008] S. Boettcher, S. Mertens, "Analysis of the Karmarkar-Karp differencing algorithm",
       European Physical Journal B 65, 2008. doi:10.1140/epjb/e2008-00320-9

    Examples
    --------
    >>> Differencing()(Instance([[1.0], [2.0], [4.0]], [5.0]), Limits()).subset
    array([0, 2])
    """

    rows: int = 30_000
    restarts: int = 200
    search_work: int = 4_000_000
    name: str = "differencing"

    def __call__(self, instance: Instance, limits: Limits) -> Outcome:
        """Difference, search, restart until a limit, the tolerance or the last restart is reached."""
        search = _Search(instance, limits)
        stopped = search.run(self)
        return Outcome(search.subset, stopped, work=search.work, details={"restarts": search.restarts})


class _Search:
    """The numbers and the best subset of one call."""

    def __init__(self, instance: Instance, limits: Limits) -> None:
        self.instance, self.limits = instance, limits
        self.subset: IntArray = np.empty(0, dtype=np.int64)
        self.error = float(np.abs(instance.target[0]))
        self.work = self.restarts = 0

    def stopped(self) -> StoppedBy | None:
        """Why the search is over, if it is."""
        if self.error == 0.0 or self.limits.is_met_by(self.error):
            return StoppedBy.DONE if self.limits.tolerance is None else StoppedBy.TOLERANCE
        return self.limits.exceeded(self.work)

    def run(self, settings: Differencing) -> StoppedBy:
        """All phases; the reason why they end."""
        try:
            reached = self.stopped()
            if reached is not None:
                return reached
            tail = self._pursue(settings.rows)
            reached = self.stopped()
            if reached is not None:
                return reached
            numbers = _Numbers.of(self.instance, tail, self.pursued)
            count = numbers.high.size
            size = numbers.high + numbers.low * 2.0**-LOW_BITS
            whole = _Differences.of(numbers.high, numbers.low, np.argsort(-size, kind="stable").astype(np.int64))
            self._difference(whole, min(count, _RESTART_SIZE), np.zeros(count, dtype=np.bool_))
            rng = np.random.Generator(np.random.Philox(self.limits.seed))
            for restart in range(settings.restarts + 1):
                self.restarts = restart
                self._round(numbers, whole, restart, settings.search_work, rng)
                reached = self.stopped()
                if reached is not None:
                    return reached
                if restart == 1 and whole.size <= _SEARCHED:  # the search had all numbers
                    break
        except _Reached as limit:
            return limit.reason
        return StoppedBy.DONE

    def _pursue(self, most: int) -> IntArray:
        """Signs about half the sum, large rows first; returns the smallest rows, whose signs are not final."""
        rows, target, _ = scaled_to_one(self.instance)
        magnitudes = np.abs(rows[:, 0])
        order = np.argsort(-magnitudes, kind="stable").astype(np.int64)
        keep = np.zeros(order.size, dtype=np.bool_)
        residual = target - 0.5 * rows.sum(axis=0)
        main = max(0, order.size - most)
        for part in (order[:main], order[main:]):
            self.pursued = np.flatnonzero(keep).astype(np.int64)  # in the end, those among the large rows
            threshold_pass(rows, np.square(magnitudes), part, residual, keep, 0.5, 0.0, 0.0)
        self.work += order.size
        self._offer(np.flatnonzero(keep).astype(np.int64))
        return np.sort(order[main:])

    def _offer(self, subset: IntArray) -> None:
        error = verify(self.instance, subset).error
        if error < self.error:
            self.subset, self.error = subset, error

    def _round(
        self, numbers: _Numbers, whole: _Differences, restart: int, search_work: int, rng: np.random.Generator
    ) -> None:
        """Differences to the end (first round) or, with some thirds (third round on), to the numbers of a search."""
        names = whole.heap[: whole.size]
        part = _Differences.of(whole.high[names], whole.low[names], np.arange(whole.size))
        share = 0.0 if restart < 2 else 0.01 * (1 + restart % 6)
        third = rng.random(part.size) < share
        self._difference(part, 1 if restart == 0 else min(part.size, _SEARCHED), third)
        signs = np.ones(names.size, dtype=np.int64)
        if part.size > 1:
            tail = part.heap[: part.size]
            everything = names.size <= _SEARCHED
            signs[tail] = self._search(part.high[tail], part.low[tail], None if everything else search_work)
        spread_signs(part.larger, part.smaller, part.size, signs)
        all_signs = np.ones(numbers.high.size, dtype=np.int64)
        all_signs[names] = signs
        spread_signs(whole.larger, whole.smaller, whole.size, all_signs)
        self._offer(numbers.subset(all_signs))

    def _difference(self, state: _Differences, stop_size: int, third: npt.NDArray[np.bool_]) -> None:
        while state.size > stop_size:
            reached = self.limits.exceeded(self.work)
            if reached is not None:
                raise _Reached(reached)
            left = self.limits.work_left(self.work)
            steps = _STEPS_A_CHUNK if left is None else min(_STEPS_A_CHUNK, left)
            before = state.size
            state.size = difference_largest(
                state.high, state.low, state.heap, state.keys, state.size, stop_size, third,
                state.larger, state.smaller, steps,
            )  # fmt: skip
            self.work += before - state.size

    def _search(self, high: IntArray, low: IntArray, most: int | None) -> IntArray:
        """The best signs found for a few numbers; rounded to 57 bits, so that their sums fit."""
        m = high.size
        exact = [(int(h) << LOW_BITS) + int(w) for h, w in zip(high, low, strict=True)]
        shift = max(0, max(exact).bit_length() - 57)
        order = sorted(range(m), key=lambda i: -exact[i])
        values, names = np.zeros((2, m, m), dtype=np.int64)
        values[0], names[0] = [exact[i] >> shift for i in order], order
        path, best_path = np.zeros((2, m - 1, 3), dtype=np.int64)
        branch, place = np.zeros(m, dtype=np.int64), np.zeros(1, dtype=np.int64)
        best = np.array([2**62], dtype=np.int64)
        spent = 0
        while place[0] >= 0 and best[0] > 0 and (most is None or spent < most):
            if self.limits.exceeded(self.work) is not None and best[0] < 2**62:
                break
            left = self.limits.work_left(self.work)
            steps = _MOVES_A_CHUNK if left is None else max(1, min(_MOVES_A_CHUNK, left))
            done = search_signs(values, names, branch, path, best_path, best, place, steps)
            spent += done
            self.work += done
        signs = np.ones(m, dtype=np.int64)
        for kept, taken, sign in best_path[::-1].tolist():
            signs[taken] = sign * signs[kept]
        return signs


class _Reached(Exception):
    """A limit was reached."""

    def __init__(self, reason: StoppedBy) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass
class _Differences:
    """Numbers of two words in a heap, and the pairs that were subtracted."""

    high: IntArray
    low: IntArray
    heap: IntArray
    keys: FloatArray
    larger: IntArray
    smaller: IntArray
    size: int

    @classmethod
    def of(cls, high: IntArray, low: IntArray, heap: IntArray) -> _Differences:
        larger, smaller = np.zeros((2, high.size), dtype=np.int64)
        keys = high[heap] + low[heap] * 2.0**-LOW_BITS
        return cls(high.copy(), low.copy(), heap.copy(), keys, larger, smaller, high.size)


@dataclass(frozen=True)
class _Numbers:
    """|x_i| of some rows, then |2 z' - sum x|, as high * 2**62 + low in steps of one power of two; and their signs.

    z' is what the rows must sum to beside those that were pursued.
    """

    high: IntArray
    low: IntArray
    negative: npt.NDArray[np.bool_]

    rows: IntArray
    pursued: IntArray

    @classmethod
    def of(cls, instance: Instance, rows: IntArray, pursued: IntArray) -> _Numbers:
        """The numbers of these rows, after those of `pursued` were kept and all others dropped."""
        samples, target, _ = scaled_to_one(instance)
        values, fixed = samples[rows, 0], samples[pursued, 0]
        top = math.frexp(float(np.abs(samples).sum()) + 2.0 * abs(float(target[0])))[1] + 1
        high, low = _split(np.abs(values), top - 123)
        rest = 2 * _exact_sum(target, top - 123) - 2 * _exact_sum(fixed, top - 123) - _exact_sum(values, top - 123)
        last = np.array([abs(rest) >> LOW_BITS, abs(rest) & ((1 << LOW_BITS) - 1)], dtype=np.int64)
        negative = np.append(values < 0, rest < 0)
        return cls(np.append(high, last[0]), np.append(low, last[1]), negative, rows, pursued)

    def subset(self, signs: IntArray) -> IntArray:
        """The rows to keep, from the signs of the numbers."""
        right_hand_side = signs[-1] * (-1 if self.negative[-1] else 1)
        kept = (signs[:-1] > 0) ^ self.negative[:-1] ^ (right_hand_side > 0)  # it moves to the left
        return np.sort(np.concatenate([self.pursued, self.rows[kept]]))


def _split(values: npt.NDArray[np.float64], exponent: int) -> tuple[IntArray, IntArray]:
    """Values >= 0 below 2**(exponent + 123) in steps of 2**exponent, rounded down, as two words."""
    fractions, exponents = np.frexp(values)
    mantissas = np.ldexp(fractions, 53).astype(np.int64)
    shifts = exponents.astype(np.int64) - 53 - exponent
    mantissas >>= np.clip(-shifts, 0, 63)
    up = np.maximum(shifts, 0)
    above = mantissas << np.clip(up - LOW_BITS, 0, 63)
    high = np.where(up >= LOW_BITS, above, mantissas >> (LOW_BITS - np.minimum(up, LOW_BITS)))
    low = np.where(up >= LOW_BITS, 0, (mantissas << np.minimum(up, 63)) & ((1 << LOW_BITS) - 1))
    return high, low


def _exact_sum(values: npt.NDArray[np.float64], exponent: int) -> int:
    """The sum in steps of 2**exponent, every value rounded towards zero first."""
    sign = np.where(values < 0, -1, 1)
    total = 0
    for word in _split(np.abs(values), exponent):
        above, below = sign * (word >> 31), sign * (word & (2**31 - 1))
        total = (total << LOW_BITS) + (int(above.sum()) << 31) + int(below.sum())
    return total
