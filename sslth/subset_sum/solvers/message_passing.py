"""Sign pursuit over the large rows, then reinforced message passing on the smallest: d from 27 upwards."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sslth.subset_sum.instance import Instance
from sslth.subset_sum.kernels.message_passing import anneal, set_out
from sslth.subset_sum.kernels.tail import lay_out
from sslth.subset_sum.limits import Limits, Norm
from sslth.subset_sum.solution import BoolArray, Outcome
from sslth.subset_sum.solvers.sign_beam import TailProblem, beam_signs
from sslth.subset_sum.solvers.sign_pursuit import (
    Front,
    decide_large_rows,
    has_wanted_size,
    outcome_of,
    repaired,
    tail_size,
)

__all__ = ["MessagePassing"]

_ENTRIES_A_CHUNK = 100_000_000  # entry-rounds between two looks at the clock: about 10 ms
_FIRST_BOX = 0.09  # of the spread of a random rounding
_BOXES = (0.95, 0.88, 1.0, 0.92)  # of the best error so far, by turns
_COUNT_STEP = 2.5  # boxes: what one row too many weighs where the number of rows is wanted
_SECONDS_AN_ENTRY = 1.1e-10
_ANY_NUMBER = 1 << 40
_ENTRY_ROUNDS = 5e10  # of all runs together: some seconds
_MOST_RUNS = 100_000
_SMALLEST_BOX = 1e-6  # of a row's root mean square entry: what float32 sums resolve
_SHAKE = 0.35  # spread of the logarithm of a row's stiffness, drawn for each run
_FROZEN = 0.999  # rows with a larger |mean| are left out of the final beam


@dataclass(frozen=True)
class MessagePassing:
    """Signs of the large rows by pursuit, signs of the smallest by reinforced message passing and a beam.

    The tail of m = `tail_rows_per_dimension` * d rows is a symmetric binary perceptron: find signs with
    |t - signs @ A| <= box in every coordinate. Approximate message passing [DonohoMalekiMontanari2009]_ finds the mean
    of each sign under the uniform law on solutions, as long as more rows are open than there are coordinates;
    reinforcement [BraunsteinZecchina2006]_ freezes them, large rows first: at round k of K row i remembers its field
    with weight 1 - exp(-(a_i / c_k)^4), a_i its length over the root mean square, c_k falling geometrically from
    `front`[0] to `front`[1]. What a coordinate exceeds the box by counts as variance, so that a box too narrow
    costs a longer search instead of the run. At three fifths of a run, and at its end, a beam decides the rows that are
    still open by the probability of ending in the box. Runs start from fresh random means, with a box near the best
    error so far, and grow longer.

    Parameters
    ----------
    tail_rows_per_dimension : float
        Length of the tail in units of d; all rows where n is at most 1.5 times that.
    rounds : int
        Rounds of the first runs.
    beam : int
        Width of the final beams in the first runs.
    restarts : int or None
        How many runs; None for as many as fill a second for small tails, and some five seconds for large ones.
    front : (float, float)
        Where the freezing front starts and ends, in root mean square lengths.
    early_beam : bool
        Whether a beam is tried at three fifths of a run. Short runs have most rows open by then and need none.

    Notes
    -----
    Cost O(n d + runs * rounds * m d) time, 0.1 ns an entry and round; O(n d) memory. One unit of work is one row
    decided or scored in one round. Error about 0.38 d^1.5 / n for normally-scaled normal rows, whatever the length of
    the target up to 85 % of the longest that can be reached; about 0.3 sqrt(d) for standard normal rows, which have no
    small ones. Below n = 16 d the error grows faster than 1 / n, as it does for every solver (d = 144: .29 of the cube
    at n = 16 d, .60 at 8 d, nothing gained at 4 d); below d = 20 the equations, which hold for many coordinates, are
    worth less than a beam. A wanted number of rows is one more coordinate with a variance of its own, and a prior on
    the signs; it costs a tenth of the error at k = n / 3, a half at n / 10.

    .. [DonohoMalekiMontanari2009] D. L. Donoho, A. Maleki, A. Montanari, "Message-passing algorithms for compressed
       sensing", PNAS 106, 2009. doi:10.1073/pnas.0909892106
    .. [BraunsteinZecchina2006] A. Braunstein, R. Zecchina, "Learning by message passing in networks of discrete
       synapses", Physical Review Letters 96, 2006. doi:10.1103/PhysRevLett.96.030201
    """

    tail_rows_per_dimension: float = 5.0
    rounds: int = 600
    beam: int = 32
    restarts: int | None = None
    front: tuple[float, float] = (1.7, 0.1)
    early_beam: bool = True
    name: str = "message_passing"

    def __call__(self, instance: Instance, limits: Limits) -> Outcome:
        front, runs = self._search(instance, limits, instance.cardinality, 0)
        if instance.cardinality is None and int(front.keep.sum()) > instance.largest_size:
            front, more = self._search(instance, limits, instance.largest_size, front.work)
            runs += more
        if not has_wanted_size(instance, front):
            front.stopped = repaired(instance, front, limits) or front.stopped
        return outcome_of(instance, front, limits, {"runs": runs})

    def _search(self, instance: Instance, limits: Limits, size: int | None, work: int) -> tuple[Front, int]:
        m = tail_size(instance, self.tail_rows_per_dimension, size)
        m = instance.n if instance.n <= 1.5 * m else m
        front = decide_large_rows(instance, limits, m, size, work)
        if front.stopped:
            return front, 0
        signs = front.signs_of_tail()
        search = _Runs(self, front, limits, signs)
        runs = search.run_all() if search.worth_while else 0
        front.settle(search.signs)
        return front, runs


class _Runs:
    """The tail, padded to multiples of 8, and the state of one run."""

    def __init__(self, settings: MessagePassing, front: Front, limits: Limits, signs: BoolArray) -> None:
        self.settings, self.front, self.limits, self.signs = settings, front, limits, signs
        openness = max(1.0 - (2.0 * front.share - 1.0) ** 2, 1e-3)
        self.box = _FIRST_BOX * float(np.sqrt(front.tail.size * openness))
        self.problem = TailProblem.of(front, count_step=_COUNT_STEP * self.box)
        self.m, self.d = self.problem.rows.shape
        self.worth_while = self.problem.unit > 0.0 and 0.0 < front.share < 1.0
        self.best = self.problem.error(signs, Norm.SUP)
        self.rng = np.random.Generator(np.random.Philox(limits.seed))
        padded = (-(-self.m // 8) * 8, -(-self.d // 8) * 8)
        self.rows = np.zeros(padded, dtype=np.float32)
        self.columns = np.zeros(padded[::-1], dtype=np.float32)
        self.weights = np.zeros(padded[0], dtype=np.float32)
        self.weights[: self.m] = self.problem.weights
        self.prior = float(np.arctanh(2.0 * front.share - 1.0)) if self.worth_while else 0.0
        self.settled, self.means, self.history, self.spread = (np.zeros(padded[0], dtype=np.float32) for _ in range(4))
        self.sums = np.zeros(padded[1], dtype=np.float32)
        self.wish = np.zeros(self.d)
        self.rounds_done, self.hurried = 0, False

    def run_all(self) -> int:
        settings = self.settings
        at_a_level = max(1, 600 // self.d)
        run = 0
        while self._more(run):
            level = min(3, run // at_a_level)
            box = self.box if run == 0 or not np.isfinite(self.best) else _BOXES[run % len(_BOXES)] * self.best
            fitting = self._rounds_that_fit()
            self.hurried = self.hurried or fitting < settings.rounds << level
            self._run(max(box, _SMALLEST_BOX), min(settings.rounds << level, fitting), settings.beam << level)
            run += 1
        return run

    def _more(self, run: int) -> bool:
        """Whether to start run number `run`; once the clock has shortened a run, the clock alone ends the search."""
        if self.best == 0.0 or self._met() or self._reached():
            return False
        if self.settings.restarts is not None:
            return run < self.settings.restarts
        entries = self.m * self.d
        planned = run < 40 + min(entries, 2**18) // 60 and self.rounds_done * entries < _ENTRY_ROUNDS
        return planned or (self.hurried and run < _MOST_RUNS)

    def _rounds_that_fit(self) -> int:
        """Rounds that fit into the rest of the time, at least 60: a run cut off before its end is worth little."""
        left = self.limits.seconds_left()
        if left is None:
            return _ANY_NUMBER
        return max(60, int(0.8 * left / (_SECONDS_AN_ENTRY * self.rows.size)))

    def _met(self) -> bool:
        return self.limits.is_met_by(float(np.ldexp(self.best * self.problem.unit, -self.front.shift)))

    def _reached(self) -> bool:
        self.front.stopped = self.limits.exceeded(self.front.work)
        return self.front.stopped is not None

    def _run(self, box: float, rounds: int, width: int) -> None:
        relative = self.weights / self.weights[: self.m].mean(dtype=np.float64)
        alike = max(0.0, float(np.sqrt(np.quantile(relative[: self.m], 0.06))) - 0.1)  # 0 where small rows abound
        stiffness = relative.astype(np.float64) ** 2
        stiffness[: self.m] *= np.exp((_SHAKE + 3.0 * alike) * self.rng.standard_normal(self.m))
        noise = 0.1 * self.rng.standard_normal(self.m)
        first, last = self.settings.front
        span = np.array([first * (1.0 + 1.5 * alike), last + 0.25 * alike])  # rows alike freeze by lot, one by one
        lay_out(self.problem.rows, self.rows, self.columns)  # again in every run: rows leave them
        self.columns[:, self.m :] = 0.0
        set_out(self.rows, self.prior, noise, self.means, self.history, self.spread, self.sums, self.wish)
        weights, fixed = self.weights.copy(), np.zeros(self.sums.size)
        numbers, active = np.arange(self.means.size), self.means.size
        total = float(self.weights.sum(dtype=np.float64)) * (1.0 - math.tanh(self.prior) ** 2)
        chunk = max(1, _ENTRIES_A_CHUNK // self.rows.size)
        found = np.zeros(self.m, dtype=np.bool_)
        done, over, error = 0, False, np.inf
        beam_at = int(0.6 * rounds) if self.settings.early_beam else rounds
        while not over:
            left = self.limits.work_left(self.front.work)
            now = chunk if left is None else max(1, min(chunk, left // self.m))
            stop = min(done + now, rounds if done >= beam_at else beam_at)
            before = done
            done, error, over, active = anneal(
                self.rows, self.columns.ravel(), weights, self.problem.count_entry, stiffness,
                self.problem.target, box, self.prior, 0.9, span,
                rounds, done, stop, self.means, self.history, self.spread, self.sums, self.wish,
                numbers, active, self.settled, fixed, total, found, error,
            )  # fmt: skip
            self.front.work += self.m * (done - before)
            self.rounds_done += done - before
            if error < self.best:
                self._take(found)
            if over or done == beam_at:
                self._finish(box, width)
            if self._met() or self._reached():
                return

    def _finish(self, box: float, width: int) -> None:
        means = self.settled[: self.m].astype(np.float64)
        open_rows = np.flatnonzero(np.abs(means) < _FROZEN)
        if open_rows.size == 0 or self.limits.exceeded(self.front.work):
            return
        order = open_rows[np.argsort(-self.weights[open_rows], kind="stable")]
        left = self.limits.work_left(self.front.work)
        if left is not None:
            width = max(1, min(width, left // order.size))
        target = max(0.93 * min(box, self.best), _SMALLEST_BOX)
        signs, self.front.work = beam_signs(
            self.problem, order, means, width, target, Norm.SUP, self.limits, self.front.work
        )
        if signs is not None:
            self._take(signs)

    def _take(self, signs: BoolArray) -> None:
        error = self.problem.error(signs, Norm.SUP)
        if error < self.best:
            self.best = error
            self.signs = signs.copy()
