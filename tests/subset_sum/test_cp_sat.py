"""CP-SAT against the Gray code, with every way to stop."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest
from exact_cases import CASES, check_proof

from sslth.errors import InvalidInputError
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import StoppedBy
from sslth.subset_sum.solve import solve
from sslth.subset_sum.solvers.cp_sat import CpSat
from sslth.subset_sum.verify import verify


@pytest.mark.parametrize("sizes", [{}, {"cardinality": 0}, {"cardinality": 3}, {"max_cardinality": 2}], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_the_optimum_is_exact(name, sizes):
    instance = Instance(*CASES[name], **sizes)
    check_proof(instance, CpSat()(instance, Limits()))


def test_two_workers():
    instance = Instance(*CASES["gaussian"])
    check_proof(instance, CpSat(workers=2)(instance, Limits()))


def test_the_tolerance_is_inclusive():
    instance = Instance(*CASES["gaussian"])
    best = verify(instance, CpSat()(instance, Limits()).subset).error
    at = CpSat()(instance, Limits(tolerance=best))
    assert at.stopped_by is StoppedBy.TOLERANCE
    assert verify(instance, at.subset).error <= best
    check_proof(instance, CpSat()(instance, Limits(tolerance=float(np.nextafter(best, 0)))))


def test_too_many_entries():
    with pytest.raises(InvalidInputError, match=r"100,000 entries.*100,002.*sorted_pursuit"):
        CpSat()(Instance(np.ones((50_001, 2)), [1.0, 1.0]), Limits())


def hard():
    rng = np.random.default_rng(0)
    return Instance(rng.standard_normal((45, 5)), rng.uniform(-1, 1, 5))


def test_work_is_a_limit_and_the_answer_repeats():
    runs = [CpSat()(hard(), Limits(max_work=20_000_000, seed=3)) for _ in range(2)]
    assert all(run.stopped_by is StoppedBy.WORK for run in runs)
    assert runs[0].subset.tolist() == runs[1].subset.tolist()
    assert runs[0].work == runs[1].work
    assert runs[0].lower_bound <= verify(hard(), runs[0].subset).error


@pytest.mark.timeout(60)  # a search that hears no clock would go on
def test_the_time_limit_is_kept():
    outcome = CpSat()(hard(), Limits(time_limit=0.5))
    assert outcome.stopped_by is StoppedBy.TIME


def test_an_injected_clock_is_heard():
    ticks = itertools.count(0.0, 10.0)
    outcome = CpSat()(hard(), Limits(time_limit=100.0, clock=lambda: next(ticks)))
    assert outcome.stopped_by is StoppedBy.TIME
    assert outcome.subset is not None


def test_no_time_at_all_still_gives_a_subset():
    outcome = CpSat()(hard(), Limits(time_limit=0.0))
    assert outcome.stopped_by is StoppedBy.TIME
    assert outcome.lower_bound == 0.0


@pytest.mark.timeout(60)  # a search that does not hear it would go on
def test_an_interrupt_ends_the_search():
    limits = Limits()
    timer = threading.Timer(0.3, limits.interrupted.set)
    timer.start()
    outcome = CpSat()(hard(), limits)
    timer.join()
    assert outcome.stopped_by is StoppedBy.INTERRUPT


def test_an_error_in_the_search_reaches_the_caller(monkeypatch):
    def broken(*arguments):
        raise MemoryError("no room")

    monkeypatch.setattr("sslth.subset_sum.solvers.cp_sat.cp_model.CpSolver.solve", broken)
    with pytest.raises(MemoryError, match="no room"):
        CpSat()(hard(), Limits())


def test_the_optimum_that_presolve_loses_is_found() -> None:
    """CP-SAT 9.15 with presolve calls .2202 optimal here; .0934 is. docs/decisions/0004-cp-sat-presolve.md"""
    rng = np.random.default_rng(9)
    rows, target = rng.standard_normal((12, 2)), rng.uniform(-1, 1, 2)
    instance = Instance(rows[:9], target)
    expected = solve(instance, "brute_force")
    for tolerance in (None, 0.1):
        found = solve(instance, "cp_sat", tolerance=tolerance)
        assert found.error == expected.error
        assert found.lower_bound <= expected.error


def test_hints_come_from_the_pursuits_and_can_be_left_out():
    one_look = Limits(max_work=1_000_000)
    with_hints, without = (CpSat(hints=hints)(hard(), one_look).subset for hints in (True, False))
    assert verify(hard(), with_hints).error < verify(hard(), without).error


def test_the_log_is_written_on_request_alone(capfd):
    instance = Instance(*CASES["gaussian"])
    CpSat()(instance, Limits())
    assert capfd.readouterr() == ("", "")
    CpSat(log=True)(instance, Limits())
    assert "CP-SAT" in capfd.readouterr().out
