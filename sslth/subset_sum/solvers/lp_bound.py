"""A proven lower bound on the error of every subset, from the dual of the linear relaxation."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog

from sslth.subset_sum.exact_errors import exact_integers, round_down
from sslth.subset_sum.instance import FloatArray, Instance

__all__ = ["exact_lagrangian_bound", "lagrangian_bound"]

IntArray = npt.NDArray[np.int64]

_WEIGHT_BITS = 40


def lagrangian_bound(instance: Instance, time_limit: float | None = None) -> float:
    """A float that is at most the sup-norm error of every subset of an allowed size.

    Parameters
    ----------
    instance : Instance
    time_limit : float, optional
        Seconds for the linear program; without its answer the bound is that of the best single coordinate.

    Returns
    -------
    float
        Rounded down; 0.0 where the target is a convex combination of subset sums; inf if no subset is allowed.

    Notes
    -----
    For any weights u with sum |u_c| = 1, the error of a subset S is at least
    `<u, z> - sum over S of <u, X_i>`, and so at least `<u, z>` minus the largest such sum: that of the positive
    terms, or of the largest terms if the size is limited [Fisher1981]_. The weights come from the dual of the
    linear relaxation and are rounded to whole numbers; the bound is then evaluated in exact integers, so that nothing
    rests on the linear solver. Where the relaxation is 0, so is the bound: with n large against d nearly always.
    It holds for the Euclidean error as well, which is never smaller.

    Cost: one linear program of n + 1 variables and 2 d rows, then O(n d) operations on integers; .1 s for n = 100,
    d = 576 and for n = 1,000, d = 100. O(n d) memory.

    .. [Fisher1981] M. L. Fisher, "The Lagrangian relaxation method for solving integer programming problems",
       Management Science 27, 1981. doi:10.1287/mnsc.27.1.1

    Examples
    --------
    >>> lagrangian_bound(Instance([[1.0, 0.0], [0.5, 0.5]], target=[2.0, 0.5]))
    0.5
    >>> lagrangian_bound(Instance([[1.0], [2.0]], target=[1.5]))
    0.0
    """
    if not instance.is_feasible:
        return math.inf
    return round_down(exact_lagrangian_bound(instance, time_limit))


def exact_lagrangian_bound(instance: Instance, time_limit: float | None = None) -> Fraction:
    """`lagrangian_bound` before it is rounded; the instance must be feasible."""
    entries = np.vstack([instance.samples, instance.target])
    largest = float(np.abs(entries).max())
    if largest == 0.0:
        return Fraction(0)
    with np.errstate(under="ignore"):
        scaled = np.ldexp(entries, -math.frexp(largest)[1])
    candidates = [_best_coordinate(scaled, instance.smallest_size, instance.largest_size)]
    weights = _dual_weights(scaled, instance.smallest_size, instance.largest_size, time_limit)
    if weights is not None:
        candidates.append(weights)
    integers, exponent = exact_integers(entries)
    best = max(_evaluate(integers, weights, instance.smallest_size, instance.largest_size) for weights in candidates)
    return max(Fraction(0), best * Fraction(2) ** exponent)


def _largest_sums(terms: npt.NDArray[np.float64], smallest: int, largest: int) -> FloatArray:
    """For each column of terms float64[n, m], the largest sum of `smallest` to `largest` of its entries."""
    ordered = -np.sort(-terms, axis=0)
    ordered[smallest:] = np.maximum(ordered[smallest:], 0.0)
    return np.asarray(ordered[:largest].sum(axis=0), dtype=np.float64)


def _best_coordinate(scaled: FloatArray, smallest: int, largest: int) -> IntArray:
    """The weight vector +-e_c whose bound, in float64, is the largest."""
    rows, target = scaled[:-1], scaled[-1]
    above = target - _largest_sums(rows, smallest, largest)
    below = -target - _largest_sums(-rows, smallest, largest)
    column = int(np.maximum(above, below).argmax())
    weights: IntArray = np.zeros(target.size, dtype=np.int64)
    weights[column] = 1 if above[column] >= below[column] else -1
    return weights


def _dual_weights(scaled: FloatArray, smallest: int, largest: int, time_limit: float | None) -> IntArray | None:
    """The dual weights of the relaxation, times 2**40 and rounded; None if the solver has none."""
    rows, target = scaled[:-1], scaled[-1]
    n, d = rows.shape
    # variables x_1 .. x_n, e; the rows  X'x - e <= z  and  -X'x - e <= -z
    matrix = np.vstack([np.hstack([rows.T, -np.ones((d, 1))]), np.hstack([-rows.T, -np.ones((d, 1))])])
    right = np.concatenate([target, -target])
    if smallest > 0 or largest < n:
        count = np.append(np.ones(n), 0.0)
        matrix = np.vstack([matrix, count, -count])
        right = np.concatenate([right, [largest, -smallest]])
    result = linprog(
        np.append(np.zeros(n), 1.0),
        A_ub=matrix,
        b_ub=right,
        bounds=[(0.0, 1.0)] * n + [(0.0, None)],
        method="highs",
        options={} if time_limit is None else {"time_limit": time_limit},
    )
    marginals = getattr(result.ineqlin, "marginals", None) if result.status == 0 else None
    if marginals is None:
        return None
    dual = np.asarray(marginals[:d] - marginals[d : 2 * d], dtype=np.float64)  # marginals of a minimum are <= 0
    length = float(np.abs(dual).sum())
    if not math.isfinite(length) or length < 0.5:  # the error is free to be 0: no weights
        return None
    weights: IntArray = np.rint(np.ldexp(dual / length, _WEIGHT_BITS)).astype(np.int64)
    return weights


def _evaluate(integers: npt.NDArray[np.object_], weights: IntArray, smallest: int, largest: int) -> Fraction:
    """The bound that integer weights give, for rows and target in Python integers (the target last)."""
    used = np.flatnonzero(weights)
    if not used.size:
        return Fraction(0)
    products = integers[:, used] @ weights[used].astype(object)
    terms = sorted(products[:-1].tolist(), reverse=True)
    reach = sum(terms[:smallest]) + sum(term for term in terms[smallest:largest] if term > 0)
    return Fraction(int(products[-1]) - reach, sum(abs(int(weight)) for weight in weights[used].tolist()))
