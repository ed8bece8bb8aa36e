"""The error of one layer of a ticket against its width: each channel and sign is a subset sum of NSN rows."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

import sslth
from sslth.experiments.kinds.kind import Kind, Settings, seed_of
from sslth.subset_sum.solvers import Solver, make_solver
from sslth.subset_sum.solvers.message_passing import MessagePassing

__all__ = ["KIND", "width_solver"]

SolverName = Literal["meet_in_the_middle", "sorted_pursuit", "message_passing"]
FloatArray = npt.NDArray[np.float64]

_LONGEST_EXACT = 44  # rows: 2^22 sums in each half


class LayerWidth(Settings):
    """A c_in -> c_out convolution with side x side kernels; n random filters for each channel and sign."""

    c_in: int = Field(default=1, ge=1, le=4096)
    c_out: int = Field(ge=1, le=4096)
    side: int = Field(default=1, ge=1, le=31)
    n: int = Field(ge=2, le=1 << 20)
    share: float = Field(default=0.1, gt=0, le=0.3)  # ‖gain·K_b‖_2 = share·n; more than .32 no subset reaches
    solver: SolverName = "sorted_pursuit"
    repetition: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _can_be_proved(self) -> LayerWidth:
        if self.solver == "meet_in_the_middle" and self.n > _LONGEST_EXACT:
            raise ValueError(f"the exact optimum is out of reach at n = {self.n}; take n <= {_LONGEST_EXACT}")
        return self


def evaluate(parameters: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Search all 2·c_in blocks and return the largest errors and floors.

    The kernels K_b of each input channel are normal, scaled to ‖K_b‖_1 = 1, the theorem's largest; each is reached at
    a gain of its own. Kernels and rows depend on seed, shape and repetition alone: solvers meet the same instances, and
    the rows of a width are among those of a larger one. `rng` is not used.
    """
    del rng
    c_in, n, d = parameters["c_in"], parameters["n"], parameters["c_out"] * parameters["side"] ** 2
    shape = {key: parameters[key] for key in ("seed", "c_in", "c_out", "side", "repetition")}
    draws = np.random.Generator(np.random.Philox(seed_of(shape)))
    kernels = draws.standard_normal((c_in, d))
    kernels /= np.abs(kernels).sum(axis=1, keepdims=True)
    seeds = draws.integers(2**63, size=2 * c_in)
    kernels = np.concatenate([kernels, -kernels])  # acts on the positive part of the input, then the negative
    gains = parameters["share"] * n / np.linalg.norm(kernels, axis=1)
    solver = width_solver(parameters["solver"])
    proved, kept, errors, relative, floors = 0, 0, [], [], []
    for seed, gain, kernel in zip(seeds.tolist(), gains.tolist(), kernels, strict=True):
        target = gain * kernel
        instance = sslth.draw_instance("nsn", n=n, d=d, seed=seed, target=target)
        found = sslth.solve(instance, solver=solver, time_limit=None)
        residual = instance.samples[found.subset].sum(axis=0) - target
        errors.append(found.error / gain)
        relative.append(float(np.linalg.norm(residual) / np.linalg.norm(target)))
        floors.append(sslth.first_moment_floor(instance) / gain)
        proved += found.status is sslth.Status.OPTIMAL
        kept += len(found.subset)
    return {
        "d": d,
        "entry_error": max(errors),
        "median_entry_error": float(np.median(errors)),
        "relative_error": max(relative),
        "floor": float(np.median(floors)),
        "proved_optimal": proved == 2 * c_in,
        "kept": kept,
    }


@functools.cache
def width_solver(name: str) -> Solver:
    """The solver of a name, message passing with one run: what it reaches in the time of some pursuits."""
    return MessagePassing(restarts=1) if name == "message_passing" else make_solver(name)


def seconds(parameters: Mapping[str, Any]) -> float:
    """Drawing and one pass for each block, or 2^(n/2) sums; the constants are of one two-core machine."""
    n, d = parameters["n"], parameters["c_out"] * parameters["side"] ** 2
    exact = 2e-7 * d * 2.0 ** (n / 2) if parameters["solver"] == "meet_in_the_middle" else 2e-8 * n * d
    return float(2 * parameters["c_in"] * (5e-3 + exact))


KIND = Kind(
    "layer_width",
    LayerWidth,
    evaluate,
    seconds,
    "The error of one layer against its width, with its floor and optimum.",
)
