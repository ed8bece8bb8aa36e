"""Running an experiment: cells are kept, errors are told, and a second run computes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sslth.errors import InvalidInputError
from sslth.experiments.reproduce import EXPERIMENTS, Experiment, Row, Setup, experiment_named, run_experiment
from sslth.experiments.store import Store


def toy(evaluate) -> Experiment:
    return Experiment(
        "toy",
        "A toy",
        "nobody",
        lambda setup: [{"n": n} for n in range(2 if setup.quick else 4)],
        evaluate,
        lambda outcomes: [Row("sum", 6.0, sum(o.result["n"] for o in outcomes), None, "")],
        lambda _setup: ["everything"],
    )


def test_a_second_run_computes_nothing_and_says_the_same(tmp_path: Path) -> None:
    seen = []

    def count(setup, cell):
        seen.append(cell["n"])
        return {"n": cell["n"]}

    def refuse(setup, cell):
        raise AssertionError("was evaluated again")

    with Store(tmp_path / "r.db") as store:
        first = run_experiment(toy(count), Setup(), store)
    with Store(tmp_path / "r.db") as store:
        again = run_experiment(toy(refuse), Setup(), store)
    assert seen == [0, 1, 2, 3]
    assert first.rows == again.rows == [Row("sum", 6.0, 6, None, "")]
    assert first.seconds == again.seconds
    assert not first.failures


def test_another_seed_is_another_cell() -> None:
    seen = []
    with Store(":memory:") as store:
        for seed in (0, 1):
            run_experiment(toy(lambda _setup, cell: seen.append(cell["seed"]) or {"n": 0}), Setup(seed, True), store)
    assert seen == [0, 0, 1, 1]


def test_a_cell_that_fails_leaves_no_rows_and_is_tried_again() -> None:
    def fail(setup, cell):
        if cell["n"] == 2:
            raise ValueError("two is bad")
        return {"n": cell["n"]}

    with Store(":memory:") as store:
        broken = run_experiment(toy(fail), Setup(), store)
        assert broken.rows == []
        assert broken.failures == ["ValueError: two is bad"]
        mended = run_experiment(toy(lambda _setup, cell: {"n": cell["n"]}), Setup(), store)
    assert mended.rows[0].ours == 6


def test_ctrl_c_keeps_what_was_done() -> None:
    def interrupted(setup, cell):
        if cell["n"] == 2:
            raise KeyboardInterrupt
        return {"n": cell["n"]}

    with Store(":memory:") as store:
        with pytest.raises(KeyboardInterrupt):
            run_experiment(toy(interrupted), Setup(), store)
        assert len(store.rows()) == 2


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_is_described(name: str, tiny: Setup) -> None:
    experiment = experiment_named(name)
    assert experiment.name == name
    for setup in (tiny, replace(tiny, quick=False)):
        cells = experiment.cells(setup)
        assert len({json.dumps(cell, sort_keys=True) for cell in cells}) == len(cells)
        assert all(sentence.endswith(".") for sentence in experiment.differs(setup))
        assert any("--quick" in sentence for sentence in experiment.differs(setup)) is setup.quick
        assert not any(str(tiny.images.folder) in json.dumps(cell) for cell in cells)


def test_an_unknown_name() -> None:
    with pytest.raises(InvalidInputError, match="burkholz2022"):
        experiment_named("pensia2021")
