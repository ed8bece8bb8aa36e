"""Best-first pursuit: few rows, each the best at its time, for a beam of subsets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sslth.subset_sum.instance import FloatArray, Instance
from sslth.subset_sum.limits import Limits, Norm
from sslth.subset_sum.solution import BoolArray, Outcome, StoppedBy
from sslth.subset_sum.solvers.beam_growth import Growth
from sslth.subset_sum.solvers.coarse_rows import CoarseRows
from sslth.subset_sum.solvers.flips_and_swaps import improve_by_flips_and_swaps, is_met
from sslth.subset_sum.solvers.scaling import scaled_to_one

__all__ = ["BestFirstPursuit"]


@dataclass(frozen=True)
class BestFirstPursuit:
    """Add, at each step, the row that lowers the Euclidean residual most, to many subsets side by side; then polish.

    Matching pursuit [MallatZhang1993]_ with coefficients 0 and 1 and a beam: of all subsets that are one row larger the
    nearest ones go on. Then single flips, removals too, and swaps, while they help. It needs the fewest rows for a
    wanted error where n is large, and honours cardinalities.

    Parameters
    ----------
    beam : int
        Subsets side by side. 1 is plain best-first pursuit; 16 need about 10 % fewer rows for the same error, 128 some
        3 % fewer again.
    sweeps : int
        How often every kept row is tried for a swap once no flip helps.

    Notes
    -----
    Steps are lazy: all rows are scored for some of the subsets, from one byte an entry, the likely 2,048 (1,024 for one
    subset) are then used for up to 12 steps, and rows that are too long or too short to help are never scored. Cost: up
    to 8 passes over n d bytes every 12 steps, O(d) for each of the 2,048 and each distinct row of the beam; O(n d)
    bytes of memory. One unit of work is one row scored.
    It fails where many rows of one scale must cancel: use `sorted_pursuit` for the smallest error.

    .. [MallatZhang1993] S. Mallat, Z. Zhang, "Matching pursuits with time-frequency dictionaries", IEEE
       Transactions on Signal Processing 41, 1993. doi:10.1109/78.258082

    Examples
    --------
    >>> BestFirstPursuit()(Instance([[1.0], [2.0], [4.0]], [5.9]), Limits()).subset
    array([1, 2])
    """

    beam: int = 16
    sweeps: int = 2
    name: str = "best_first_pursuit"

    def __call__(self, instance: Instance, limits: Limits) -> Outcome:
        """Grow, then flip and swap, until nothing helps, or a limit or the tolerance is reached."""
        rows, target, shift = scaled_to_one(instance)
        coarse = CoarseRows(rows)
        growth = self._grown(instance, coarse, target, limits, shift)
        keep: BoolArray = np.zeros(instance.n, dtype=np.bool_)
        keep[growth.kept] = True
        residual: FloatArray = target - rows[growth.kept].sum(axis=0)
        stopped_by, work, steps, swaps = improve_by_flips_and_swaps(
            instance, rows, residual, keep, limits, self.sweeps, shift, growth.work, growth.cosine, coarse
        )
        return Outcome(
            np.flatnonzero(keep), stopped_by, work=work, details={"steps": growth.kept.size + steps, "swaps": swaps}
        )

    def _grown(self, instance: Instance, coarse: CoarseRows, target: FloatArray, limits: Limits, shift: int) -> Growth:
        """A beam that has grown to the wanted size or error, or until a limit."""
        growth = Growth(coarse, target, self.beam)

        def reached(work: int, residual: FloatArray) -> StoppedBy | None:
            if growth.kept.size >= instance.smallest_size and is_met(limits, residual, shift):
                return StoppedBy.TOLERANCE
            return limits.exceeded(work)

        wanted = -1.0
        if limits.tolerance is not None and instance.smallest_size == 0:
            wanted = float(np.ldexp(limits.tolerance, shift))
        growth.run(instance.largest_size, reached, wanted, limits.norm is Norm.SUP)
        return growth
