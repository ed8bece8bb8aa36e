"""Branch and bound: few rows, many coordinates; subtrees are cut by directions that separate them from the target."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from sslth.errors import InvalidInputError
from sslth.subset_sum.candidate_buffer import CandidateBuffer
from sslth.subset_sum.fixed_point import FixedPoint, equal_rows, to_fixed_point
from sslth.subset_sum.instance import FloatArray, Instance
from sslth.subset_sum.kernels.branch_and_bound import BITS, count_bits, fill_tail, root_bound, search_tree
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import BoolArray, Outcome, StoppedBy
from sslth.subset_sum.solvers.exact_start import find_start

__all__ = ["UNIT", "BoundedProblem", "BranchAndBound"]

IntArray = npt.NDArray[np.int64]

_LARGEST_N = 64
_ENTRIES_A_CHUNK = 15_000_000  # between two looks at the limits: about 10 ms
UNIT = 2.0**-61
"""A step of the grid in the floats that bound: column sums of the rows are below 1."""

_COLUMN_COST, _WORD_COST = 0.25, 0.6  # of filtering a tail, measured; one entry of one row scored ten times costs 1
_MOST_TAIL_BYTES = 64 << 20
_SHARES_OF_GAP = (0.25, 0.5, 0.75)  # between the root's bound and the first subset: bounds of the passes but the last
_ROOT_SWEEPS, _ROOT_ROUNDS = 100, 20
_SHORT_TAIL, _SHORT_ENTRIES = 6, 6_000_000  # of the walk that comes before anything that takes long: up to 5 ms


@dataclass(frozen=True)
class BranchAndBound:
    """Prove the optimum by depth-first search, cutting what cannot reach the target.

    A box of half-width e around the target, e being the best error so far, meets the sums that the undecided rows can
    add to the present one only if no direction u separates the two: <u, residual> <= e |u|_1 + the most that the rows
    can add along u, by duality of the sup norm [BoydVandenberghe2004]_. Such a u is sought by coordinate descent on
    the distance between the box and the zonotope of the undecided rows: every gradient on the way is tried as u, so
    each success is a proof, however coarse the descent. It starts from where the parent's ended. With a wanted number
    of rows the count is one more coordinate. Rows come by falling length, each first the way the relaxation leans.

    All choices among the last rows stand in bitsets, one for each column and threshold; a few intersections leave
    those that may be near the target. They are compared as integers, near-ties within the rounding of the grid exactly.
    Directions are found in float64 and must separate by more than float64 can err. A short walk from a quick subset is
    first, in case that is the best; then a `local_search`, and passes whose bound on the error grows, each of which
    proves its bound or finds something better.

    Parameters
    ----------
    tail_rows : int
        Rows in the bitsets; fewer where these would take more than 64 MB.
    levels : int
        Thresholds a column.
    sweeps : int
        Sweeps of coordinate descent over the undecided rows of one node.
    moves : int
        Moves of the local search.

    Notes
    -----
    Memory d levels 2^tail_rows / 8 bytes, at most 64 MB, beside O(n^2 + n d). Time is exponential in n and depends on
    the rows. Normally-scaled normal rows, d >= 16, free or with n / 2 rows: n = 60 in .1 to 2.5 s. Gaussian rows: n =
    60 at d = 27 in .4 to 3 s, n = 50 at d = 16 in 15 to 50 s. Uniform rows take longer: n = 60 at d = 27 and n = 50
    at d = 16 were not proved in 20 and 60 s. One unit of work is one row scored, one column intersected, or one
    subset compared. It fails for d below about 8 (use `meet_in_the_middle`), and for n / 2 Gaussian rows at d above
    n, where the best error comes near that of a random subset: n = 40 takes 10 s at d = 72 and 30 s at d = 144.

    .. [BoydVandenberghe2004] S. Boyd, L. Vandenberghe, "Convex Optimization", Cambridge University Press, 2004,
       section 5.8.

    Examples
    --------
    >>> BranchAndBound()(Instance([[1.0, 0.0], [0.5, 0.5], [0.0, 2.0]], [1.0, 2.0]), Limits()).subset
    array([0, 2])
    """

    tail_rows: int = 14
    levels: int = 32
    sweeps: int = 6
    moves: int = 400_000
    name: str = "branch_and_bound"

    def __call__(self, instance: Instance, limits: Limits) -> Outcome:
        """Search until the optimum is proven, or a limit or the tolerance is reached.

        Raises
        ------
        InvalidInputError
            If the instance has more than 64 rows.
        """
        if instance.n > _LARGEST_N:
            raise InvalidInputError(
                f"branch_and_bound takes at most {_LARGEST_N} rows, but the instance has {instance.n};"
                ' use solver="auto" for a subset without proof'
            )
        grid = to_fixed_point(instance)
        search = _Search(instance, grid, self, limits)
        stopped = search.run()
        buffer = search.buffer
        if stopped is None:
            stopped = StoppedBy.PROOF if buffer.overflowed_at is None else StoppedBy.DONE
        return Outcome(
            subset=buffer.best_subset(),
            stopped_by=stopped,
            lower_bound=grid.lower_bound(search.proven),
            work=search.work,
            details={
                "nodes": int(search.state[2]),
                "candidates": int(buffer.control[0]),
                "slack": grid.slack,
                "passes": search.passes,
                "cut": int(search.state[3]),
            },
        )


@dataclass(frozen=True)
class BoundedProblem:
    """Half the rows as floats, the number of rows as one more column, padded to whole vector registers."""

    order: IntArray  # rows of the instance, the longest first
    repeats: BoolArray  # equal to the row before
    halves: FloatArray  # float64[n, w]
    centre: FloatArray  # target - sum of the halves
    limits: FloatArray  # of the columns that are no coordinates
    margin: float  # more than the floats can err

    @classmethod
    def of(cls, instance: Instance, grid: FixedPoint) -> BoundedProblem:
        def length(group: IntArray) -> float:
            return float(np.linalg.norm(grid.rows[group[0]].astype(np.float64)))

        groups = sorted(equal_rows(instance), key=length, reverse=True)
        order = np.concatenate([np.empty(0, dtype=np.int64), *groups])
        repeats = np.concatenate([np.empty(0, dtype=np.bool_), *(np.arange(group.size) > 0 for group in groups)])
        n = order.size
        halves = grid.rows[order] * (0.5 * UNIT)
        centre = grid.target * UNIT - halves.sum(axis=0)
        limits = np.zeros(instance.d)
        smallest, largest = instance.smallest_size, min(n, instance.largest_size)
        if smallest > 0 or largest < n:  # signs must sum to smallest..largest on the scale of -n..n
            root_mean_square = float(np.sqrt((halves**2).mean()))
            weight = 2.0 ** math.frexp(root_mean_square)[1]
            halves = np.column_stack([halves, np.full(n, weight)])
            centre = np.append(centre, weight * (smallest + largest - n))
            limits = np.append(limits, weight * (largest - smallest + 0.5))
        padding = -centre.size % 8
        halves = np.ascontiguousarray(np.pad(halves, ((0, 0), (0, padding))))
        centre, limits = np.pad(centre, (0, padding)), np.pad(limits, (0, padding))
        scale = float((np.abs(halves).sum(axis=0) + np.abs(centre)).max())
        return cls(order, repeats, halves, centre, limits, (n + centre.size + 16) * 2.0**-50 * scale)


@dataclass(frozen=True)
class _Tail:
    """All choices among the last rows, and for each column and threshold the set of those above it."""

    codes: IntArray
    lowest: FloatArray
    steps: FloatArray  # thresholds per unit
    bits: IntArray  # int64[w, levels, words]
    counts: IntArray  # int64[w, levels]

    @classmethod
    def of(cls, problem: BoundedProblem, prefix: int, levels: int) -> _Tail:
        rows = problem.order.size - prefix
        codes = np.arange(1 << rows, dtype=np.int64)
        for i in range(1, rows):
            if problem.repeats[prefix + i]:
                codes = codes[(codes >> i) & 1 <= (codes >> (i - 1)) & 1]
        signs = 2.0 * ((codes[:, None] >> np.arange(rows)) & 1) - 1.0
        w = problem.centre.size
        lowest, steps = np.zeros((2, w))
        bits = np.zeros((w, levels, -(-codes.size // BITS)), dtype=np.int64)
        for column in range(w):
            sums = signs @ problem.halves[prefix:, column]
            lowest[column] = sums.min()
            span = float(sums.max() - lowest[column])
            steps[column] = (levels - 1) / span if span > 0.0 else 0.0
            fill_tail(sums, lowest[column], steps[column], bits[column])
        counts = np.zeros(bits.shape[:2], dtype=np.int64)
        count_bits(bits, counts)
        return cls(codes, lowest, steps, bits, counts)


class _Search:
    """One run: a subset to start from, a bound at the root, and the tree."""

    def __init__(self, instance: Instance, grid: FixedPoint, settings: BranchAndBound, limits: Limits) -> None:
        self.instance, self.grid, self.settings, self.limits = instance, grid, settings, limits
        self.problem = BoundedProblem.of(instance, grid)
        n, w = self.problem.halves.shape
        self.columns = np.ascontiguousarray(grid.rows[self.problem.order].T)
        self.squares = self.problem.halves**2
        fitting = math.log2(8 * _MOST_TAIL_BYTES / (w * settings.levels))
        self.prefix = max(0, n - min(settings.tail_rows, int(fitting)))
        self.buffer = CandidateBuffer(instance, grid, limits, self._decode)
        self.work = self.passes = 0
        self.proven = grid.floor
        self.tail: _Tail
        self.sizes = np.array([instance.smallest_size, instance.largest_size], dtype=np.int64)
        self.column_limits = self.problem.limits.copy()
        self.kept = np.zeros(n, dtype=np.bool_)
        self.centres, self.residuals = np.zeros((2, self.prefix + 1, w))
        self.centres[0] = self.residuals[0] = self.problem.centre
        self.signs = np.zeros((self.prefix + 1, n))
        self.phase = np.zeros(self.prefix + 1, dtype=np.int64)
        self.state = np.zeros(4, dtype=np.int64)
        self.u, self.active = np.zeros((2, w))
        self.ends = np.zeros((2, w), dtype=np.int64)

    def run(self) -> StoppedBy | None:
        """Passes with growing bounds on the error; why the search ended, None once the last was conclusive."""
        buffer = self.buffer
        if buffer.within_tolerance is not None:
            return StoppedBy.TOLERANCE
        stopped = self.limits.exceeded()
        if stopped is not None:
            return stopped
        self._bound_root()
        if self._is_quickly_proved():
            return None
        work, stopped = find_start(buffer, self.limits, self.settings.moves)
        self.work += work
        stopped = stopped or self.limits.exceeded(self.work)
        if stopped is not None:
            return stopped
        self.tail = _Tail.of(self.problem, self.prefix, self.settings.levels)
        least, gap = self.proven, max(0, buffer.best - self.proven)
        shares = iter(_SHARES_OF_GAP)
        while buffer.conclusive_bound >= self.proven:
            share = next(shares, None)
            bound = buffer.conclusive_bound
            if share is not None:
                bound = min(bound, max(least + int(share * gap), buffer.tolerance_points))
            stopped = self._pass(bound)
            if stopped is not None:
                return stopped
            if buffer.conclusive_bound <= bound:
                break
            if buffer.best <= bound:  # the others within its rounding may lie above the bound
                shares = iter(())
            self.proven = max(self.proven, min(buffer.best, bound + 1))
        self.proven = buffer.best
        return None

    def _is_quickly_proved(self) -> bool:
        """Whether a short walk is enough; where a subset that is quick to find is best, as the empty one often is.

        It has a tail of few rows: local search and bitsets of 2^14 choices take some 60 to 100 ms at d = 144.
        """
        if self.limits.tolerance is not None or self.settings.tail_rows <= _SHORT_TAIL:
            return False
        short = _Search(self.instance, self.grid, replace(self.settings, tail_rows=_SHORT_TAIL), self.limits)
        short.proven = self.proven
        short.tail = _Tail.of(short.problem, short.prefix, self.settings.levels)
        stopped = short._pass(short.buffer.conclusive_bound, _SHORT_ENTRIES // (short.problem.centre.size + 50))
        self.work += short.work
        if stopped is not None or short.state[0] >= 0 or short.buffer.overflowed_at is not None:
            return False
        self.buffer, self.proven = short.buffer, short.buffer.best
        self.passes, self.state = short.passes, short.state
        return True

    def _pass(self, bound: int, most: int | None = None) -> StoppedBy | None:
        """Walk the whole tree, or up to `most` units of work, for errors up to the bound; the limit that ended it."""
        buffer, problem, tail = self.buffer, self.problem, self.tail
        buffer.start_pass(bound)
        self.passes += 1
        self.phase[0] = self.state[0] = self.state[1] = 0
        self.residuals[0], self.signs[0] = problem.centre, 0.0
        mask = np.zeros(tail.bits.shape[2], dtype=np.int64)
        bounded = self._levels_worth_bounding(mask.size)
        chunk = max(1, _ENTRIES_A_CHUNK // (problem.centre.size + 50))
        until = math.inf if most is None else self.work + most
        chunk = chunk if most is None else min(chunk, most)
        while self.state[0] >= 0 and buffer.conclusive_bound >= self.proven and self.work < until:
            stopped = self.limits.exceeded(self.work)
            if stopped is not None:
                return stopped
            left = self.limits.work_left(self.work)
            self.work += search_tree(
                problem.halves, self.squares, problem.repeats, self.column_limits,
                self.instance.d, UNIT, problem.margin, self.settings.sweeps, bounded,
                tail.lowest, tail.steps, tail.bits, tail.counts, tail.codes,
                self.columns, self.grid.target, self.sizes, self.kept, self.centres, self.residuals, self.signs,
                self.phase, self.state, self.u, self.active, self.ends, mask,
                buffer.errors, buffer.codes, buffer.control, chunk if left is None else min(chunk, left),
            )  # fmt: skip
            buffer.settle()
            if buffer.within_tolerance is not None:
                return StoppedBy.TOLERANCE
        return None

    def _bound_root(self) -> None:
        """What the relaxation to fractions of rows proves."""
        problem = self.problem
        bound = root_bound(
            problem.halves, self.squares, problem.centre, problem.limits, self.instance.d, _ROOT_SWEEPS, _ROOT_ROUNDS
        )
        steps = math.floor(Fraction(bound - problem.margin) / Fraction(UNIT))
        self.proven = max(self.proven, min(steps, self.buffer.best))

    def _levels_worth_bounding(self, words: int) -> int:
        """Levels at which looking for a direction is cheap beside filtering the tails below."""
        n, w = self.problem.halves.shape
        filtering = _COLUMN_COST * w + _WORD_COST * words
        return sum(2.0 ** (self.prefix - level) * filtering >= (n - level) * w for level in range(self.prefix))

    def _decode(self, head: int, tail: int) -> IntArray:
        code = head | tail << self.prefix
        return np.sort(self.problem.order[[i for i in range(self.problem.order.size) if code >> i & 1]])
