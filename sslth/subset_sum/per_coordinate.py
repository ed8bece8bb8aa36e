"""One tolerance for each coordinate: columns are scaled until one number serves, and answers are checked exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sslth.errors import InvalidInputError
from sslth.subset_sum.instance import FloatArray, Instance
from sslth.subset_sum.limits import Limits, Norm
from sslth.subset_sum.solution import Certificate, Solution, Status, StoppedBy
from sslth.subset_sum.solutions import solutions
from sslth.subset_sum.solvers import Solver
from sslth.subset_sum.verify import verify

__all__ = ["checked_tolerances", "is_per_coordinate", "solve_per_coordinate"]

_MOST_LISTED = 100_000
_LARGEST_LISTED_N = 44


def is_per_coordinate(tolerance: Any) -> bool:
    """Whether a tolerance is a sequence of numbers rather than one."""
    return tolerance is not None and not isinstance(tolerance, str) and np.ndim(tolerance) > 0


def checked_tolerances(tolerance: Any, d: int) -> FloatArray:
    """float64[d], at least 0 and not NaN; infinity frees a coordinate.

    Raises
    ------
    InvalidInputError
    """
    try:
        values = np.asarray(tolerance, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInputError("tolerance must be a number or one number for each coordinate") from None
    if values.shape != (d,):
        raise InvalidInputError(f"tolerance has shape {values.shape}, but there are {d} coordinates")
    wrong = np.flatnonzero(~(values >= 0))
    if wrong.size:
        raise InvalidInputError(f"tolerance[{wrong[0]}] is {values[wrong[0]]}; it must be at least 0")
    return values.copy()


def solve_per_coordinate(
    instance: Instance,
    solver: Solver,
    tolerances: FloatArray,
    limits: Limits,
    solve_within: Callable[[Instance, Solver, Limits], Solution],
) -> Solution:
    """Find a subset with |residual[c]| <= tolerances[c] in every coordinate.

    Columns are multiplied by powers of two, which is exact, so that the tolerances lie within a factor of two of each
    other; then the sup norm is minimised. What lies between the smallest and the largest scaled tolerance is listed by
    `solutions` and checked one by one.

    Returns
    -------
    Solution
        `error` and `lower_bound` are of the sup norm, as always. WITHIN_TOLERANCE says that every coordinate is within
        its tolerance. `stats["tolerance_ratio"]` is the largest |residual[c]| / tolerances[c];
        `stats["none_within_tolerance"]` whether it is proven that no subset meets all.
    """
    if limits.norm is not Norm.SUP:
        raise InvalidInputError('a tolerance for each coordinate goes with norm="sup" only')
    if not instance.is_feasible:
        return solve_within(instance, solver, limits)
    free = np.isinf(tolerances)
    exponents, inner, outer = _scales(instance, tolerances)
    scaled = _scaled(instance, exponents, free)
    found = solve_within(scaled, solver, replace_tolerance(limits, inner))
    certificate = verify(instance, found.subset)
    impossible = found.lower_bound > outer
    proven = found.status is Status.OPTIMAL and found.error > inner
    if not _meets(certificate, tolerances) and proven and not impossible and instance.n <= _LARGEST_LISTED_N:
        listed = solutions(scaled, outer, _MOST_LISTED)
        for candidate in listed:
            other = verify(instance, candidate.subset)
            if _meets(other, tolerances):
                certificate = other
                break
        else:
            impossible = len(listed) < _MOST_LISTED
    met = _meets(certificate, tolerances)
    stopped_by = StoppedBy.TOLERANCE.value if met else found.stats["stopped_by"]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(certificate.magnitudes == 0, 0.0, certificate.magnitudes / tolerances)
    return Solution(
        n=instance.n,
        subset=certificate.subset,
        error=certificate.error,
        lower_bound=min(certificate.error, math.ldexp(found.lower_bound, -int(exponents[~free].max(initial=0)))),
        status=Status.WITHIN_TOLERANCE if met else Status.BEST_FOUND,
        solver=found.solver,
        seconds=limits.seconds,
        stats={
            **found.stats,
            "stopped_by": stopped_by,
            "tolerance_ratio": float(ratios.max()),
            "none_within_tolerance": impossible and not met,
        },
    )


def replace_tolerance(limits: Limits, tolerance: float) -> Limits:
    """The same clock, work and Ctrl-C with another tolerance; the time that has passed is taken off."""
    return replace(limits, tolerance=tolerance, time_limit=limits.seconds_left())


def _meets(certificate: Certificate, tolerances: FloatArray) -> bool:
    return bool(np.all(certificate.magnitudes <= tolerances))


def _scales(instance: Instance, tolerances: FloatArray) -> tuple[npt.NDArray[np.int64], float, float]:
    """The exponent of each column, and the smallest and largest scaled tolerance."""
    used = np.isfinite(tolerances)
    positive = tolerances[used & (tolerances > 0)]
    if not positive.size:
        return np.zeros(instance.d, dtype=np.int64), 0.0, 0.0
    top = math.frexp(float(positive.max()))[1]
    exponents = np.zeros(instance.d, dtype=np.int64)
    inner, outer = math.inf, 0.0
    for column in np.flatnonzero(used).tolist():
        tolerance = float(tolerances[column])
        if tolerance > 0:
            exponents[column] = top - math.frexp(tolerance)[1]
            inner = min(inner, math.ldexp(tolerance, int(exponents[column])))
            outer = max(outer, math.ldexp(tolerance, int(exponents[column])))
        else:  # nothing but 0 may remain: one step of this column must be more than any tolerance
            entries = np.append(instance.samples[:, column], instance.target[column])
            entries = entries[entries != 0]
            finest = int(np.frexp(entries)[1].min()) - 53 if entries.size else 0
            exponents[column] = top + 1 - finest
    return exponents, inner, outer


def _scaled(instance: Instance, exponents: npt.NDArray[np.int64], free: npt.NDArray[np.bool_]) -> Instance:
    with np.errstate(over="ignore", under="ignore"):
        samples, target = np.ldexp(instance.samples, exponents), np.ldexp(instance.target, exponents)
    back = np.ldexp(samples, -exponents)
    if not (np.isfinite(samples).all() and np.isfinite(target).all() and np.array_equal(back, instance.samples)):
        raise InvalidInputError("the tolerances differ by too much: scaling the columns by them leaves float64's range")
    samples[:, free], target[free] = 0.0, 0.0
    return Instance(samples, target, instance.cardinality, instance.max_cardinality)
