"""Random instances by the batch, and the exact answer of each: hit, proved miss, or open."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

import sslth

__all__ = ["Law", "Target", "answer", "draw_batch"]

Law = Literal["uniform", "gaussian", "nsn"]
Target = Literal[
    "uniform", "zero", "corner"
]  # in [-1, 1]^d, 0, or (1, …, 1), the worst of that cube for symmetric rows

FloatArray = npt.NDArray[np.float64]
HIT, MISS, OPEN = 1, 0, -1


def draw_batch(
    law: str, n: int, d: int, target: str, count: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return float64[count, n, d] rows and float64[count, d] targets of independent instances."""
    fixed = {"uniform": None, "zero": np.zeros(d), "corner": np.ones(d)}[target]
    drawn = [sslth.draw_instance(law, n=n, d=d, seed=int(rng.integers(2**63)), target=fixed) for _ in range(count)]
    return np.stack([instance.samples for instance in drawn]), np.stack([instance.target for instance in drawn])


def answer(
    samples: FloatArray, targets: FloatArray, epsilon: float, k: int | None, time_limit: float | None
) -> npt.NDArray[np.int8]:
    """Return int8[m]: HIT where a subset (of size k) lies within ε, MISS where that none does is proved, else OPEN.

    Meet in the middle, O(2^(n/2)) each; OPEN is what `time_limit`, in seconds for each instance, leaves.
    """
    found = sslth.solve_many(
        samples, targets, cardinality=k, solver="meet_in_the_middle", tolerance=epsilon, time_limit=time_limit
    )
    states = np.full(len(targets), OPEN, dtype=np.int8)
    states[found.lower_bounds > epsilon] = MISS
    states[[status is sslth.Status.INFEASIBLE for status in found.statuses]] = MISS
    states[found.errors <= epsilon] = HIT
    return states
