"""How often a random instance has a subset within ε: the cell of phase transitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field

import sslth
from sslth.experiments.kinds.kind import Kind, Settings

__all__ = ["KIND"]


class Success(Settings):
    """n samples of a law in d dimensions, `repetitions` times; k: fixed cardinality."""

    law: Literal["uniform", "gaussian", "nsn"] = "gaussian"
    n: int = Field(ge=1, le=60)
    d: int = Field(ge=1, le=64)
    epsilon: float = Field(gt=0)
    k: int | None = Field(default=None, ge=0)
    repetitions: int = Field(default=20, ge=1, le=1_000_000)


def evaluate(parameters: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Count the instances with a subset within ε, targets uniform in [-1, 1]^d; a miss is proved."""
    hits = 0
    for _ in range(parameters["repetitions"]):
        instance = sslth.draw_instance(
            parameters["law"],
            n=parameters["n"],
            d=parameters["d"],
            seed=int(rng.integers(2**63)),
            cardinality=parameters.get("k"),
        )
        found = sslth.solve(instance, tolerance=parameters["epsilon"], solver="meet_in_the_middle", time_limit=None)
        hits += found.error <= parameters["epsilon"]
    return {"hits": hits, "repetitions": parameters["repetitions"]}


def seconds(parameters: Mapping[str, Any]) -> float:
    """About 2^(n/2) partial sums, sorted and matched."""
    return float(parameters["repetitions"] * (2e-4 + 2.0 ** (parameters["n"] / 2) * 4e-8 * parameters["d"]))


KIND = Kind("success", Success, evaluate, seconds, "How often a random instance has a subset within epsilon.")
