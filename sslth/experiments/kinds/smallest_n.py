"""The fewest rows that bring a random instance within ε of its target: the cell of the question "d or d³?"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from sslth.experiments.kinds.kind import Kind, Settings
from sslth.experiments.kinds.random_instances import HIT, MISS, Law, Target, answer, draw_batch
from sslth.experiments.reference_widths import counting_width

__all__ = ["KIND", "first_hit"]


class SmallestN(Settings):
    """`repetitions` instances of n_max rows, whose first n rows are tried; time_limit: seconds for each n."""

    law: Law = "gaussian"
    d: int = Field(ge=1, le=64)
    epsilon: float = Field(gt=0, lt=1)
    target: Target = "uniform"
    n_max: int = Field(default=48, ge=1, le=60)
    repetitions: int = Field(default=20, ge=1, le=100_000)
    time_limit: float | None = Field(default=None, gt=0)


def evaluate(parameters: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Find the smallest n of each instance; null where even n_max rows miss, which is proved.

    All subsets count, so more rows never hurt, and bisection needs some five searches an instance. `open`: instances
    where a search ended without proof; they are in no list.
    """
    d, epsilon, n_max = parameters["d"], parameters["epsilon"], parameters["n_max"]
    guess = min(n_max, counting_width(parameters["law"], d, epsilon))
    smallest: list[int | None] = []
    left_open = 0
    for _ in range(parameters["repetitions"]):
        samples, targets = draw_batch(parameters["law"], n_max, d, parameters["target"], 1, rng)

        def state(n: int, samples: Any = samples, targets: Any = targets) -> int:
            if n == 0:  # the empty subset
                return HIT if float(np.abs(targets).max()) <= epsilon else MISS
            return int(answer(_first(samples, n), targets, epsilon, None, parameters["time_limit"])[0])

        found = first_hit(state, guess, n_max)
        if found is None:
            left_open += 1
        else:
            smallest.append(None if found > n_max else found)
    return {"smallest": smallest, "open": left_open, "repetitions": parameters["repetitions"]}


def first_hit(state: Callable[[int], int], guess: int, largest: int) -> int | None:
    """Return the first n in 0 … largest whose state is HIT; largest + 1 if none is, None if one was left open.

    The states must be MISS up to some n and HIT from there on. Two steps away from `guess`, then bisection.
    """
    low, high = -1, largest + 1  # a miss, and a hit or the end
    n, step = guess, 2
    while high - low > 1:
        found = state(n)
        if found not in (HIT, MISS):
            return None
        low, high = (low, n) if found == HIT else (n, high)
        bracketed = low >= 0 and high <= largest
        n = (low + high) // 2 if bracketed or step > largest else n - step if found == HIT else n + step
        n, step = min(max(n, low + 1), high - 1), 2 * step
    return high


def _first(samples: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.float64]:
    return np.ascontiguousarray(samples[:, :n])


def seconds(parameters: Mapping[str, Any]) -> float:
    """Five searches near the first-moment width; the constant is of one two-core machine."""
    n = min(parameters["n_max"], counting_width(parameters["law"], parameters["d"], parameters["epsilon"]) + 2)
    return float(parameters["repetitions"] * (1e-3 + 5e-7 * 2.0 ** (n / 2) * parameters["d"]))


KIND = Kind(
    "smallest_n", SmallestN, evaluate, seconds, "The fewest random rows that have a subset within epsilon of a target."
)
