"""Sorted pursuit: rows by falling norm, each kept iff the residual falls; a beam spends the smallest rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.instance import Instance
from sslth.subset_sum.kernels.pursuit import beam_over_tail, flip_pass, squared_norms, threshold_pass
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import BoolArray, Outcome, StoppedBy
from sslth.subset_sum.solvers.flips_and_swaps import improve_by_flips_and_swaps
from sslth.subset_sum.solvers.scaling import scaled_to_one

__all__ = ["SortedPursuit"]

_ENTRIES_A_CHUNK = 20_000_000
_TAIL_SHARE = 0.5


@dataclass(frozen=True)
class SortedPursuit:
    """One pass over the rows by falling norm, one pass of flips, and a beam over the smallest rows.

    Large rows are spent while the residual is large, small ones when it has become small: the residual stays near
    the size of the rows that come next. The last `tail_rows_per_dimension` * d rows are decided by a beam over
    keeping and dropping them, with every undecided row counted half; the best last state in the sup norm wins.

    Parameters
    ----------
    beam : int
        Partial residuals that survive each row of the tail.
    tail_rows_per_dimension : int
        Length of the tail in units of d.
    flips : int
        Passes of flips before the tail.
    presorted : bool
        Take the rows in the order they have; by falling norm otherwise.

    Notes
    -----
    Where n >= 16 d, and the target is c n long with c near .2, the relative error is about 3 (d/n)^2 for rows that
    are normally-scaled normal. Cost O(n d + beam * tail * d) time; memory O(n d). One unit of work is one row decided
    in one state; `max_work` narrows the beam. With a wanted number of rows k every undecided row counts k/n, the
    deviation from k is one more coordinate of the residual, and flips and swaps repair what is left of it. It fails
    where few rows (n < 10 d) leave nothing to choose: use `best_first_pursuit` or an exact solver.
    """

    beam: int = 128
    tail_rows_per_dimension: int = 6
    flips: int = 1
    presorted: bool = False
    name: str = "sorted_pursuit"

    def __call__(self, instance: Instance, limits: Limits) -> Outcome:
        if instance.cardinality is None:
            outcome = self._free(instance, limits)
            if outcome.subset is not None and outcome.subset.size <= instance.largest_size:
                return outcome
            return self._of_size(instance, instance.largest_size, limits, outcome.work)
        return self._of_size(instance, instance.cardinality, limits, 0)

    def _free(self, instance: Instance, limits: Limits) -> Outcome:
        search = _Search(instance, self, limits, work=0)
        order = search.order
        tail = order[order.size - search.tail_size :]
        main = order[: order.size - search.tail_size]
        search.residual -= _TAIL_SHARE * search.rows[tail].sum(axis=0)
        stopped = search.threshold(main, share=0.0, count_weight=0.0)
        for _ in range(self.flips):
            stopped = stopped or search.flip(main)
        search.spend_tail(tail, _TAIL_SHARE, 0.0, wanted=None)
        search.fall_back_to_empty()
        return search.outcome(stopped)

    def _of_size(self, instance: Instance, size: int, limits: Limits, work: int) -> Outcome:
        search = _Search(instance, self, limits, work)
        order = search.order
        share = size / instance.n
        weight = float(search.norms.mean()) / instance.d
        tail = order[order.size - search.tail_size :]
        search.residual -= share * search.rows.sum(axis=0)
        stopped = search.threshold(order[: order.size - search.tail_size], share, weight)
        search.spend_tail(tail, share, weight, wanted=size)
        residual = search.target - search.rows[search.keep].sum(axis=0)
        stopped_by, more, _, _ = improve_by_flips_and_swaps(
            instance, search.rows, residual, search.keep, limits, sweeps=1, shift=search.shift
        )
        search.work += more
        return search.outcome(stopped or (None if stopped_by is StoppedBy.DONE else stopped_by))


class _Search:
    """The arrays of one call."""

    def __init__(self, instance: Instance, settings: SortedPursuit, limits: Limits, work: int) -> None:
        self.limits = limits
        self.work = work
        self.rows, self.target, self.shift = scaled_to_one(instance)
        self.residual = self.target.copy()
        self.norms = np.empty(instance.n)
        squared_norms(self.rows, self.norms)
        self.order = np.arange(instance.n) if settings.presorted else np.argsort(-self.norms, kind="stable")
        self.keep: BoolArray = np.zeros(instance.n, dtype=np.bool_)
        self.count = 0.0
        self.tail_size = min(instance.n, settings.tail_rows_per_dimension * instance.d)
        self.chunk = max(1, _ENTRIES_A_CHUNK // instance.d)
        self.beam = settings.beam
        left = limits.work_left(work)
        if left is not None:  # the passes come first, the beam gets what is left
            self.beam = min(self.beam, max(1, (left - (1 + settings.flips) * instance.n) // self.tail_size))

    def threshold(self, order: npt.NDArray[np.int64], share: float, count_weight: float) -> StoppedBy | None:
        for start in range(0, order.size, self.chunk):
            if reached := self.limits.exceeded(self.work):
                self.residual += share * self.rows[order[start:]].sum(axis=0)  # undecided rows are dropped
                return reached
            part = order[start : start + self.chunk]
            self.count = threshold_pass(
                self.rows, self.norms, part, self.residual, self.keep, share, self.count, count_weight
            )
            self.work += part.size
        return None

    def flip(self, order: npt.NDArray[np.int64]) -> StoppedBy | None:
        for start in range(0, order.size, self.chunk):
            if reached := self.limits.exceeded(self.work):
                return reached
            part = order[start : start + self.chunk]
            flip_pass(self.rows, self.norms, part, self.residual, self.keep)
            self.work += part.size
        return None

    def spend_tail(self, tail: npt.NDArray[np.int64], share: float, weight: float, wanted: int | None) -> None:
        beam = 1 if self.limits.exceeded(self.work) else self.beam
        steps, d = tail.size, self.rows.shape[1]
        parents = np.empty((steps, beam), dtype=np.int32)
        choices = np.empty((steps, beam), dtype=np.bool_)
        residuals = np.empty((2, beam, d))
        counts = np.empty((2, beam))
        last, states = beam_over_tail(
            self.rows, self.norms, tail, share, self.residual, self.count, weight, parents, choices, residuals, counts
        )
        self.work += steps * beam
        errors = self.limits.norm.of(residuals[last, :states])
        if wanted is not None:  # counts are relative to the wanted size: 0 is right
            off = np.abs(np.rint(counts[last, :states]))
            errors = np.where(off == off.min(), errors, np.inf)
        state = int(errors.argmin())
        self.residual = residuals[last, state].copy()
        for step in range(steps - 1, -1, -1):
            self.keep[tail[step]] = choices[step, state]
            state = int(parents[step, state])

    def fall_back_to_empty(self) -> None:
        if self.limits.norm.of(self.residual) >= self.limits.norm.of(self.target):
            self.keep[:] = False
            self.residual = self.target.copy()

    def outcome(self, stopped: StoppedBy | None) -> Outcome:
        error = float(np.ldexp(self.limits.norm.of(self.residual), -self.shift))
        if stopped is None:
            stopped = StoppedBy.TOLERANCE if self.limits.is_met_by(error) else StoppedBy.DONE
        return Outcome(np.flatnonzero(self.keep), stopped, work=self.work, details={"beam": self.beam})
