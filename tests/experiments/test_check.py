"""The check: verdicts of claims whose truth is known, the correction for their number, resuming, errors in a row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import toy_claims as toys

import sslth
from sslth.errors import InvalidInputError
from sslth.experiments.check import FAMILY_CONFIDENCE, check, evaluate_claim_cell
from sslth.experiments.check_job import run_check
from sslth.experiments.check_json import check_json
from sslth.experiments.store import Store
from sslth.theory.claims import Effort, Findings, Verdict
from sslth.theory.intervals import clopper_pearson

ALL = toys.catalogue(
    toys.holds(1),
    toys.violated(2),
    toys.undecided(3),
    toys.not_testable(4),
    toys.failing(5),
    toys.computed(6, proof="It is 1 by definition."),
    toys.computed(7, 0.5),
)


@pytest.fixture(scope="module")
def report():
    return check(catalogue=ALL)


def test_every_verdict_comes_out(report) -> None:
    assert [row.verdict for row in report.rows] == [
        Verdict.HOLDS, Verdict.VIOLATED, Verdict.UNDECIDED, Verdict.NOT_TESTABLE, None, Verdict.HOLDS, Verdict.VIOLATED,
    ]  # fmt: skip
    assert report.failed
    assert not check(claims=[1, 2], catalogue=ALL).failed


def test_a_constant_halved_is_violated_by_every_seed() -> None:
    for seed in range(20):
        (row,) = check(claims=[2], seed=seed, catalogue=ALL).rows
        assert [case.verdict for case in row.findings.cases] == [Verdict.VIOLATED] * 2


def test_the_true_probability_lies_in_the_intervals_as_often_as_promised() -> None:
    known = toys.catalogue(*(toys.not_testable(number) for number in range(1, 201)))
    report = check(catalogue=known)
    assert report.statistical_cases == 400
    missed = 0
    for row in report.rows:
        for case in row.findings.cases:
            low, high = case.interval
            missed += not low <= toys.TRUTHS[case.parameters["t"]] <= high
    assert missed == 0  # one table in a hundred may miss one, and the seed is fixed


def test_the_correction_counts_statistical_intervals_only() -> None:
    seen: list[float] = []
    known = toys.catalogue(toys.holds(1, seen), toys.violated(2), toys.computed(3), toys.failing(4))
    report = check(catalogue=known)
    assert report.statistical_cases == 4
    assert report.confidence == 1 - 0.01 / 4
    assert seen == [FAMILY_CONFIDENCE, report.confidence]
    case = report.rows[0].findings.cases[0]
    assert case.interval == clopper_pearson(round(case.estimate * 2000), 2000, 1 - 0.01 / 4)
    assert check(claims=[1], catalogue=known).confidence == 1 - 0.01 / 2
    assert check(claims=[3], catalogue=known).confidence == FAMILY_CONFIDENCE


def test_a_failed_cell_is_the_error_of_its_row_alone(report) -> None:
    row = report.rows[4]
    assert row.error == "1 of 4 cells failed: ValueError: no luck in this cell"
    assert row.findings is None
    assert [other.error for other in report.rows if other is not row] == [None] * 6


def _raise(*_: Any) -> Any:
    raise ZeroDivisionError("oh")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"cells": _raise}, "its cells cannot be listed: ZeroDivisionError: oh"),
        ({"cells": lambda *_: []}, "the claim has no cells"),
        ({"cells": lambda *_: [{"kind": "x"}]}, "'kind', which the store needs for itself"),
        ({"cells": lambda *_: [{"x": object()}]}, "of type object, which JSON cannot hold"),
        ({"judge": _raise}, "it cannot be judged: ZeroDivisionError: oh"),
        ({"judge": lambda *_: Findings([])}, "no number to judge"),
    ],
)
def test_whatever_is_wrong_in_a_claim_is_its_row(change: dict[str, Any], error: str) -> None:
    report = check(catalogue=toys.catalogue(replace(toys.holds(1), **change), toys.holds(2)))
    assert error in (report.rows[0].error or "")
    assert [row.verdict for row in report.rows] == [None, Verdict.HOLDS]
    assert report.statistical_cases == 2


def test_intervals_that_come_and_go_with_the_confidence_are_an_error() -> None:
    claim = toys.holds(1)

    def judge(pairs: Any, confidence: float) -> Findings:
        found = claim.judge(pairs, confidence)
        return replace(found, cases=found.cases[: 2 if confidence == FAMILY_CONFIDENCE else 1])

    (row,) = check(catalogue=toys.catalogue(replace(claim, judge=judge))).rows
    assert row.error == "it has 2 statistical intervals at one confidence and 1 at another"


def test_seed_and_effort_reach_the_cells() -> None:
    first, again, other = (check(claims=[1], seed=seed, catalogue=ALL).rows[0].findings for seed in (0, 0, 1))
    assert first == again != other
    full = check("full", claims=[1], catalogue=ALL)
    assert full.effort is Effort.FULL
    assert full.rows[0].findings.cases[0].repetitions == 8000


def test_an_interrupted_check_resumes_and_gives_the_same(tmp_path: Path) -> None:
    evaluated: list[int] = []
    plain = toys.holds(1)

    def evaluate(parameters: Mapping[str, Any]) -> dict[str, Any]:
        evaluated.append(parameters["index"])
        return plain.evaluate(parameters)

    known = toys.catalogue(replace(plain, evaluate=evaluate))

    def stop_after_three(done: int, total: int, stage: str) -> None:
        assert total == toys.CELLS
        if done == 3:
            raise KeyboardInterrupt

    with Store(tmp_path / "check.db") as store, pytest.raises(KeyboardInterrupt):
        check(store=store, progress=stop_after_three, catalogue=known)
    with Store(tmp_path / "check.db") as store:
        assert len(store.rows("claim")) == 3
        (row,) = check(store=store, catalogue=known).rows
        assert sorted(evaluated) == list(range(toys.CELLS))
        assert check(store=store, catalogue=known).rows[0].findings == row.findings
        assert len(evaluated) == toys.CELLS
    assert row.findings == check(catalogue=toys.catalogue(plain)).rows[0].findings


def test_failed_cells_are_tried_again(tmp_path: Path) -> None:
    with Store(tmp_path / "check.db") as store:
        assert check(store=store, catalogue=toys.catalogue(toys.failing(1))).failed
        report = check(store=store, catalogue=toys.catalogue(toys.holds(1)))
        assert not report.failed
        assert len(store.rows("claim")) == toys.CELLS


def test_stored_cells_say_claim_and_version_and_the_claim_sees_neither() -> None:
    claim = replace(toys.holds(5), evaluate=lambda parameters: {"keys": sorted(parameters)})
    with Store(":memory:") as store:
        check(store=store, catalogue=toys.catalogue(claim))
        for row in store.rows("claim"):
            assert row.result == {"keys": ["index", "repetitions", "seed"]}
            labels = {key: row.parameters[key] for key in ("kind", "claim", "sslth")}
            assert labels == {"kind": "claim", "claim": 5, "sslth": sslth.__version__}
            assert evaluate_claim_cell(row.parameters, toys.catalogue(claim)) == row.result


def test_processes_find_the_claims_and_change_nothing() -> None:
    known = toys.catalogue(toys.holds(1), toys.violated(2), toys.failing(3))
    alone, together = (check(jobs=jobs, catalogue=known) for jobs in (1, 2))
    assert [(row.findings, row.error) for row in alone.rows] == [(row.findings, row.error) for row in together.rows]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (partial(check, claims=[1, 12]), "there is no claim 12; the claims are 1, 2, 3, 4, 5, 6, 7"),
        (partial(check, claims=[]), "choose at least one"),
        (partial(check, "slow"), "effort is 'slow'; take one of quick, full"),
        (partial(check, seed=-1), "the seed is -1"),
        (partial(check, jobs=0), "0 jobs can do nothing"),
    ],
)
def test_bad_input_is_one_sentence(call: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        call(catalogue=ALL)


def test_json_has_what_was_promised(report) -> None:
    found = check_json(report)
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text) == found
    wanted = ["claim", "name", "statement", "source", "computed", "verdict", "estimate", "interval", "side", "bound"]
    for claim in found["claims"]:
        every = [*wanted, "parameters", "confidence", "more_repetitions", "note", "cases", "seconds", "error"]
        assert set(every) <= set(claim)
        for key in every:
            assert claim[key] is not None or key == "error" or claim[f"{key}_reason"]
    assert [claim["claim"] for claim in found["claims"]] == [1, 2, 3, 4, 5, 6, 7]
    first, second, third, fourth, fifth, sixth, _ = found["claims"]
    assert list(first)[: len(wanted)] == wanted
    assert first["confidence"] == found["confidence"] == 1 - 0.01 / 8
    assert first["interval"][0] <= first["estimate"] <= first["interval"][1]
    assert first["interval"][0] >= first["bound"]
    assert (first["side"], second["side"]) == ("at least", "at most")
    assert second["verdict"] == "violated"
    assert [case["verdict"] for case in second["cases"]] == ["violated"] * 2
    assert third["more_repetitions"] == max(case["more_repetitions"] for case in third["cases"]) > 0
    assert fourth["bound"] is None
    assert fifth["estimate_reason"] == fifth["error"] == "1 of 4 cells failed: ValueError: no luck in this cell"
    assert sixth["confidence"] is None
    assert sixth["cases"][0]["proof"] == "It is 1 by definition."


def test_infinite_ends_are_null_with_a_reason() -> None:
    report = check(catalogue=toys.catalogue(toys.computed(1, 2.0, high=float("inf"))))
    (claim,) = check_json(report)["claims"]
    assert claim["interval"] == [2.0 - 1e-9, None]
    assert claim["interval_reason"] == "not finite: inf"
    assert claim["cases"][0]["interval_reason"] == "not finite: inf"


def test_a_folder_keeps_results_numbers_and_page(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    settings: dict[str, Any] = {"out": out, "jobs": 1, "seed": 0, "catalogue": ALL}
    report = run_check(Effort.QUICK, [1, 2], **settings)
    assert {path.name for path in out.iterdir()} == {"check.db", "check-1-2.html", "check-1-2.json"}
    assert json.loads((out / "check-1-2.json").read_text(encoding="utf-8")) == check_json(report)
    with pytest.raises(InvalidInputError, match="discards the results of all claims"):
        run_check(Effort.QUICK, [1], restart=True, **settings)
    with Store(out / "check.db", read_only=True) as store:
        assert len(store.rows()) == 2 * toys.CELLS
    run_check(Effort.QUICK, None, restart=True, **{**settings, "catalogue": toys.catalogue(toys.computed(6))})
    with Store(out / "check.db", read_only=True) as store:
        assert [row.parameters["claim"] for row in store.rows()] == [6]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInputError, match="cannot make the output folder"):
        run_check(Effort.QUICK, [1], out=tmp_path / "file" / "out", jobs=1, seed=0, catalogue=ALL)
