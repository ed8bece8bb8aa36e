"""The error of one ReLU neuron against the width, by what may be removed: the cell of the frontier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from sslth.experiments.kinds.kind import Kind, Settings
from sslth.theory.neuron_removal import (
    RandomNetwork,
    blocked_error,
    draw_network,
    kink_bound,
    relu_lower_bound,
    relu_problem,
    smallest_error,
)

__all__ = ["KIND"]

FloatArray = npt.NDArray[np.float64]
Removal = Literal["blocked", "filters", "filters_bound", "linear_output", "weights"]

_WAYS = 16  # to give every neuron one input, of which removing weights takes the best
_MOST_SEARCHED = 44  # neurons, over all of whose subsets is searched


class Structure(Settings):
    """n random neurons with two inputs; `removal` says what the mask may do, and what is measured of it.

    "blocked": neurons, after the channel-blocked mask; exact. "filters": neurons, ReLU at the output; a lower bound,
    proved by an exact search. "linear_output": neurons, no ReLU; exact. "filters_bound": neurons, any output weights;
    the kink bound. "weights": single weights; an upper bound, the best of 16 random ways to leave each one input.
    """

    removal: Removal
    n: int = Field(ge=1, le=1 << 22)
    repetitions: int = Field(default=20, ge=1, le=100_000)

    @model_validator(mode="after")
    def _can_be_searched(self) -> Structure:
        if self.removal in ("filters", "linear_output") and self.n > _MOST_SEARCHED:
            raise ValueError(f"all subsets of n = {self.n} neurons cannot be searched; take n <= {_MOST_SEARCHED}")
        return self


def evaluate(parameters: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Errors, or bounds on them, in the sup norm on [-1, 1]², of `repetitions` random networks; target (.6, .4)."""
    networks = [draw_network(parameters["n"], rng) for _ in range(parameters["repetitions"])]
    target = np.array([0.6, 0.4])
    if parameters["removal"] in ("blocked", "weights"):
        ways = 1 if parameters["removal"] == "blocked" else _WAYS
        channels = rng.integers(0, 2, (ways, len(networks), parameters["n"]))
        errors = np.min([blocked_error(networks, target, way) for way in channels], axis=0)
        return {"errors": errors.tolist()}
    return {"errors": [_OF_ONE[parameters["removal"]](network, target) for network in networks]}


_OF_ONE: dict[str, Callable[[RandomNetwork, FloatArray], float]] = {
    "filters": relu_lower_bound,
    "linear_output": lambda network, target: smallest_error(relu_problem(network, target)),
    "filters_bound": kink_bound,
}


def seconds(parameters: Mapping[str, Any]) -> float:
    """Searches of 2^(n/2) or 2^(n/3) steps; the constants are of one two-core machine."""
    n = parameters["n"]
    one = {
        "blocked": 1e-4 + 4e-7 * 2.0 ** min(n / 8, 40),
        "weights": 2e-3 + 7e-6 * 2.0 ** min(n / 8, 40),
        "filters_bound": 1e-5 + 1e-8 * n,
        "filters": 2e-3 + 2e-5 * 2.0 ** min(n / 3, 40),
        "linear_output": 2e-3 + 2e-5 * 2.0 ** min(n / 3, 40),
    }[parameters["removal"]]
    return float(parameters["repetitions"] * one)


KIND = Kind(
    "structure",
    Structure,
    evaluate,
    seconds,
    "The error of one ReLU neuron by what may be removed of a random network.",
)
