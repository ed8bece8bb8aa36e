"""How often a random instance has a subset within ε: the cell of phase transitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from sslth.experiments.kinds.kind import Kind, Settings
from sslth.experiments.kinds.random_instances import HIT, MISS, OPEN, Law, Target, answer, draw_batch

__all__ = ["KIND"]

_NUMBERS_AT_ONCE = 1 << 21  # float64 numbers in the rows of one batch: 16 MiB


class Success(Settings):
    """n samples of a law in d dimensions, `repetitions` times; k: fixed cardinality; time_limit: s an instance."""

    law: Law = "gaussian"
    n: int = Field(ge=1, le=60)
    d: int = Field(ge=1, le=64)
    epsilon: float = Field(gt=0)
    k: int | None = Field(default=None, ge=0)
    target: Target = "uniform"
    repetitions: int = Field(default=20, ge=1, le=1_000_000)
    time_limit: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _sizes_fit(self) -> Success:
        if self.k is not None and self.k > self.n:
            raise ValueError(f"k = {self.k} rows cannot be chosen from n = {self.n}")
        return self


def evaluate(parameters: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Count hits, proved misses, and instances that the time limit left open."""
    n, d, repetitions = parameters["n"], parameters["d"], parameters["repetitions"]
    batch = max(1, _NUMBERS_AT_ONCE // (n * d))
    counts = {HIT: 0, MISS: 0, OPEN: 0}
    for start in range(0, repetitions, batch):
        size = min(batch, repetitions - start)
        samples, targets = draw_batch(parameters["law"], n, d, parameters.get("target", "uniform"), size, rng)
        states = answer(samples, targets, parameters["epsilon"], parameters.get("k"), parameters.get("time_limit"))
        for state in counts:
            counts[state] += int((states == state).sum())
    return {"hits": counts[HIT], "misses": counts[MISS], "open": counts[OPEN], "repetitions": repetitions}


def seconds(parameters: Mapping[str, Any]) -> float:
    """About 2^(n/2) partial sums, sorted and matched; the constant is of one two-core machine."""
    partial_sums = 2.0 ** (parameters["n"] / 2)
    return float(parameters["repetitions"] * (1e-4 + 1e-7 * partial_sums * parameters["d"]))


KIND = Kind("success", Success, evaluate, seconds, "How often a random instance has a subset within epsilon.")
