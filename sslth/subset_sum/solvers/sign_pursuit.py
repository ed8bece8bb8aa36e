"""Sign pursuit: rows by falling norm, kept or dropped by a sign; the front end of the solvers for wide instances."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.instance import FloatArray, Instance
from sslth.subset_sum.kernels.pursuit import flip_pass, norms_and_sum
from sslth.subset_sum.kernels.sign_pursuit import sign_pass
from sslth.subset_sum.kernels.tail import take_signs_off
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import BoolArray, Outcome, StoppedBy
from sslth.subset_sum.solvers.flips_and_swaps import improve_by_flips_and_swaps
from sslth.subset_sum.solvers.scaling import scaled_to_one

__all__ = ["Front", "SignPursuit", "decide_large_rows", "has_wanted_size", "outcome_of", "repaired", "tail_size"]

_ENTRIES_A_CHUNK = 5_000_000  # between two looks at the clock: about 10 ms


@dataclass
class Front:
    """All rows decided but the smallest, and what is left for those.

    Attributes
    ----------
    rows, target : float64[n, d], float64[d]
        Scaled by 2**shift.
    norms : float64[n]
        Squared lengths of the rows.
    tail : int64[m]
        The undecided rows, by falling norm.
    keep : bool[n]
        False on the tail.
    residual : float64[d]
        target - the kept rows - share * the rows of the tail.
    share : float
        What an undecided row counts: 1/2, or k/n where k rows are wanted.
    wanted : int or None
        How many rows of the tail must be kept; None if any number may.
    stopped : StoppedBy or None
        The limit that was reached; then every row has been decided and the tail is empty.
    """

    rows: FloatArray
    target: FloatArray
    shift: int
    norms: FloatArray
    tail: npt.NDArray[np.int64]
    keep: BoolArray
    residual: FloatArray
    share: float
    count: float
    count_weight: float
    wanted: int | None
    work: int
    stopped: StoppedBy | None

    def signs_of_tail(self) -> BoolArray:
        """Which rows of the tail sign pursuit would keep: cheap, and something to improve on.

        Where a number is wanted, the smallest rows are taken or dropped until it is right.
        """
        keep = np.zeros(self.keep.size, dtype=np.bool_)
        sign_pass(self.rows, self.tail, self.residual.copy(), keep, self.share, self.count, self.count_weight)
        self.work += self.tail.size
        signs = keep[self.tail]
        if self.wanted is not None:
            excess = int(signs.sum()) - self.wanted
            wrong = np.flatnonzero(signs == (excess > 0))
            signs[wrong[wrong.size - min(wrong.size, abs(excess)) :]] = excess < 0
        return signs

    def settle(self, signs: BoolArray) -> None:
        """Decide the tail: signs bool[m], True for kept rows."""
        take_signs_off(self.rows, self.tail, signs, self.share, self.residual)
        self.keep[self.tail] = signs
        self.tail = self.tail[:0]

    def error(self, limits: Limits) -> float:
        """The norm of the residual in the instance's own units."""
        return float(np.ldexp(limits.norm.of(self.residual), -self.shift))


def decide_large_rows(
    instance: Instance, limits: Limits, tail_size: int, size: int | None, work: int = 0, presorted: bool = False
) -> Front:
    """Sign pursuit over all rows but the `tail_size` smallest.

    The order is by norm to within a factor of sqrt(2), and by position within such a class: that reads memory
    forwards and leaves a residual 5 to 15 % longer than the exact order does. `size` is the number of rows wanted in
    all, or None. Rows that a limit leaves undecided are dropped. O(n d).
    """
    rows, target, shift = scaled_to_one(instance)
    n, d = rows.shape
    norms, total = np.empty(n), np.empty(d)
    norms_and_sum(rows, norms, total)
    order = np.arange(n) if presorted else np.argsort(-norms, kind="stable")
    main, tail = order[: n - tail_size], order[n - tail_size :]
    if not presorted and main.size:
        classes = np.frexp(norms[main])[1]
        main = main[np.lexsort((main, -classes))]
    share = 0.5 if size is None else size / n
    weight = 0.0 if size is None else 1.0 / d  # the count is a coordinate as large as the row's others
    keep = np.zeros(n, dtype=np.bool_)
    front = Front(rows, target, shift, norms, tail, keep, target - share * total, share, 0.0, weight, None, work, None)
    chunk = max(1, _ENTRIES_A_CHUNK // d)
    done = 0
    while done < main.size:
        front.stopped = limits.exceeded(front.work)
        if front.stopped:
            front.tail = order[:0]
            front.residual = target - rows[keep].sum(axis=0)
            return front
        left = limits.work_left(front.work)
        part = main[done : done + (chunk if left is None else min(chunk, left))]
        front.count = sign_pass(rows, part, front.residual, keep, share, front.count, weight)
        front.work += part.size
        done += part.size
    if size is not None:
        front.wanted = size - int(keep.sum())
    return front


def tail_size(instance: Instance, rows_per_dimension: float, size: int | None) -> int:
    """How many rows to leave: a row that is kept with probability k/n says less than one bit."""
    share = 0.5 if size is None else min(max(size / instance.n, 0.01), 0.99)
    bits = -share * math.log2(share) - (1.0 - share) * math.log2(1.0 - share)
    return min(instance.n, max(1, round(rows_per_dimension * instance.d / bits)))


def has_wanted_size(instance: Instance, front: Front) -> bool:
    """Whether the number of kept rows is allowed."""
    return instance.smallest_size <= int(front.keep.sum()) <= instance.largest_size


def repaired(instance: Instance, front: Front, limits: Limits) -> StoppedBy | None:
    """Flips and swaps until the number of kept rows is the wanted one; what stopped them, None if nothing did."""
    front.residual = front.target - front.rows[front.keep].sum(axis=0)
    stopped, more, _, _ = improve_by_flips_and_swaps(
        instance, front.rows, front.residual, front.keep, limits, sweeps=1, shift=front.shift
    )
    front.work += more
    return None if stopped is StoppedBy.DONE else stopped


def outcome_of(instance: Instance, front: Front, limits: Limits, details: dict[str, object]) -> Outcome:
    """The kept rows, or the empty set where that is allowed and better."""
    if instance.smallest_size == 0 and limits.norm.of(front.residual) >= limits.norm.of(front.target):
        front.keep[:] = False
        front.residual = front.target.copy()
    stopped = front.stopped
    if stopped is None:
        stopped = StoppedBy.TOLERANCE if limits.is_met_by(front.error(limits)) else StoppedBy.DONE
    return Outcome(np.flatnonzero(front.keep), stopped, work=front.work, details=details)


@dataclass(frozen=True)
class SignPursuit:
    """One pass of signs over the rows by falling norm, and passes of flips.

    With t = target - (sum of all rows) / 2, every row adds or takes half of itself: its sign is that of <t, row>.
    About half of the rows are kept, and the target may be as long as 85 % of the longest that can be reached: the
    error hardly depends on it. The rounding of a vector into signs by the sign of an inner product is the greedy step
    of vector balancing [Spencer1977]_.

    Parameters
    ----------
    flips : int
        Passes that flip every row whose flip shortens the residual.
    presorted : bool
        Take the rows in the order they have.

    Notes
    -----
    Cost O(n d) time, 0.8 to 1.5 ns an entry; O(n) memory beside the rows. One unit of work is one row decided. The
    error is about 2 d^1.5 / n for normally-scaled normal rows: use `message_passing` or `sign_beam`, which start from
    this and spend the smallest rows better. It fails below n = 16 d, where hardly anything beats the empty set. A
    wanted number of rows k counts every undecided row k/n, the deviation from k as one more coordinate, and flips and
    swaps improve what is left.

    .. [Spencer1977] J. Spencer, "Balancing games", Journal of Combinatorial Theory B 23, 1977.
       doi:10.1016/0095-8956(77)90057-0
    """

    flips: int = 1
    presorted: bool = False
    name: str = "sign_pursuit"

    def __call__(self, instance: Instance, limits: Limits) -> Outcome:
        front = self._pursue(instance, limits, instance.cardinality, 0)
        if instance.cardinality is None and int(front.keep.sum()) > instance.largest_size:
            front = self._pursue(instance, limits, instance.largest_size, front.work)
        elif instance.cardinality is None:
            return outcome_of(instance, front, limits, {})
        if not has_wanted_size(instance, front) or not limits.exceeded(front.work):
            front.stopped = repaired(instance, front, limits) or front.stopped
        return outcome_of(instance, front, limits, {})

    def _pursue(self, instance: Instance, limits: Limits, size: int | None, work: int) -> Front:
        tail = 0 if size is None else tail_size(instance, 1.0, size)
        front = decide_large_rows(instance, limits, tail, size, work, self.presorted)
        if size is not None:
            front.settle(front.signs_of_tail())
            return front
        order = np.argsort(-front.norms, kind="stable")
        chunk = max(1, _ENTRIES_A_CHUNK // instance.d)
        for _ in range(self.flips):
            for start in range(0, instance.n, chunk):
                front.stopped = front.stopped or limits.exceeded(front.work)
                if front.stopped:
                    return front
                part = order[start : start + chunk]
                flip_pass(front.rows, front.norms, part, front.residual, front.keep)
                front.work += part.size
        return front
