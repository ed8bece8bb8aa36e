"""The Paley–Zygmund bound E[Y]² / E[Y²] on the probability that some subset lies within ε of a target."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from sslth.errors import InvalidInputError
from sslth.theory.second_moment.normal_boxes import PairIntegral, log_interval
from sslth.theory.second_moment.pair_terms import PairTerms, log_sum
from sslth.theory.second_moment.scales import ScaleRule, chi_rule, chi_truncated, fixed_scales, trapezoid_error

__all__ = ["PaleyZygmund", "paley_zygmund"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_LAWS = ("gaussian", "nsn")
_INNER_ERROR = 1e-10  # relative; measured against interval arithmetic, with a margin of a hundred
_MOST_ROWS = {True: 2000, False: 64}  # of a fixed size, and of all sizes, whose overlaps grow like n³


@dataclass(frozen=True)
class PaleyZygmund:
    """A lower bound on the probability that at least one subset is within ε.

    Attributes
    ----------
    bound : float
        E[Y]² / E[Y²] for the number Y of such subsets.
    error : float
        How far `bound` may be from the exact ratio.
    log_expected : float
        log E[Y].
    """

    bound: float
    error: float
    log_expected: float

    @property
    def interval(self) -> tuple[float, float]:
        """Where the exact ratio lies."""
        return max(0.0, self.bound - self.error), min(1.0, self.bound + self.error)


def paley_zygmund(
    law: str,
    n: int,
    d: int,
    k: int | None = None,
    *,
    epsilon: float,
    target: npt.ArrayLike = 0.0,
    tolerance: float = 1e-5,
) -> PaleyZygmund:
    r"""The Paley–Zygmund bound for n i.i.d. rows in d dimensions: P(some subset within ε of the target) >= bound.

    Parameters
    ----------
    law : {"gaussian", "nsn"}
        N(0, 1) entries, or normally-scaled normal rows.
    n, d : int
    k : int, optional
        Only subsets of this size count; None: all 2^n subsets, the empty one included.
    epsilon : float
        In the sup norm.
    target : float64[d] or float
        A number stands for that number in every coordinate.
    tolerance : float
        Wanted relative error; it sets the nodes of the rule for NSN rows.

    Returns
    -------
    PaleyZygmund
        With an error of at most `tolerance` times the bound, unless E[Y] underflows (the bound is 0 then).

    Raises
    ------
    InvalidInputError
        For an unknown law, sizes, ε or a tolerance that make no sense, or more than 64 rows with k None, 2,000 else.

    Notes
    -----
    Two random subsets share j rows and have a and b rows alone with hypergeometric (all subsets: multinomial)
    probability; given the scales of the three sums (√j, √a, √b; NSN: χ_j, χ_a, χ_b) the coordinates are independent,
    and each is one integral over the shared part. The error is the sum of

    - what the rule for χ leaves out at both ends, bounded by the mass there times a hit probability,
    - its discretisation, bounded a priori (see `trapezoid_error`); "hit probability" is at most the one for target 0,
      whatever the shared part is, by Anderson's inequality [Anderson1955]_,
    - terms that are dropped because the same bounds make them negligible,
    - 1e-10 of the bound for the inner integral and rounding. This part is not proved but measured: interval arithmetic
      found 5e-12 at worst.

    Cost: Gaussian, milliseconds; NSN at most O(m³ p) for m nodes of χ (about 130) and p of the inner integral (about
    2,000), on one thread: about .1 s at n = 20 for each distinct absolute entry of the target; memory O(m p).

    .. [Anderson1955] T. W. Anderson, "The integral of a symmetric unimodal function over a symmetric convex set and
       some probability inequalities", Proceedings of the AMS 6, 1955. doi:10.1090/S0002-9939-1955-0069229-1

    Examples
    --------
    >>> round(paley_zygmund("gaussian", 20, 1, 10, epsilon=0.01).bound, 3)
    0.848
    """
    z = _checked(law, n, d, k, epsilon, target, tolerance)
    return _SecondMoment(law, z, epsilon, PairTerms.of(n, k), tolerance).solve()


def _checked(
    law: str, n: int, d: int, k: int | None, epsilon: float, target: npt.ArrayLike, tolerance: float
) -> FloatArray:
    if law not in _LAWS:
        raise InvalidInputError(f"there is no second moment for the law {law!r}; choose one of {', '.join(_LAWS)}")
    if n < 1 or d < 1:
        raise InvalidInputError(f"n = {n} rows of dimension d = {d}: both must be at least 1")
    if k is not None and not 0 <= k <= n:
        raise InvalidInputError(f"subsets of {k} rows do not exist: k must lie between 0 and n = {n}")
    if n > _MOST_ROWS[k is not None]:
        raise InvalidInputError(f"n = {n} rows are too many: at most 2000 with a fixed k, 64 without")
    if not (0.0 < epsilon < math.inf):
        raise InvalidInputError(f"epsilon must be a positive number, not {epsilon}")
    if not (1e-9 <= tolerance < 1.0):
        raise InvalidInputError(f"the tolerance of the bound must lie between 1e-9 and 1, not {tolerance}")
    z = np.abs(np.asarray(target, dtype=np.float64))
    if z.shape not in ((), (1,), (d,)) or not np.isfinite(z).all():
        raise InvalidInputError(f"the target must be {d} finite numbers, or one for all coordinates")
    return np.broadcast_to(z, (d,)).copy()


class _SecondMoment:
    """One evaluation; all probabilities are logs, and those of pairs are divided by `reference` squared."""

    def __init__(self, law: str, target: FloatArray, epsilon: float, terms: PairTerms, tolerance: float) -> None:
        self.law, self.epsilon, self.terms, self.tolerance = law, epsilon, terms, tolerance
        self.d = target.size
        self.values, self.multiplicities = np.unique(target, return_counts=True)
        self.most_rows = int(terms.sizes.max())
        rule = self._fine_rule()
        zeros = np.zeros(1)
        self.log_hit = self._log_hits(rule, self.values, self.multiplicities)
        self.log_hit_at_zero = self._log_hits(rule, zeros, np.array([self.d]))
        self.log_first = log_sum(terms.log_size_share + self.log_hit[terms.sizes])
        self.log_expected = terms.log_subsets + self.log_first
        outside = np.log(self._hit_error(rule, terms.sizes) + 1e-320)
        self.first_error = math.exp(min(0.0, log_sum(terms.log_size_share + outside) - self.log_first))

    def solve(self) -> PaleyZygmund:
        if self.log_expected < -600.0:
            return PaleyZygmund(0.0, math.exp(max(-745.0, self.log_expected)), self.log_expected)
        if self.most_rows == 0:
            return PaleyZygmund(1.0, 0.0, self.log_expected)
        rule, relative = self._rule()
        # small matrix products by the hundred: threads that wait for each other make them up to ten times slower
        with threadpool_limits(limits=1, user_api="blas"):
            log_second, dropped = self._log_second(rule)
        bound = min(1.0, math.exp(2 * self.log_first - log_second))
        # the other errors are relative to E[Y]², at most E[Y²]
        relative = 2 * self.first_error + relative + dropped + _INNER_ERROR
        return PaleyZygmund(bound, bound * relative, self.log_expected)

    # ------------------------------------------------------------------------------------------- one subset

    def _fine_rule(self) -> ScaleRule:
        if self.law == "gaussian":
            return fixed_scales(self.most_rows)
        step = min(0.02, 0.1 / math.sqrt(self.most_rows + self.d))
        return chi_rule(self.most_rows, step, 1e-14 * min(1.0, self.epsilon), math.sqrt(self.most_rows) + 14.0)

    def _hit_error(self, rule: ScaleRule, sizes: IntArray) -> FloatArray:
        if rule.step == 0.0:
            return np.zeros(sizes.size)
        discretised = trapezoid_error(sizes, self.d, rule.step) * np.exp(self.log_hit_at_zero[sizes])
        return chi_truncated(sizes, rule.smallest, rule.largest) + discretised

    def _log_hits(self, rule: ScaleRule, values: FloatArray, multiplicities: IntArray) -> FloatArray:
        """log P(a sum of s rows is within ε of the target), for every s."""
        scales = rule.scales[1:, None]
        logs = np.zeros(rule.scales.size)
        logs[0] = 0.0 if (values <= self.epsilon).all() else -np.inf
        logs[1:] = log_interval(values / scales, self.epsilon / scales) @ multiplicities
        with np.errstate(divide="ignore"):
            log_weights = np.log(rule.weights)
        return np.array([log_sum(row + logs) for row in log_weights])

    # -------------------------------------------------------------------------------------------- two subsets

    def _relative(self, logs: FloatArray) -> FloatArray:
        """A log of probability of pairs, relative to E[Y]²."""
        return np.exp(np.minimum(logs - 2 * self.log_first, 600.0))

    def _bounds(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """For every term: its share of the pairs times a bound on P(both hit), relative to E[Y]².

        float64[2, t] given the own scale of the first or the second subset, if only the other one must hit; the same
        times the largest probability that this one hits; float64[t] given the shared scale.
        """
        t, hit, at_zero = self.terms, self.log_hit, self.log_hit_at_zero
        own = np.stack([t.first, t.second])
        one = t.log_share + hit[t.shared + own[::-1]]
        return (
            self._relative(one),
            self._relative(one + at_zero[own]),
            self._relative(t.log_share + at_zero[own].sum(0)),
        )

    def _rule(self) -> tuple[ScaleRule, float]:
        """The coarsest rule whose errors are proved to be small enough, and the bound on them relative to E[Y]²."""
        if self.law == "gaussian":
            return fixed_scales(self.most_rows), 0.0
        t, allowed = self.terms, self.tolerance / 8
        one, both, apart = self._bounds()
        own = np.stack([t.first, t.second])
        sizes = np.arange(self.most_rows + 1)
        step, error = 0.3, math.inf
        while error > allowed and step > 1e-3:
            step *= 0.9
            factor = trapezoid_error(sizes, self.d, step)
            # twice, because the other scales are discretised too
            error = 2 * float((factor[own] * both).sum() + (factor[t.shared] * apart).sum())
        log_smallest, largest, cut = 0.0, math.sqrt(self.most_rows) + 6.0, math.inf
        while cut > allowed and log_smallest > -600.0:
            log_smallest, largest = log_smallest - 0.7, largest + 0.25
            outside = chi_truncated(sizes, math.exp(log_smallest), largest)
            cut = float((outside[own] * one).sum() + (outside[t.shared] * apart).sum())
        return chi_rule(self.most_rows, step, math.exp(log_smallest), largest), error + cut

    def _log_second(self, rule: ScaleRule) -> tuple[float, float]:
        """log of E[Y²] over the squared number of subsets, and how much was dropped of it relative to E[Y]²."""
        t = self.terms
        disjoint = t.shared == 0
        parts = [log_sum((t.log_share + self.log_hit[t.first] + self.log_hit[t.second])[disjoint])]
        one, _, apart = self._bounds()
        dropped = self.tolerance / 4 if rule.step else _INNER_ERROR
        least = dropped / (3 * rule.scales.size * t.shared.size)
        shared, first, second = t.shared[~disjoint], t.first[~disjoint], t.second[~disjoint]
        one, apart, log_share = one[:, ~disjoint], apart[~disjoint], t.log_share[~disjoint]
        # a term with a scale that weighs so little is dropped; there are at most 3 m t of these
        largest_one = np.zeros(self.most_rows + 1)
        np.maximum.at(largest_one, first, one[0])
        np.maximum.at(largest_one, second, one[1])
        own_needed = rule.weights * largest_one[:, None] > least
        reference = log_interval(self.values / math.sqrt(self.most_rows), self.epsilon / math.sqrt(self.most_rows))
        integrals = [
            PairIntegral(float(z), self.epsilon, rule.scales, rule.smallest, rule.largest, float(ref))
            for z, ref in zip(self.values, reference, strict=True)
        ]
        scale = 2 * float(reference @ self.multiplicities)
        for index in range(1, rule.scales.size):
            weight = rule.weights[shared, index]
            kept = np.flatnonzero(weight * apart > least)
            if kept.size == 0:
                continue
            rows = np.unique(np.concatenate([first[kept], second[kept]]))
            own = np.flatnonzero(own_needed[rows].any(axis=0))
            log_both = np.zeros((own.size, own.size))
            with np.errstate(divide="ignore"):
                for integral, power in zip(integrals, self.multiplicities, strict=True):
                    log_both += power * np.log(integral.matrix(float(rule.scales[index]), own))
            shift = float(log_both.max(initial=-np.inf))
            if not math.isfinite(shift):
                continue
            own_weights = rule.weights[np.ix_(rows, own)]
            by_size = own_weights @ np.exp(log_both - shift) @ own_weights.T
            place = np.searchsorted(rows, first[kept]), np.searchsorted(rows, second[kept])
            with np.errstate(divide="ignore"):
                logs = log_share[kept] + np.log(weight[kept]) + np.log(by_size[place])
            parts.append(scale + shift + log_sum(logs))
        return log_sum(np.array(parts)), dropped
