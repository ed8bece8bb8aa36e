"""The mixed-integer solvers against the Gray code: nothing that they say is believed too far; every way to stop."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from fractions import Fraction
from importlib.util import find_spec

import numpy as np
import pytest
from exact_cases import CASES, true_error, true_minimum

from sslth.errors import InvalidInputError
from sslth.subset_sum.exact_errors import best_exactly
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import StoppedBy
from sslth.subset_sum.solve import solve
from sslth.subset_sum.solvers import mip
from sslth.subset_sum.solvers.brute_force import BruteForce
from sslth.subset_sum.solvers.mip import MipGurobi, MipHighs, MipScip
from sslth.subset_sum.solvers.mip_worker import Answer, answer_in
from sslth.subset_sum.verify import verify

SOLVERS = [MipHighs, MipScip, *([MipGurobi] if find_spec("gurobipy") else [])]
every_solver = pytest.mark.parametrize("make", SOLVERS)


def hard() -> Instance:
    rng = np.random.default_rng(0)
    return Instance(rng.standard_normal((45, 5)), rng.uniform(-1, 1, 5))


def integers(seed: int = 1, **sizes) -> Instance:
    """No subset sums to the target, and the greedy subset is not the best."""
    rng = np.random.default_rng(seed)
    return Instance(rng.integers(-40, 40, (14, 4)), rng.integers(-60, 60, 4), **sizes)


def random_instance(rng: np.random.Generator) -> Instance:
    n, d = int(rng.integers(1, 13)), int(rng.choice([1, 2, 3, 5, 9]))
    rows = rng.standard_normal((n, d)) * 10.0 ** rng.integers(-6, 7)
    match int(rng.integers(3)):
        case 0:
            rows *= 10.0 ** rng.uniform(-4, 0, (n, 1))
        case 1:
            rows = np.rint(rows * 20 / np.abs(rows).max())
    target = rng.uniform(-1, 1, d) * np.abs(rows).max()
    size = int(rng.integers(0, n + 1))
    return Instance(rows, target, **[{}, {"cardinality": size}, {"max_cardinality": size}][int(rng.integers(3))])


@every_solver
def test_the_bound_is_never_above_the_optimum(make):
    rng = np.random.default_rng(17)
    started = False
    for index in range(60):
        instance = random_instance(rng)
        outcome = make(hints=bool(index % 2))(instance, Limits())
        optimum = best_exactly(instance, [BruteForce()(instance, Limits()).subset])[1]
        error = best_exactly(instance, [outcome.subset])[1]
        scale = Fraction(max(np.abs(instance.samples).max(), np.abs(instance.target).max()))
        assert Fraction(outcome.lower_bound) <= optimum
        assert optimum <= error <= optimum + scale / 10**6
        if outcome.stopped_by is StoppedBy.PROOF:
            assert error == optimum
        else:
            assert (
                error - Fraction(outcome.lower_bound) <= 2 * scale * (instance.n + 2) / 10**6
            )  # 2: a power of two above it
        started = started or outcome.details["mip_status"] == "optimal"
    assert started


@every_solver
@pytest.mark.parametrize("sizes", [{}, {"cardinality": 3}, {"max_cardinality": 2}], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_awkward_numbers(make, name, sizes):
    instance = Instance(*CASES[name], **sizes)
    outcome = make()(instance, Limits())
    exact = true_minimum(instance)
    error = true_error(instance, outcome.subset.tolist())
    assert Fraction(outcome.lower_bound) <= exact <= error
    assert instance.smallest_size <= outcome.subset.size <= instance.largest_size
    if outcome.stopped_by is StoppedBy.PROOF:
        assert error == exact


@every_solver
@pytest.mark.parametrize("sizes", [{}, {"cardinality": 5}, {"max_cardinality": 3}], ids=str)
def test_a_bound_between_two_points_of_the_grid_is_a_proof(make, sizes):
    instance = integers(**sizes)
    outcome = make()(instance, Limits())
    assert outcome.details["lagrangian_bound"] < outcome.lower_bound  # the mixed-integer solver made the difference
    assert outcome.stopped_by is StoppedBy.PROOF
    assert true_error(instance, outcome.subset.tolist()) == true_minimum(instance) == outcome.lower_bound


@every_solver
def test_off_the_grid_a_claimed_optimum_is_no_proof(make):
    instance = Instance(*CASES["gaussian"])
    outcome = make()(instance, Limits())
    error = verify(instance, outcome.subset).error
    assert outcome.details["mip_status"] == "optimal"
    assert outcome.stopped_by is StoppedBy.DONE
    assert error - 1e-4 < outcome.lower_bound < error


@pytest.mark.parametrize("too_much", [1e-9, 0.3, np.inf, np.nan])
def test_a_false_claim_is_not_repeated(monkeypatch, too_much):
    honest = mip.run

    def boastful(job):
        answer = honest(job)
        return replace(answer, bound=answer.bound + too_much)

    monkeypatch.setattr(mip, "run", boastful)
    instance = Instance(*CASES["gaussian"])
    outcome = MipHighs()(instance, Limits())
    assert Fraction(outcome.lower_bound) <= true_minimum(instance)
    assert ("refuted_bound" in outcome.details) == (too_much == 0.3)
    assert outcome.stopped_by is StoppedBy.DONE


def test_a_subset_of_the_wrong_size_is_not_taken(monkeypatch):
    monkeypatch.setattr(mip, "run", lambda _: Answer(np.array([0]), 0.0, "optimal", 1))
    outcome = MipHighs()(integers(cardinality=5), Limits())
    assert outcome.subset.size == 5


@every_solver
def test_the_tolerance_is_inclusive(make):
    instance = integers()
    best = float(true_minimum(instance))
    at = make(hints=False)(instance, Limits(tolerance=best))
    assert at.stopped_by in (StoppedBy.TOLERANCE, StoppedBy.PROOF)
    assert verify(instance, at.subset).error == best
    below = make(hints=False)(instance, Limits(tolerance=best - 0.5))
    assert below.stopped_by is StoppedBy.PROOF
    assert below.lower_bound == best


@every_solver
def test_a_reachable_tolerance_ends_the_search(make):
    start = verify(hard(), make()(hard(), Limits(max_work=1)).subset).error
    outcome = make()(hard(), Limits(tolerance=0.999 * start, time_limit=60.0))
    assert outcome.stopped_by is StoppedBy.TOLERANCE
    assert verify(hard(), outcome.subset).error < start


@every_solver
def test_work_is_a_limit_and_the_answer_repeats(make):
    runs = [make()(hard(), Limits(max_work=4_000_000, seed=3)) for _ in range(2)]
    assert all(run.stopped_by is StoppedBy.WORK for run in runs)
    assert runs[0].subset.tolist() == runs[1].subset.tolist()
    assert runs[0].work == runs[1].work <= 4_000_000
    assert runs[0].details["nodes"] > 10


@every_solver
@pytest.mark.parametrize("time_limit", [0.4, 1.5])  # in this process, and in one of its own
@pytest.mark.timeout(60)  # a search that hears no clock would go on
def test_the_time_limit_is_kept(make, time_limit):
    outcome = make()(hard(), Limits(time_limit=time_limit))
    assert outcome.stopped_by is StoppedBy.TIME
    assert outcome.lower_bound == 0.0


@every_solver
@pytest.mark.timeout(60)  # a search that does not hear it would go on
def test_an_interrupt_ends_the_search(make):
    limits = Limits()
    timer = threading.Timer(0.7, limits.interrupted.set)
    timer.start()
    outcome = make()(hard(), limits)
    timer.join()
    assert outcome.stopped_by is StoppedBy.INTERRUPT
    assert outcome.details["mip_status"] in ("interrupted", "killed", "time")


@every_solver
def test_an_injected_clock_is_heard(make):
    ticks = itertools.count(0.0, 10.0)
    outcome = make()(hard(), Limits(time_limit=400.0, clock=lambda: next(ticks)))
    assert outcome.stopped_by is StoppedBy.TIME
    assert outcome.subset is not None


def test_two_threads():
    for make in SOLVERS:
        instance = integers()
        outcome = make(threads=2)(instance, Limits())
        assert verify(instance, outcome.subset).error == true_minimum(instance)


@every_solver
def test_the_log_is_written_on_request_alone(make, capfd):
    make()(integers(), Limits())
    assert capfd.readouterr() == ("", "")
    make(log=True)(integers(), Limits())
    assert "bound" in capfd.readouterr().out.lower()


def test_without_hints_the_start_is_greedy():
    with_hints, without = (MipHighs(hints=hints)(hard(), Limits(max_work=1_000_000)) for hints in (True, False))
    assert with_hints.details["start_error"] < without.details["start_error"]


@pytest.mark.parametrize("make", [MipHighs, MipScip])
def test_too_many_entries(make):
    with pytest.raises(InvalidInputError, match=r"100,000 entries.*100,002.*sorted_pursuit"):
        make()(Instance(np.ones((50_001, 2)), [1.0, 1.0]), Limits())


@pytest.mark.skipif(find_spec("gurobipy") is None, reason="needs gurobipy")
def test_beyond_the_free_licence():
    try:
        solution = solve(Instance(np.arange(2.0, 4002.0), 0.5), "mip_gurobi", time_limit=5.0)
    except InvalidInputError as error:
        assert "2,000 variables" in str(error)  # noqa: PT017
    else:  # the machine has a licence
        assert solution.error == 0.5


def test_gurobi_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(mip, "find_spec", lambda _: None)
    with pytest.raises(InvalidInputError, match="gurobipy"):
        MipGurobi()(integers(), Limits())


def test_the_last_complete_solution_of_a_killed_worker_is_read(tmp_path):
    block = "\nObjective {}\n# Columns 4\nx0 {}\nx1 1\nx2 1e-09\ne 0.5\n"
    assert answer_in(tmp_path, 3).chosen is None
    (tmp_path / "improving.sol").write_text(block.format(2, 0) + block.format(1, 0.9999999) + block.format(0, 0)[:-4])
    assert answer_in(tmp_path, 3).chosen.tolist() == [0, 1]
