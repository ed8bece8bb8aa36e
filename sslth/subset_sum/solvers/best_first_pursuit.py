"""Best-first pursuit: few rows, each the best at its time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sslth.subset_sum.instance import FloatArray, Instance
from sslth.subset_sum.kernels.best_first import best_flips, improving_swaps
from sslth.subset_sum.kernels.pursuit import squared_norms
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import BoolArray, Outcome, StoppedBy
from sslth.subset_sum.solvers.scaling import scaled_to_one

__all__ = ["BestFirstPursuit", "improve_by_flips_and_swaps"]

_ENTRIES_A_CHUNK = 20_000_000  # between two looks at the clock: about 10 ms


@dataclass(frozen=True)
class BestFirstPursuit:
    """Flip, at each step, the row that lowers the Euclidean residual most; removals are allowed.

    Matching pursuit [MallatZhang1993]_ with coefficients 0 and 1. It needs the fewest rows for a wanted error
    where n is large, and honours cardinalities: rows are added until enough are kept, then swapped.

    Parameters
    ----------
    sweeps : int
        How often every kept row is tried for a swap once no flip helps.

    Notes
    -----
    Cost O(steps n d) time, O(n d) memory (a float32 copy of the rows for scoring); one unit of work is one row
    scored. It fails where many rows of one scale must cancel: use `sorted_pursuit` for the smallest error.

    .. [MallatZhang1993] S. Mallat, Z. Zhang, "Matching pursuits with time-frequency dictionaries", IEEE
       Transactions on Signal Processing 41, 1993. doi:10.1109/78.258082
    """

    sweeps: int = 2
    name: str = "best_first_pursuit"

    def __call__(self, instance: Instance, limits: Limits) -> Outcome:
        rows, target, shift = scaled_to_one(instance)
        keep = np.zeros(instance.n, dtype=np.bool_)
        stopped_by, work, steps, swaps = improve_by_flips_and_swaps(
            instance, rows, target.copy(), keep, limits, self.sweeps, shift
        )
        return Outcome(np.flatnonzero(keep), stopped_by, work=work, details={"steps": steps, "swaps": swaps})


def improve_by_flips_and_swaps(
    instance: Instance,
    rows: FloatArray,
    residual: FloatArray,
    keep: BoolArray,
    limits: Limits,
    sweeps: int,
    shift: int = 0,
) -> tuple[StoppedBy, int, int, int]:
    """Best-first flips until the count is allowed and none helps, then swaps; keep and residual in place.

    rows float64[n, d] and residual float64[d] are scaled by 2**shift. Returns (stopped_by, work, steps, swaps).
    Whatever stops it, the number of kept rows is allowed on return.
    """
    n, d = rows.shape
    coarse = rows.astype(np.float32)
    norms = np.empty(n)
    squared_norms(rows, norms)
    rounded = residual.astype(np.float32)
    count = int(keep.sum())
    chunk = max(1, _ENTRIES_A_CHUNK // (n * d))
    work = steps = swaps = 0
    finished = False
    stopped_by = StoppedBy.DONE

    def within_tolerance() -> bool:
        return limits.is_met_by(float(np.ldexp(limits.norm.of(residual), -shift)))

    while not finished:
        allowed = instance.smallest_size <= count <= instance.largest_size
        reached = limits.exceeded(work)
        if allowed and reached:
            return reached, work, steps, swaps
        if reached:  # no time to choose: the first rows will do
            _force_size(keep, instance.smallest_size, instance.largest_size)
            return reached, work, steps, swaps
        if allowed and within_tolerance():
            return StoppedBy.TOLERANCE, work, steps, swaps
        left = limits.work_left(work)
        now = chunk if left is None else max(1, min(chunk, left // n))
        count, taken, finished = best_flips(
            rows, coarse, norms, residual, rounded, keep, count, instance.smallest_size, instance.largest_size, now
        )
        work += (taken + 1) * n
        steps += taken
    for _ in range(sweeps):
        swapped = 0
        candidates = np.flatnonzero(keep)
        for start in range(0, candidates.size, chunk):
            reached = limits.exceeded(work)
            if reached or within_tolerance():
                return reached or StoppedBy.TOLERANCE, work, steps, swaps
            part = candidates[start : start + chunk]
            swapped += improving_swaps(rows, coarse, norms, residual, rounded, keep, part)
            work += part.size * n
        swaps += swapped
        if swapped == 0:
            break
        if instance.cardinality is None:  # swaps may have made new flips worth their while
            count, taken, finished = best_flips(
                rows, coarse, norms, residual, rounded, keep, count, 0, instance.largest_size, chunk
            )
            work += (taken + 1) * n
            steps += taken
    if within_tolerance():
        stopped_by = StoppedBy.TOLERANCE
    return stopped_by, work, steps, swaps


def _force_size(keep: BoolArray, smallest: int, largest: int) -> None:
    kept, dropped = np.flatnonzero(keep), np.flatnonzero(~keep)
    keep[kept[largest:]] = False
    keep[dropped[: max(0, smallest - kept.size)]] = True
