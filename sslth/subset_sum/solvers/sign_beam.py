"""Sign pursuit over the large rows, then a beam over the signs of the smallest: d from 10 to 26."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.instance import FloatArray, Instance
from sslth.subset_sum.kernels.sign_beam import beam_over_signs, follow_back
from sslth.subset_sum.kernels.tail import gather_scaled, take_weighted_off
from sslth.subset_sum.limits import Limits, Norm
from sslth.subset_sum.solution import BoolArray, Outcome
from sslth.subset_sum.solvers.sign_pursuit import (
    Front,
    decide_large_rows,
    has_wanted_size,
    outcome_of,
    repaired,
    tail_size,
)

__all__ = ["SignBeam", "TailProblem", "beam_signs"]

_ENTRIES_A_CHUNK = 8_000_000  # child entries between two looks at the clock: about 10 ms


@dataclass(frozen=True)
class TailProblem:
    """Signs wanted: |target - signs @ rows| small.

    Attributes
    ----------
    rows : float64[m, d + c]
        Half the rows of the tail over `unit`, so that their entries are near 1 in the mean square; with c = 1 a last
        column that counts the kept rows.
    target : float64[d + c]
    unit : float
        What the rows were divided by; 0 if all of them vanish.
    weights : float64[m]
        The mean square of each row, without the last column where that counts.
    counted : bool
        Whether c = 1.
    wanted : int or None
        The number of + signs, where counted.
    """

    rows: FloatArray
    target: FloatArray
    unit: float
    weights: FloatArray
    counted: bool
    wanted: int | None

    @classmethod
    def of(cls, front: Front, count_step: float = 0.0) -> TailProblem:
        """The tail of a front; one row too many or too few weighs `count_step` units where a number is wanted."""
        m, d = front.tail.size, front.rows.shape[1]
        squares = front.norms[front.tail]
        unit = 0.5 * math.sqrt(float(squares.mean()) / d) if m else 0.0
        factor = 0.5 / unit if unit > 0.0 else 0.5
        residual = front.residual.copy()
        if front.share != 0.5:  # as if undecided rows counted 1/2
            residual += (2.0 * front.share - 1.0) * 0.5 * front.rows[front.tail].sum(axis=0)
        residual /= unit or 1.0
        rows = np.empty((m, d if front.wanted is None else d + 1))
        gather_scaled(front.rows, front.tail, factor, rows)
        if front.wanted is not None:
            rows[:, d] = 0.5 * count_step
            residual = np.append(residual, (front.wanted - 0.5 * m) * count_step)
        return cls(rows, residual, unit, squares * (factor * factor / d), front.wanted is not None, front.wanted)

    @property
    def count_entry(self) -> float:
        """What every row has in the last column, where counted; else 0."""
        return float(self.rows[0, -1]) if self.counted else 0.0

    def left_by(self, weights: FloatArray) -> FloatArray:
        """target - weights @ rows, float64[d + c]; by our own kernel, as threads of a library do not help here."""
        residual = self.target.copy()
        take_weighted_off(self.rows, weights, residual)
        return residual

    def error(self, signs: BoolArray, norm: Norm) -> float:
        """The norm of the residual in units; inf for a wrong number of + signs."""
        if self.counted and int(signs.sum()) != self.wanted:
            return float("inf")
        residual = self.left_by(np.where(signs, 1.0, -1.0))
        return float(norm.of(residual[: residual.size - 1] if self.counted else residual))


def beam_signs(
    problem: TailProblem,
    order: npt.NDArray[np.int64],
    means: FloatArray,
    width: int,
    half_width: float | None,
    norm: Norm,
    limits: Limits,
    work: int,
) -> tuple[BoolArray | None, int]:
    """The best signs that a beam of `width` states finds, and the work done; None if a limit came first.

    Rows outside `order` take the sign of their mean; those of `order` int64[k], from large to small, are decided by
    the beam. Undecided rows count means[i] of themselves. `half_width` None scores by the squared length, a number by
    the probability that the residual ends in that box.
    """
    rows = problem.rows[order].astype(np.float32)
    k, d = rows.shape
    signs = means >= 0.0
    fixed = np.where(signs, 1.0, -1.0)
    fixed[order] = means[order]
    open_means = means[order]
    spread = np.stack([problem.weights[order], np.full(k, problem.count_entry**2)], axis=1)
    spread *= (1.0 - open_means**2)[:, None]
    variances = np.maximum(np.cumsum(spread[::-1], axis=0)[::-1] - spread, 0.0)
    halves = np.stack([1.0 + open_means, 1.0 - open_means], axis=1) / 2.0
    priors = np.zeros((k, 2)) if half_width is None else -np.log(np.maximum(halves, 1e-9))
    residuals = np.zeros((2, d, width), dtype=np.float32)
    residuals[0, :, 0] = problem.left_by(fixed)
    carried = np.zeros((2, width), dtype=np.float32)
    if half_width is None:
        carried[0, 0] = np.dot(residuals[0, :, 0], residuals[0, :, 0])
    scores = np.empty(2 * width, dtype=np.float32)
    parents = np.zeros((k, width), dtype=np.int32)
    ups = np.zeros((k, width), dtype=np.bool_)
    generation, states = 0, 1
    chunk = max(1, _ENTRIES_A_CHUNK // (2 * width * d))
    for begin in range(0, k, chunk):
        if limits.exceeded(work):
            return None, work
        end = min(k, begin + chunk)
        generation, states = beam_over_signs(
            rows, open_means, variances, priors, half_width or 1.0, half_width is not None, norm is Norm.SUP,
            problem.counted, residuals, carried, scores, parents, ups, begin, end, generation, states,
        )  # fmt: skip
        work += (end - begin) * width
    last = residuals[generation, :, :states]
    errors = norm.of(last[: d - 1].T if problem.counted else last.T)
    if problem.counted:  # half a step off is a wrong number
        errors = np.where(np.abs(last[d - 1]) < problem.rows[0, d - 1], errors, np.inf)
    chosen = np.empty(k, dtype=np.bool_)
    follow_back(parents, ups, int(errors.argmin()), chosen)
    signs[order] = chosen
    return signs, work


@dataclass(frozen=True)
class SignBeam:
    """Signs of the large rows by pursuit, signs of the last rows by beams of growing width.

    Every state of the beam is a residual; its two children add and take half of the next row. The `width` children
    of least squared length survive, or, from `potential_from` coordinates on, those whose residual is likeliest to
    end in a box a little smaller than the best error so far, the undecided rows taken as independent signs (the
    pessimistic estimator of [Raghavan1988]_). The sup norm picks among the last states.

    Parameters
    ----------
    tail_rows_per_dimension : float
        Length of the tail in units of d.
    widths : tuple of int
        One beam after the other.
    potential_from : int
        The least d at which the potential takes the place of the squared length after the first beam.

    Notes
    -----
    Cost O(n d + width * tail * d) time, 2 to 3 ns an entry of a state, twice that with the potential; memory O(n d +
    width * (d + tail)). One unit of work is one row decided in one state. At d < 10 a `k_tree` is better, from d = 27
    `message_passing`. It fails with d in the dozens below n = 12 d: the beam then starts from a residual that it cannot
    bring down. A wanted number of rows is one more coordinate.

    .. [Raghavan1988] P. Raghavan, "Probabilistic construction of deterministic algorithms: approximating packing
       integer programs", Journal of Computer and System Sciences 37, 1988. doi:10.1016/0022-0000(88)90003-7
    """

    tail_rows_per_dimension: float = 9.0
    widths: tuple[int, ...] = (1024, 8192, 32768)
    potential_from: int = 48
    name: str = "sign_beam"

    def __call__(self, instance: Instance, limits: Limits) -> Outcome:
        front, width = self._search(instance, limits, instance.cardinality, 0)
        if instance.cardinality is None and int(front.keep.sum()) > instance.largest_size:
            front, width = self._search(instance, limits, instance.largest_size, front.work)
        if not has_wanted_size(instance, front):
            front.stopped = repaired(instance, front, limits) or front.stopped
        return outcome_of(instance, front, limits, {"width": width})

    def _search(self, instance: Instance, limits: Limits, size: int | None, work: int) -> tuple[Front, int]:
        m = tail_size(instance, self.tail_rows_per_dimension, size)
        front = decide_large_rows(instance, limits, m, size, work)
        if front.stopped:
            return front, 0
        problem = TailProblem.of(front, count_step=1.0)
        best_signs = front.signs_of_tail()
        best = problem.error(best_signs, limits.norm)
        order = np.arange(m)
        means = np.full(m, 2.0 * front.share - 1.0)
        used = 0
        for width in self.widths if problem.unit > 0.0 else ():
            error = float(np.ldexp(best * problem.unit, -front.shift))
            front.stopped = limits.exceeded(front.work)
            if front.stopped or limits.is_met_by(error) or (m < 30 and used >= 2**m):
                break
            left = limits.work_left(front.work)
            if left is not None and left < m:
                break
            width = width if left is None else min(width, left // m)
            box = 0.9 * best if used and instance.d >= self.potential_from and limits.norm is Norm.SUP else None
            box = None if box is None or not 1e-6 < box < np.inf else box  # float32 sees no smaller one
            signs, front.work = beam_signs(problem, order, means, width, box, limits.norm, limits, front.work)
            if signs is None:
                front.stopped = limits.exceeded(front.work)
                break
            used = width
            error = problem.error(signs, limits.norm)
            if error < best:
                best, best_signs = error, signs
        front.settle(best_signs)
        return front, used
