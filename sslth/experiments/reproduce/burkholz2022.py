"""100,000 targets, 15 uniform samples each, the smallest subset first: how often nothing fits, error and size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sslth.experiments.kinds.kind import rng_of
from sslth.experiments.reproduce.experiment import Cell, Experiment, Outcome
from sslth.experiments.reproduce.setup import Setup
from sslth.experiments.reproduce.table import CONFIDENCE, Row, agreement, normal_quantile
from sslth.subset_sum.kernels.smallest_size import FIRST, SMALLEST, search_many_by_size
from sslth.theory.intervals import clopper_pearson

__all__ = ["EXPERIMENT"]

N = 15
EPSILON = 0.01
TARGETS = 100_000  # theirs
BATCH = 10_000
QUICK_BATCH = 2_500

# failures, mean error, mean size
THEIRS = {"uniform": (0.00404, 0.00545, 2.296), "product": (0.03552, 0.01211, 2.463)}
WORDS = {"uniform": "uniform samples", "product": "products of two uniforms"}
READINGS = {
    "first": (
        "mean error (first fit)",
        "over all targets; the first of the smallest subsets that fit, as in the published code; else the best of all",
    ),
    "smallest": (
        "mean error (best fit)",
        "the other reading: of the subsets of the smallest size that fit, the one with the smallest error",
    ),
    "empty_as_0": (
        "mean size (empty as 0)",
        "over all targets, those without a fit with the size of their best subset; the empty subset has size 0",
    ),
    "empty_as_1": (
        "mean size (empty as 1)",
        "the other reading: the empty subset counts as one number, as its marker does in the published code",
    ),
    "fitting": (
        "mean size (fits alone)",
        "a third reading: only targets with a fit; the empty subset has size 0",
    ),
}


def cells(setup: Setup) -> list[dict[str, Any]]:
    """Batches of targets, for each law of the samples."""
    size = QUICK_BATCH if setup.quick else BATCH
    batches = 2 if setup.quick else TARGETS // BATCH
    return [
        {"law": law, "n": N, "epsilon": EPSILON, "targets": size, "batch": batch}
        for law in THEIRS
        for batch in range(batches)
    ]


def evaluate(_setup: Setup, cell: Cell) -> dict[str, Any]:
    """Draw a batch and search it exactly; sums and sums of squares, to be added up over the batches."""
    rng, m, n = rng_of(cell), cell["targets"], cell["n"]
    targets = rng.uniform(-1.0, 1.0, m)
    samples = rng.uniform(-1.0, 1.0, (m, n))
    if cell["law"] == "product":
        samples *= rng.uniform(-1.0, 1.0, (m, n))
    sizes, errors = np.empty(m, dtype=np.int64), np.empty((m, 2))
    search_many_by_size(samples, targets, cell["epsilon"], n - 1, sizes, errors)  # size n is never tried
    found = errors[:, FIRST] <= cell["epsilon"]
    as_zero = sizes.astype(np.float64)
    as_one = np.maximum(as_zero, 1.0)
    return {
        "failures": int(m - found.sum()),
        "targets": m,
        "first": _moments(errors[:, FIRST]),
        "smallest": _moments(errors[:, SMALLEST]),
        "empty_as_0": _moments(as_zero),
        "empty_as_1": _moments(as_one),
        "fitting": _moments(as_zero[found]),
    }


def rows(outcomes: Sequence[Outcome]) -> list[Row]:
    """Six quantities a law: errors and sizes in each reading that the publication leaves open."""
    made: list[Row] = []
    for law, (their_failures, their_error, their_size) in THEIRS.items():
        results = [outcome.result for outcome in outcomes if outcome.cell["law"] == law]
        m = sum(result["targets"] for result in results)
        made.append(_failures(law, sum(result["failures"] for result in results), m, their_failures))
        for key, (quantity, reading) in READINGS.items():
            theirs = their_error if quantity.startswith("mean error") else their_size
            made.append(_mean(f"{quantity}, {WORDS[law]}", theirs, results, key, reading))
    return made


def differs(setup: Setup) -> list[str]:
    """Only what the random numbers and the sample size change."""
    random = (
        "The random numbers are others; theirs are a sample of 100,000 as well, whose error is counted where ours and"
        " theirs are compared (it is taken to be as large as ours for as many targets)."
    )
    readings = (
        "The published code averages over all targets. A target without a fit counts with the size of its best subset,"
        " and the empty subset as 0 in one place and as 1 in another: the rows show these readings and a third."
    )
    sentences = [random, readings]
    if setup.quick:
        sentences.append(f"--quick: {2 * QUICK_BATCH:,} targets a law instead of {TARGETS:,}; intervals are wider.")
    return sentences


def _moments(values: Any) -> list[float]:
    """Count, sum, sum of squares."""
    return [int(values.size), math.fsum(values), math.fsum(values**2)]


def _failures(law: str, failures: int, m: int, theirs: float) -> Row:
    ours, interval = failures / m, clopper_pearson(failures, m, CONFIDENCE)
    error, their_error = (math.sqrt(ours * (1.0 - ours) / count) for count in (m, TARGETS))
    said = agreement(theirs, ours, interval, error, their_error)
    note = f"{said}; {failures:,} of {m:,} targets, each proved by enumeration; Clopper-Pearson, {CONFIDENCE:.0%}"
    return Row(f"failures, {WORDS[law]}", theirs, ours, interval, note)


def _mean(quantity: str, theirs: float, results: Sequence[Mapping[str, Any]], key: str, reading: str) -> Row:
    count, total, squares = (math.fsum(result[key][place] for result in results) for place in range(3))
    if count < 2:
        return Row(quantity, theirs, None, None, f"{reading}; fewer than two values")
    ours = total / count
    deviation = math.sqrt(max(0.0, squares / count - ours**2) * count / (count - 1))
    error = deviation / math.sqrt(count)
    interval = (ours - normal_quantile * error, ours + normal_quantile * error)
    said = agreement(theirs, ours, interval, error, deviation / math.sqrt(TARGETS))
    return Row(quantity, theirs, ours, interval, f"{said}; {reading}; normal interval, {CONFIDENCE:.0%}")


EXPERIMENT = Experiment(
    "burkholz2022",
    "Burkholz 2022: the smallest subset within .01",
    'R. Burkholz, "Convolutional and Residual Networks Provably Contain Lottery Tickets", ICML 2022',
    cells,
    evaluate,
    rows,
    differs,
)
