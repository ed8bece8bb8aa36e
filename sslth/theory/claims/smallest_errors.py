"""What claims on subsets near a target share: smallest errors of drawn instances, and the constants they ask for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sslth.errors import InvalidInputError
from sslth.subset_sum.solve_many import solve_many
from sslth.theory.claims.claim import Case, Parameters, Result, Series, Side
from sslth.theory.intervals import clopper_pearson
from sslth.theory.order_statistics import quantile_interval

__all__ = [
    "Setting",
    "collected",
    "constant_series",
    "draw_samples",
    "frequency_series",
    "frequency_within",
    "largest_constant",
    "smallest_errors",
]

FloatArray = npt.NDArray[np.float64]


def draw_samples(law: str, rng: np.random.Generator, m: int, n: int, d: int) -> FloatArray:
    """Return m arrays of n i.i.d. rows: float64[m, n, d]."""
    if law not in ("gaussian", "nsn"):
        raise InvalidInputError(f"there is no law {law!r} here; take gaussian or nsn")
    samples = rng.standard_normal((m, n, d))
    return samples * rng.standard_normal((m, n, 1)) if law == "nsn" else samples


def smallest_errors(samples: FloatArray, targets: npt.ArrayLike, k: int | None) -> FloatArray:
    """Return the proved smallest sup-norm error of each instance: float64[m].

    `samples` is float64[m, n, d] with one target float64[d] for all, or float64[n, d] with targets float64[m, d].
    """
    goals = np.asarray(targets, dtype=np.float64)
    if samples.ndim == 3:
        goals = np.broadcast_to(goals, (samples.shape[0], samples.shape[2]))
    found = solve_many(samples, goals, cardinality=k, solver="meet_in_the_middle", time_limit=None)
    return np.asarray(found.errors, dtype=np.float64)


def collected(
    pairs: Sequence[tuple[Parameters, Result]], part: str, names: Sequence[str], of: str = "errors"
) -> dict[tuple[Any, ...], FloatArray]:
    """Return the values that all batches of a part drew, by the parameters of these names."""
    batches: dict[tuple[Any, ...], list[list[float]]] = {}
    for parameters, result in pairs:
        if parameters["part"] == part:
            batches.setdefault(tuple(parameters[name] for name in names), []).append(result[of])
    return {key: np.concatenate([np.asarray(one, dtype=np.float64) for one in found]) for key, found in batches.items()}


def frequency_within(errors: FloatArray, epsilon: float, confidence: float) -> tuple[float, tuple[float, float]]:
    """Return the share of the errors that are at most ε, and the Clopper-Pearson interval of its probability."""
    hits = int(np.count_nonzero(errors <= epsilon))
    return hits / errors.size, clopper_pearson(hits, errors.size, confidence)


def frequency_series(label: str, errors: FloatArray, epsilons: Sequence[float], confidence: float) -> Series:
    """Return the share of the errors within every ε, with intervals."""
    found = [frequency_within(errors, epsilon, confidence) for epsilon in epsilons]
    shares, ends = [share for share, _ in found], [interval for _, interval in found]
    return Series(label, list(epsilons), shares, [low for low, _ in ends], [high for _, high in ends])


@dataclass(frozen=True)
class Setting:
    """Errors that were drawn in one setting, and the constant that it asks for if ε is the error that is reached.

    `constant` does not fall with ε: what is not reached at a large ε asks for a large constant.
    """

    label: str
    errors: FloatArray
    constant: Callable[[float], float]

    def interval(self, probability: float, confidence: float) -> tuple[float, tuple[float, float]]:
        """Return the constant at the error that is reached with this probability, with an interval."""
        error, (low, high) = quantile_interval(self.errors, probability, confidence)
        return self.constant(error), (self.constant(max(0.0, low)), self.constant(high))


def largest_constant(
    name: str,
    settings: Sequence[Setting],
    probability: float,
    confidence: float,
    bound: float | None,
    parameters: Mapping[str, Any],
) -> Case:
    """Return the smallest constant that is consistent with all settings: the largest that one of them asks for.

    The intervals of the settings hold together with the confidence, and so does that of their maximum.
    """
    each = 1.0 - (1.0 - confidence) / len(settings)
    found = [setting.interval(probability, each) for setting in settings]
    estimate = max(value for value, _ in found)
    decisive = max(range(len(found)), key=lambda place: found[place][0])
    return Case(
        name,
        estimate,
        (max(low for _, (low, _) in found), max(high for _, (_, high) in found)),
        bound,
        None if bound is None else Side.AT_MOST,
        {**parameters, "probability": probability, "decided by": settings[decisive].label},
        min(setting.errors.size for setting in settings),
    )


def constant_series(label: str, x: Sequence[float], settings: Sequence[Setting], p: float, confidence: float) -> Series:
    """Return the constants of some settings as points with bars; infinite ends are left out by the reader."""
    found = [setting.interval(p, confidence) for setting in settings]
    shown = [(a, value, low, high) for a, (value, (low, high)) in zip(x, found, strict=True) if math.isfinite(high)]
    values, low, high = ([point[place] for point in shown] for place in (1, 2, 3))
    return Series(label, [point[0] for point in shown], values, low, high)
