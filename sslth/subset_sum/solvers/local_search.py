"""Local search: annealing over flips and swaps, for many coordinates or a wanted number of rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sslth.subset_sum.instance import FloatArray, Instance
from sslth.subset_sum.kernels.local_search import anneal, moved_norm
from sslth.subset_sum.limits import Limits, Norm
from sslth.subset_sum.quick_subset import quick_subset
from sslth.subset_sum.solution import BoolArray, Outcome, StoppedBy
from sslth.subset_sum.solvers.scaling import scaled_to_one

__all__ = ["LocalSearch"]

_ENTRIES_A_CHUNK = 8_000_000  # between two looks at the limits: about 10 ms
_MOST_MOVES_A_CHUNK = 1 << 15
_FEWEST_MOVES = 2_000  # in a run that the clock cuts short
_MOVES_PER_PAIR = 1_000  # of rows: fewer rows need fewer moves


@dataclass(frozen=True)
class LocalSearch:
    """Anneal a subset by taking rows in, out, and one for another.

    Simulated annealing [Kirkpatrick1983]_: a random flip or swap is taken if it raises the norm of the residual by no
    more than an exponential chance times the temperature, which falls geometrically. The temperature starts at a
    share of the mean |entry| and ends where the residual so far would sit in equilibrium. Every run is `growth`
    times longer than the one before and starts from the best subset known. For the sup norm moves are scored by the
    4-norm, which is smooth and near enough; the best subset of each run is the one with the smallest sup norm.

    Parameters
    ----------
    moves : int or None
        Moves in all runs together, at most 1,000 n^2; None goes on until a limit is reached.
    first_run : int
        Moves of the first run.
    growth : float
        How much longer the next run is.
    start : float
        First temperature over the mean |entry|.
    end : float
        Last temperature over norm / d, the norm being that of the best subset when the run begins.

    Notes
    -----
    Cost O(d) a move, .1 to .4 us for d from 16 to 576; O(n + d) memory beside the rows. One unit of work is one
    move. The wanted number of rows is kept by swaps alone, a largest number by refusing what would pass it; the 2-norm
    is minimised as such. It fails where d is small against n, because good subsets are then no neighbours of each other
    (use an exact solver, or sums in lists), and is no better than `sorted_pursuit` for free subsets from n = 14 d on.

    .. [Kirkpatrick1983] S. Kirkpatrick, C. D. Gelatt, M. P. Vecchi, "Optimization by simulated annealing",
       Science 220, 1983. doi:10.1126/science.220.4598.671

    Examples
    --------
    >>> LocalSearch()(Instance([[1.0], [2.0], [4.0]], [5.5]), Limits()).subset
    array([0, 2])
    """

    moves: int | None = 4_000_000
    first_run: int = 100_000
    growth: float = 2.0
    start: float = 0.3
    end: float = 0.3
    name: str = "local_search"

    def __call__(self, instance: Instance, limits: Limits) -> Outcome:
        """Anneal until the moves are spent, or a limit or the tolerance is reached."""
        search = _Search(instance, self, limits)
        stopped_by = search.run()
        return Outcome(np.flatnonzero(search.best_keep), stopped_by, work=search.work, details={"runs": search.runs})


class _Search:
    """The arrays of one call."""

    def __init__(self, instance: Instance, settings: LocalSearch, limits: Limits) -> None:
        self.settings, self.limits = settings, limits
        self.rows, self.target, self.shift = scaled_to_one(instance)
        self.rng = np.random.Generator(np.random.Philox(limits.seed))
        self.sup = limits.norm is Norm.SUP
        self.sizes = np.array([instance.smallest_size, instance.largest_size], dtype=np.int64)
        self.powers = np.empty(instance.d)
        self.hot = settings.start * float(np.abs(self.rows).mean())
        self.work = self.runs = 0
        self.began = limits.seconds
        self.best_keep: BoolArray = np.zeros(instance.n, dtype=np.bool_)
        self.best = self._error(self.best_keep) if instance.smallest_size == 0 else math.inf
        quick: BoolArray = np.zeros(instance.n, dtype=np.bool_)
        quick[quick_subset(instance)] = True
        self._offer(quick)

    def run(self) -> StoppedBy:
        """Runs of growing length; why they ended."""
        length = float(self.settings.first_run)
        n = self.best_keep.size
        budget = math.inf if self.settings.moves is None else min(self.settings.moves, _MOVES_PER_PAIR * n * n)
        stopped: StoppedBy | None = None
        while stopped is None and self.work < budget and not self._is_met():
            moves = min(length, budget - self.work)
            fitting = self._moves_until_a_limit()
            if moves > fitting:  # a run that is cut off has cooled for nothing; from here on only the limit ends it
                moves, budget = fitting, math.inf
            stopped = self._anneal(max(1, int(moves)))
            length *= self.settings.growth
        return StoppedBy.TOLERANCE if self._is_met() else stopped or StoppedBy.DONE

    def _moves_until_a_limit(self) -> float:
        """How many moves the limits leave, judged by the pace so far where the clock is the only one."""
        left = self.limits.work_left(self.work)
        if left is not None:
            return float(left)
        seconds = self.limits.seconds_left()
        if seconds is None or self.work == 0:
            return math.inf
        pace = self.work / max(self.limits.seconds - self.began, 1e-9)
        return max(float(_FEWEST_MOVES), pace * seconds)

    def _anneal(self, moves: int) -> StoppedBy | None:
        """One run from the best subset known; the limit that ended it."""
        d = self.target.size
        keep, best_keep = self.best_keep.copy(), self.best_keep.copy()
        places = np.concatenate([np.flatnonzero(keep), np.flatnonzero(~keep)])
        state = np.array([int(keep.sum())], dtype=np.int64)
        residual = self._residual(keep)
        norm = self._norm(residual)
        cold = min(self.hot / 3.0, self.settings.end * norm / d)
        if cold == 0.0:
            cold = self.hot / 1000.0
        cooling = (cold / self.hot) ** (1.0 / moves) if self.hot > 0.0 else 1.0
        values = np.array([norm, self.hot, math.inf, self._scaled_tolerance()])
        chunk = max(1, min(_MOST_MOVES_A_CHUNK, _ENTRIES_A_CHUNK // (d + 64)))
        stopped: StoppedBy | None = None
        left = moves
        self.runs += 1
        while left > 0 and stopped is None:
            stopped = self.limits.exceeded(self.work)
            if stopped is not None:
                break
            allowed = self.limits.work_left(self.work)
            now = min(chunk, left) if allowed is None else min(chunk, left, allowed)
            picks, chances = self.rng.random((now, 3)), self.rng.standard_exponential(now)
            made = anneal(
                self.rows, residual, keep, places, best_keep, state, values, self.sizes,
                picks, chances, self.powers, self.sup, cooling,
            )  # fmt: skip
            self.work += made
            left -= now
            residual = self._residual(keep)  # sums that have not drifted
            values[0] = self._norm(residual)
            if made < now:  # within the tolerance, as far as drifting sums can tell
                self._offer(best_keep)
                if self._is_met():
                    break
                values[2] = self.best
        self._offer(best_keep)
        return stopped

    def _offer(self, keep: BoolArray) -> None:
        error = self._error(keep)
        if error < self.best:
            self.best, self.best_keep = error, keep.copy()

    def _residual(self, keep: BoolArray) -> FloatArray:
        residual: FloatArray = self.target - self.rows[keep].sum(axis=0)
        return residual

    def _norm(self, residual: FloatArray) -> float:
        return float(moved_norm(residual, residual, residual, 0.0, 0.0, self.sup, self.powers))

    def _error(self, keep: BoolArray) -> float:
        return float(self.limits.norm.of(self._residual(keep)))

    def _is_met(self) -> bool:
        return self.limits.is_met_by(float(np.ldexp(self.best, -self.shift)))

    def _scaled_tolerance(self) -> float:
        return -1.0 if self.limits.tolerance is None else float(np.ldexp(self.limits.tolerance, self.shift))
