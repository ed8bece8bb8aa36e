"""The convolutions of a trained LeNet-5, each parameter by its own uniform samples: the largest relative error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import sslth
from sslth.experiments.kinds.kind import rng_of
from sslth.experiments.reproduce.experiment import Cell, Experiment, Outcome
from sslth.experiments.reproduce.setup import Setup
from sslth.experiments.reproduce.table import Row, agreement
from sslth.networks.lenet5 import lenet5

__all__ = ["EXPERIMENT"]

THEIRS = {15: 0.0179, 20: 7.3e-4, 25: 7.7e-5, 30: 7.7e-6}
EPOCHS = 10
REPETITIONS, QUICK_REPETITIONS = 20, 3


def cells(setup: Setup) -> list[dict[str, Any]]:
    """Every n, several times with new samples for the same weights."""
    repetitions = QUICK_REPETITIONS if setup.quick else REPETITIONS
    common = {"images": setup.images.fingerprint, "epochs": EPOCHS}
    return [common | {"n": n, "repetition": number} for n in THEIRS for number in range(repetitions)]


def evaluate(setup: Setup, cell: Cell) -> dict[str, Any]:
    """Prove the smallest error of each parameter; errors are relative to the largest entry of the same array."""
    network = setup.images.target(
        lenet5, ("lenet5",), epochs=cell["epochs"], seed=cell["seed"], progress=setup.progress
    )
    arrays = {
        f"{name}.{part}": values.detach().double().numpy().ravel()
        for name in ("conv1", "conv2")
        for part, values in network.get_submodule(name).named_parameters()
    }
    rng = rng_of(cell)
    relative, all_errors = {}, []
    for name, values in arrays.items():
        samples = rng.uniform(-1.0, 1.0, (values.size, cell["n"], 1))
        found = sslth.solve_many(samples, values[:, None], time_limit=None)
        relative[name] = float(found.errors.max() / np.abs(values).max())
        all_errors.append(found.errors)
    errors = np.concatenate(all_errors)
    return {
        "relative": relative,
        "parameters": int(errors.size),
        "largest": float(errors.max()),
        "median": float(np.median(errors)),
        "scales": {name: float(np.abs(values).max()) for name, values in arrays.items()},
    }


def rows(outcomes: Sequence[Outcome]) -> list[Row]:
    """The median of the repetitions beside theirs, which is one; and the error of the median parameter."""
    made = []
    for n, theirs in THEIRS.items():
        results = [outcome.result for outcome in outcomes if outcome.cell["n"] == n]
        worst = np.array([max(result["relative"].values()) for result in results])
        interval = (float(worst.min()), float(worst.max()))
        ours, count, size = float(np.median(worst)), len(results), results[0]["parameters"]
        note = (
            f"{agreement(theirs, ours, interval)}; median and range of {count} repetitions over {size:,}"
            f" parameters: one more falls into the range with probability {(count - 1) / (count + 1):.0%}"
        )
        if theirs < interval[0]:
            note += (
                "; theirs is below every repetition: these are proven optima, so that no better solver is the reason,"
                " but another network or a luckier draw"
            )
        elif theirs > interval[1]:
            note += "; theirs is above the proven optimum of every repetition, as a solver's tolerance would make it"
        made.append(Row(f"largest relative error, n = {n}", theirs, ours, interval, note))
    for n in THEIRS:
        medians = np.array([outcome.result["median"] for outcome in outcomes if outcome.cell["n"] == n])
        ends = (float(medians.min()), float(medians.max()))
        made.append(
            Row(f"error of the median parameter, n = {n}", None, float(np.median(medians)), ends,
                "proven optimum, not relative; median and range of the repetitions")
        )  # fmt: skip
    return made


def differs(setup: Setup) -> list[str]:
    """Data, training and solver."""
    solver = (
        "Theirs are Gurobi's answers with its usual tolerances (feasibility 1e-6, integrality 1e-5), ours proven optima"
        " of the weights as stored. The largest of 2,572 errors is that of an unlucky draw, often nearly all of one"
        " sign, and far above the error of the median parameter, which is shown as well: from the largest error alone,"
        " a solver's tolerance cannot be told apart from bad luck."
    )
    relative = (
        "The 2,572 parameters are 2,550 weights and 22 biases. As in the published code, the error of each is divided"
        " by the largest absolute entry of its own array (weights or biases of a layer), which the training decides."
    )
    training = (
        f"Images: {setup.images.name}. {EPOCHS} epochs with Adam and a one-cycle rate; theirs is MNIST with 50 epochs."
        " In theirs each parameter has one draw of samples; here the draw is repeated."
    )
    sentences = [solver, relative, training]
    if setup.quick:
        sentences.append(f"--quick: {QUICK_REPETITIONS} repetitions instead of {REPETITIONS}.")
    return sentences


EXPERIMENT = Experiment(
    "dacunha2022",
    "da Cunha et al. 2022: the convolutions of LeNet-5 by subset sums",
    'A. da Cunha, E. Natale, L. Viennot, "Proving the Lottery Ticket Hypothesis for Convolutional Neural Networks",'
    " ICLR 2022",
    cells,
    evaluate,
    rows,
    differs,
)
