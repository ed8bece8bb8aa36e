"""Branch on the longest rows, meet in the middle over the others: proofs where halves do not fit the memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sslth.errors import InvalidInputError
from sslth.subset_sum.candidate_buffer import CandidateBuffer
from sslth.subset_sum.exact.choose import readable_size
from sslth.subset_sum.exact.leaf import MOST_ROWS, Leaf, LeafBuffer, rows_of
from sslth.subset_sum.exact.streams import available_cores
from sslth.subset_sum.exact.tiles import TileJoin, tile_bytes
from sslth.subset_sum.fixed_point import to_fixed_point
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.kernels.branch_and_bound import is_out_of_reach
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import Outcome, StoppedBy
from sslth.subset_sum.solvers.branch_and_bound import UNIT, BoundedProblem
from sslth.subset_sum.solvers.exact_start import find_start
from sslth.subset_sum.solvers.meet_in_the_middle import MeetInTheMiddle

__all__ = ["BranchAndMeet"]

IntArray = npt.NDArray[np.int64]

_MOST_REST = 48
# Rows of the leaves that are looked into first, and how many, .2 to .5 s; where fewer rows are long it does not pay.
_SCOUTED, _SCOUTS, _WORTH_SCOUTING = 40, 16, 6
_SWEEPS = 12
_FEW_HITS = 4.0  # a window is widened until so many subsets of a leaf are expected within, or it is the best error
_GROWTH = 8.0  # of the number of subsets in a window, where none was found


@dataclass(frozen=True)
class BranchAndMeet:
    """Prove the optimum by deciding the longest rows in all ways, and the rest by meet in the middle.

    Each choice of the long rows leaves a target for the others, a *leaf*, which `meet_in_the_middle` searches by tiles.
    Leaves come by falling density of the others' sums at that target: where there are many, small errors are found
    early, and no leaf's window is wider than the best error so far. The farthest leaves are ruled out by a
    direction that separates the target from all sums, as in `branch_and_bound`; others lose most of their sums to such
    directions before any is stored.

    Parameters
    ----------
    rest : int, optional
        Rows that are not branched on; as many as fit the memory, at most 48, unless given.
    memory_bytes : int
        What one leaf may allocate.
    threads : int, optional
        All cores of the process unless given. The answer does not depend on it.
    moves : int
        Of the local search that comes first.

    Notes
    -----
    Cost 2^(n - rest) leaves of O(2^(rest / 2)) time, less those that are cut, and 2^(rest / 2) times up to 48 bytes.
    Where there is nothing to branch on it is `meet_in_the_middle`. Anytime: the best subset so far is returned at a
    limit, without a bound. It fails for d below 4 or so, where `meet_in_the_middle` streams larger halves, and for d
    from 16 on, where `branch_and_bound` cuts earlier.

    Examples
    --------
    >>> BranchAndMeet(rest=2)(Instance([[1.0, 0.0], [0.5, 0.5], [0.0, 2.0]], [1.0, 2.0]), Limits()).subset
    array([0, 2])
    """

    rest: int | None = None
    memory_bytes: int = 1 << 30
    threads: int | None = None
    moves: int = 400_000
    name: str = "branch_and_meet"

    def __call__(self, instance: Instance, limits: Limits) -> Outcome:
        """Search until the optimum is proven, or a limit or the tolerance is reached.

        Raises
        ------
        InvalidInputError
            If the instance has more than 62 rows, or a leaf does not fit into `memory_bytes`.
        """
        if instance.n > MOST_ROWS:
            raise InvalidInputError(
                f"branch_and_meet takes at most {MOST_ROWS} rows, but the instance has {instance.n};"
                ' use solver="auto" for a subset without proof'
            )
        search = _Search(instance, limits, self)
        if search.long == 0:
            return MeetInTheMiddle(self.memory_bytes, self.threads)(instance, limits)
        stopped = search.run()
        buffer, grid = search.buffer, search.grid
        proven = buffer.best if stopped is None else grid.floor
        if stopped is None:
            stopped = StoppedBy.PROOF if buffer.overflowed_at is None else StoppedBy.DONE
        return Outcome(
            subset=buffer.best_subset(),
            stopped_by=stopped,
            lower_bound=grid.lower_bound(proven),
            work=search.work,
            details={
                "candidates": int(buffer.control[0]),
                "slack": grid.slack,
                "leaves": search.leaves,
                "cut": search.cut,
                "left": search.left,
            },
        )


def _fitting(d: int, memory_bytes: int, threads: int) -> int:
    """How many rows' halves fit the memory, and what goes with them."""
    for rest in range(_MOST_REST, 2, -2):
        if tile_bytes(4 << -(-rest // 4), 1 << rest // 2, 1 << rest // 2, d, threads) <= memory_bytes:
            return rest
    return 2


class _Search:
    """One run over all choices of the long rows."""

    def __init__(
        self, instance: Instance, limits: Limits, settings: BranchAndMeet, buffer: CandidateBuffer | None = None
    ) -> None:
        self.instance, self.limits, self.settings = instance, limits, settings
        self.grid = to_fixed_point(instance)
        self.bounded = BoundedProblem.of(instance, self.grid)
        self.threads = settings.threads or available_cores()
        rest = _fitting(instance.d, settings.memory_bytes, self.threads) if settings.rest is None else settings.rest
        self.long = max(0, self.bounded.order.size - rest)  # zero rows are in no order
        self.others = np.sort(self.bounded.order[self.long :])
        self.buffer = buffer or CandidateBuffer(instance, self.grid, limits, rows_of)
        self.work = self.leaves = self.cut = self.left = 0

    def run(self) -> StoppedBy | None:
        """A start, a few small leaves, then all; why the search ended, None once all leaves were seen."""
        buffer = self.buffer
        if buffer.within_tolerance is not None:
            return StoppedBy.TOLERANCE
        self.work, stopped = find_start(buffer, self.limits, self.settings.moves)
        if stopped is not None:
            return stopped
        codes = self._by_promise(np.arange(1 << self.long, dtype=np.int64))
        stopped = self._scout(codes[0]) if codes.size and self.others.size > _SCOUTED else None
        if stopped is not None:
            return stopped
        return self._visit(codes)

    def _scout(self, code: int) -> StoppedBy | None:
        """Look into the best leaf first, for a narrower window: into smaller leaves of a few more long rows."""
        if self.long < _WORTH_SCOUTING:
            return None
        scout = _Search(self.instance, self.limits, replace(self.settings, rest=_SCOUTED), self.buffer)
        scout.work = self.work
        below: IntArray = np.arange(1 << (scout.long - self.long), dtype=np.int64) << self.long
        stopped = scout._visit(scout._by_promise(below | code)[:_SCOUTS])
        self.work = scout.work
        return stopped

    def _visit(self, codes: IntArray) -> StoppedBy | None:
        """Leaf by leaf; why the search ended, None once all were seen."""
        buffer = self.buffer
        self.left = codes.size
        for code in codes.tolist():
            stopped = self.limits.exceeded(self.work)
            if stopped is not None or buffer.is_settled:
                return stopped
            leaf = self._leaf(code)
            self.left -= 1
            if leaf is None:
                self.cut += 1
                continue
            self.leaves += 1
            stopped = self._search_leaf(leaf)
            if stopped is not None:
                return stopped
        return None

    def _by_promise(self, codes: IntArray) -> IntArray:
        """Choices of the long rows, those first whose targets are nearest to the mean of what the others add.

        Nearness is measured by the spreads of the coordinates, as if sums were normal. Of equal rows the first are
        chosen first, and numbers of rows that no size allows are left out.
        """
        for i in range(1, self.long):
            if self.bounded.repeats[i]:
                codes = codes[(codes >> i) & 1 <= (codes >> (i - 1)) & 1]
        taken = (codes[:, None] >> np.arange(self.long)) & 1
        sizes = taken.sum(axis=1)
        fits = (sizes <= self.instance.largest_size) & (sizes + self.others.size >= self.instance.smallest_size)
        codes, taken = codes[fits], taken[fits]
        halves = self.bounded.halves
        centres = self.bounded.centre - (2.0 * taken - 1.0) @ halves[: self.long]
        spreads = np.sqrt((halves[self.long :] ** 2).sum(axis=0))
        used = spreads > 0.0
        return codes[np.argsort(((centres[:, used] / spreads[used]) ** 2).sum(axis=1), kind="stable")]

    def _leaf(self, code: int) -> Leaf | None:
        """What is left to decide; None if it cannot reach the best error."""
        bounded, grid = self.bounded, self.grid
        signs = np.zeros(bounded.order.size)
        signs[: self.long] = 2.0 * ((code >> np.arange(self.long)) & 1) - 1.0
        centre = bounded.centre - signs @ bounded.halves
        limits = bounded.limits.copy()
        limits[: self.instance.d] = (self.buffer.conclusive_bound + 1) * UNIT
        u, active = np.empty((2, centre.size))
        outside, _ = is_out_of_reach(
            bounded.halves, bounded.halves**2, self.long, centre, centre.copy(), signs, limits, bounded.margin,
            u, active, _SWEEPS,
        )  # fmt: skip
        if outside:
            return None
        chosen = bounded.order[: self.long][(code >> np.arange(self.long)) & 1 == 1]
        return Leaf.of(self.instance, grid, self.others, chosen)

    def _search_leaf(self, leaf: Leaf) -> StoppedBy | None:
        """Offer the buffer whatever is not above the best error; why it was stopped, or None."""
        join = TileJoin(leaf.problem, self._limits_left(), self.threads)
        if join.bytes_needed() > self.settings.memory_bytes or not join.fits_codes():
            raise InvalidInputError(
                f"branch_and_meet needs {readable_size(join.bytes_needed())} for {self.others.size} rows, but may use"
                f" {readable_size(self.settings.memory_bytes)}; give it more memory_bytes, or a smaller rest"
            )
        stopped = join.build()
        buffer = LeafBuffer(self.buffer, leaf, join)
        window = join.model.window(_FEW_HITS, leaf.problem.expected_error(0)[0])
        growth = _GROWTH ** (1.0 / self.instance.d)
        while stopped is None:
            window = min(window, self.buffer.conclusive_bound)
            stopped, _ = join.run_pass(buffer, window, None)
            if self.buffer.conclusive_bound <= window:
                break
            window = int((window + 1) * growth) + 1
        self.work += join.work
        return stopped

    def _limits_left(self) -> Limits:
        """The same limits, less the work that is done."""
        left = Limits(
            self.limits.tolerance, self.limits.seconds_left(), self.limits.work_left(self.work), self.limits.seed,
            self.limits.norm, self.limits.clock, self.limits.interrupted,
        )  # fmt: skip
        return left
