"""Published experiments again: what their authors printed beside what comes out here.

One file an experiment; `run_experiment` evaluates its cells, which a store may have already, and makes its rows.
"""

from __future__ import annotations

from importlib import import_module

from sslth.errors import InvalidInputError
from sslth.experiments.reproduce.experiment import Experiment, Reproduced, run_experiment
from sslth.experiments.reproduce.setup import Setup
from sslth.experiments.reproduce.table import Row

__all__ = ["EXPERIMENTS", "Experiment", "Reproduced", "Row", "Setup", "experiment_named", "run_experiment"]

EXPERIMENTS = ("pensia2020", "burkholz2022", "dacunha2022", "theorem_width")


def experiment_named(name: str) -> Experiment:
    """Return an experiment by its name.

    Raises
    ------
    InvalidInputError
        If there is none of that name.
    """
    if name not in EXPERIMENTS:
        raise InvalidInputError(f"there is no experiment {name!r}; take one of {', '.join(EXPERIMENTS)}")
    experiment: Experiment = import_module(f"sslth.experiments.reproduce.{name}").EXPERIMENT
    return experiment
