"""What a kind of experiment is: which parameters its cells have, and what one cell computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from sslth.experiments.cells import cell_key

__all__ = ["Kind", "Settings", "rng_of", "seed_of"]


class Settings(BaseModel):
    """The parameters of one cell; subclasses add theirs. Unknown keys and impossible values are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    seed: int = 0  # root seed: what a cell draws depends on it and on the cell, never on order or worker


@dataclass(frozen=True)
class Kind:
    """A kind of experiment; one file each, registered in `sslth.experiments.kinds`.

    Attributes
    ----------
    name : str
        What `kind = …` in a grid and the `kind` of stored cells say.
    settings : type of Settings
        Checks and completes the parameters of a cell.
    evaluate : callable(parameters, rng) -> mapping
        A module-level function, which workers import: randomness only from `rng` or `seed_of(parameters)`; JSON values.
    seconds : callable(parameters) -> float
        Rough prediction of one evaluation, for `--dry-run`.
    summary : str
        One sentence for `--help` and the documentation.
    """

    name: str
    settings: type[Settings]
    evaluate: Callable[[Mapping[str, Any], np.random.Generator], Mapping[str, Any]]
    seconds: Callable[[Mapping[str, Any]], float]
    summary: str


def seed_of(parameters: Mapping[str, Any]) -> int:
    """Return the 63-bit seed of a cell, a hash of all its parameters and so of (root seed, cell)."""
    return int(cell_key(parameters)[:16], 16) >> 1


def rng_of(parameters: Mapping[str, Any]) -> np.random.Generator:
    """Return the generator of a cell."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(int(cell_key(parameters), 16))))
