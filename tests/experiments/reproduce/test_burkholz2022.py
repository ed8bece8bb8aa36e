"""The smallest subset first: the published numbers come out, in one reading and not in the others."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from sslth.experiments.kinds.kind import rng_of
from sslth.experiments.reproduce import Setup, run_experiment
from sslth.experiments.reproduce.burkholz2022 import EXPERIMENT, evaluate
from sslth.experiments.store import Store


@pytest.mark.parametrize("law", ["uniform", "product"])
def test_a_batch_by_hand(law: str, tiny: Setup) -> None:
    cell = {"law": law, "n": 6, "epsilon": 0.03, "targets": 60, "batch": 0, "seed": 1}
    result = evaluate(tiny, cell)
    rng = rng_of(cell)
    targets, samples = rng.uniform(-1, 1, 60), rng.uniform(-1, 1, (60, 6))
    if law == "product":
        samples = samples * rng.uniform(-1, 1, (60, 6))
    failures, sizes, first = 0, [], []
    for target, row in zip(targets, samples, strict=True):
        found = [(size, abs(sum(subset) - target)) for size in range(6) for subset in itertools.combinations(row, size)]
        fits = [(size, error) for size, error in found if error <= 0.03]
        failures += not fits
        size, error = fits[0] if fits else min(found, key=lambda pair: pair[1])
        sizes.append(size)
        first.append(error)
    assert 0 < failures < 60
    assert result["failures"] == failures
    assert result["first"] == pytest.approx([60, math.fsum(first), math.fsum(e * e for e in first)])
    assert result["empty_as_0"][1] == sum(sizes)
    assert result["empty_as_1"][1] == sum(max(size, 1) for size in sizes)
    assert result["fitting"][0] == 60 - failures


@pytest.mark.needs_jit
def test_the_published_numbers_come_out() -> None:
    with Store(":memory:") as store:
        done = run_experiment(EXPERIMENT, Setup(quick=True), store)
    rows = {row.quantity: row for row in done.rows}
    assert not done.failures
    for law in ("uniform samples", "products of two uniforms"):
        for quantity in ("failures", "mean error (first fit)", "mean size (empty as 0)"):
            row = rows[f"{quantity}, {law}"]
            assert row.interval is not None
            assert row.interval[0] <= row.theirs <= row.interval[1]
            assert row.note.startswith("theirs lies within")
    assert rows["failures, uniform samples"].theirs == 0.00404
    assert "more than chance explains" in rows["mean error (best fit), uniform samples"].note
    assert "more than chance explains" in rows["mean size (fits alone), products of two uniforms"].note


def test_batches_are_added_up() -> None:
    from sslth.experiments.reproduce.experiment import Outcome

    values = np.array([1.0, 2.0, 2.0, 5.0])
    outcomes = []
    for law in ("uniform", "product"):
        for part in (values[:1], values[1:]):
            moments = [part.size, part.sum(), (part**2).sum()]
            keys = ("first", "smallest", "empty_as_0", "empty_as_1", "fitting")
            result = dict.fromkeys(keys, moments) | {"failures": 1, "targets": part.size}
            outcomes.append(Outcome({"law": law}, result, 0.0))
    rows = EXPERIMENT.rows(outcomes)
    assert rows[0].ours == 0.5
    half = 2.5758293 * values.std(ddof=1) / 2
    assert rows[1].ours == 2.5
    assert rows[1].interval == pytest.approx((2.5 - half, 2.5 + half))
