"""Best-first flips and swaps that polish a subset, and that bring it to a wanted size."""

from __future__ import annotations

import numpy as np

from sslth.subset_sum.instance import FloatArray, Instance
from sslth.subset_sum.kernels.best_first import best_flips, improving_swaps
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import BoolArray, StoppedBy
from sslth.subset_sum.solvers.coarse_rows import CoarseRows

__all__ = ["improve_by_flips_and_swaps", "is_met"]

_ENTRIES_A_CHUNK = 200_000_000  # between two looks at the clock: about 10 ms


def improve_by_flips_and_swaps(
    instance: Instance,
    rows: FloatArray,
    residual: FloatArray,
    keep: BoolArray,
    limits: Limits,
    sweeps: int,
    shift: int = 0,
    work: int = 0,
    cosine: float = 1.0,
    coarse: CoarseRows | None = None,
) -> tuple[StoppedBy, int, int, int]:
    """Best-first flips until the count is allowed and none helps, then swaps; keep and residual in place.

    rows float64[n, d] and residual float64[d] are scaled by 2**shift; `work` has been done already, and for swaps no
    row is taken to have a larger `cosine` with a residual. `coarse` is made of the rows if it is not there yet. Returns
    (stopped_by, work, steps, swaps). Whatever stops it, the number of kept rows is allowed on return.
    """
    smallest, largest = instance.smallest_size, instance.largest_size
    count = int(keep.sum())
    steps = swaps = 0

    def stopped() -> StoppedBy | None:
        if smallest <= count <= largest and is_met(limits, residual, shift):
            return StoppedBy.TOLERANCE
        return limits.exceeded(work)

    finished = False
    while not finished:
        reason = stopped()
        if reason is not None:
            if not smallest <= count <= largest:  # no time to choose: the first rows will do
                _force_size(keep, smallest, largest)
            return reason, work, steps, swaps
        coarse = coarse or CoarseRows(rows)
        count, taken, finished, scored = best_flips(
            *coarse.arrays, residual, keep, count, smallest, largest, *_chunk(instance, limits, work)
        )
        work += scored
        steps += taken
    assert coarse is not None
    for _ in range(sweeps):
        swapped = place = 0
        candidates = np.flatnonzero(keep)
        while place < candidates.size:
            reason = stopped()
            if reason is not None:
                return reason, work, steps, swaps + swapped
            found, tried, scored = improving_swaps(
                *coarse.arrays, residual, keep, candidates[place:], _chunk(instance, limits, work)[1], cosine
            )
            swapped += found
            place += tried
            work += scored + 1
        swaps += swapped
        if swapped == 0:
            break
        if instance.cardinality is None:  # swaps may have made new flips worth their while
            count, taken, finished, scored = best_flips(
                *coarse.arrays, residual, keep, count, 0, largest, *_chunk(instance, limits, work)
            )
            work += scored
            steps += taken
    return stopped() or StoppedBy.DONE, work, steps, swaps


def _chunk(instance: Instance, limits: Limits, work: int) -> tuple[int, int]:
    """Steps, and rows scored, until the next look at the clock."""
    left = limits.work_left(work)
    most = max(instance.n, _ENTRIES_A_CHUNK // instance.d)
    return max(1, most // instance.n), most if left is None else max(1, min(left, most))


def is_met(limits: Limits, residual: FloatArray, shift: int) -> bool:
    """Whether a residual that is scaled by 2**shift is within the tolerance."""
    return limits.is_met_by(float(np.ldexp(limits.norm.of(residual), -shift)))


def _force_size(keep: BoolArray, smallest: int, largest: int) -> None:
    kept, dropped = np.flatnonzero(keep), np.flatnonzero(~keep)
    keep[kept[largest:]] = False
    keep[dropped[: max(0, smallest - kept.size)]] = True
