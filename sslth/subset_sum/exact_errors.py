"""Errors of subsets as exact fractions, and deciding among near-ties by them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.instance import FloatArray, Instance

__all__ = ["best_exactly", "exact_errors", "exact_integers", "round_down"]

IntArray = npt.NDArray[np.int64]


def round_down(value: Fraction) -> float:
    """The largest float64 that is at most a value >= 0."""
    nearest = float(value)
    return nearest if Fraction(nearest) <= value else math.nextafter(nearest, 0.0)


def best_exactly(instance: Instance, subsets: Iterable[npt.ArrayLike]) -> tuple[IntArray, Fraction]:
    """The first subset with the smallest true error, and that error, in exact integer arithmetic.

    Cost O(number of subsets · k · d) additions of integers of at most 2,100 bits.
    """
    known = [np.asarray(subset, dtype=np.int64) for subset in subsets]
    if not known:
        raise ValueError("there is no subset to choose from")
    errors = exact_errors(instance, known)
    best = errors.index(min(errors))
    return known[best], errors[best]


def exact_errors(instance: Instance, subsets: Iterable[npt.ArrayLike]) -> list[Fraction]:
    """The true error of each subset. Cost as `best_exactly`."""
    exact, exponent = exact_integers(np.vstack([instance.samples, instance.target]))
    step = Fraction(2) ** exponent
    errors = []
    for subset in subsets:
        residual = exact[np.asarray(subset, dtype=np.int64)].sum(axis=0) - exact[-1]
        errors.append(max(abs(int(entry)) for entry in residual) * step)
    return errors


def exact_integers(entries: FloatArray) -> tuple[npt.NDArray[np.object_], int]:
    """Python integers and an exponent e with `entries == integers * 2**e`, without rounding."""
    fractions, exponents = np.frexp(entries)
    mantissas = np.ldexp(fractions, 53).astype(np.int64)
    exponents = exponents.astype(np.int64) - 53
    lowest = int(exponents[entries != 0].min()) if entries.any() else 0
    shifts = np.where(entries != 0, exponents - lowest, 0)
    return mantissas.astype(object) << shifts.astype(object), lowest
