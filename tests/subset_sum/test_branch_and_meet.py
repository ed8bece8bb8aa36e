"""Branching on long rows and meeting in the middle over the others: against itertools and the other exact solvers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from exact_cases import CASES, check_proof, true_error
from hypothesis import given, settings
from hypothesis import strategies as st

from sslth.errors import InvalidInputError
from sslth.subset_sum.draw_instance import draw_instance
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import StoppedBy
from sslth.subset_sum.solvers import branch_and_meet
from sslth.subset_sum.solvers.branch_and_bound import BranchAndBound
from sslth.subset_sum.solvers.branch_and_meet import BranchAndMeet
from sslth.subset_sum.solvers.brute_force import BruteForce
from sslth.subset_sum.solvers.meet_in_the_middle import MeetInTheMiddle

SIZES = [{}, {"cardinality": 0}, {"cardinality": 3}, {"cardinality": 6}, {"max_cardinality": 2}]


@pytest.mark.parametrize("rest", [2, 5, 40])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_the_optimum_is_exact(name, sizes, rest):
    instance = Instance(*CASES[name], **sizes)
    check_proof(instance, BranchAndMeet(rest=rest, threads=1)(instance, Limits()))


@pytest.mark.needs_jit
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 14),
    d=st.integers(1, 9),
    law=st.sampled_from(["gaussian", "uniform", "nsn", "integers"]),
    size=st.sampled_from(["free", "exactly", "at most"]),
    rest=st.integers(2, 12),
)
def test_it_agrees_with_the_gray_code(seed, n, d, law, size, rest):
    if law == "integers":
        rng = np.random.default_rng(seed)
        rows, target = rng.integers(-2, 3, (n, d)).astype(np.float64), rng.integers(-4, 5, d) / 2.0
    else:
        drawn = draw_instance(law, n, d, seed)
        rows, target = drawn.samples, drawn.target
    sizes = {"free": {}, "exactly": {"cardinality": n // 2}, "at most": {"max_cardinality": n // 3}}[size]
    instance = Instance(rows, target, **sizes)
    ours = BranchAndMeet(rest=rest, threads=1)(instance, Limits())
    theirs = BruteForce()(instance, Limits())
    assert ours.stopped_by is theirs.stopped_by is StoppedBy.PROOF
    assert true_error(instance, ours.subset.tolist()) == true_error(instance, theirs.subset.tolist())
    assert ours.lower_bound == theirs.lower_bound


@pytest.mark.needs_jit
@pytest.mark.parametrize(("law", "n", "d", "size"), [("gaussian", 40, 9, None), ("nsn", 42, 12, 20), ("nsn", 40, 6, 9)])
def test_it_agrees_with_other_proofs(law, n, d, size):
    instance = draw_instance(law, n, d, 3, cardinality=size)
    one = BranchAndMeet(rest=36, threads=1)(instance, Limits())
    two = BranchAndMeet(rest=36, threads=2)(instance, Limits())
    other = (BranchAndBound() if d > 9 else MeetInTheMiddle())(instance, Limits())
    assert one.stopped_by is other.stopped_by is StoppedBy.PROOF
    assert one.subset.tolist() == two.subset.tolist()
    assert one.work == two.work
    assert true_error(instance, one.subset.tolist()) == true_error(instance, other.subset.tolist())
    assert one.lower_bound == other.lower_bound
    assert one.details["leaves"] + one.details["cut"] == 2 ** (n - 36)


@pytest.mark.needs_jit
def test_scouts_change_the_time_and_not_the_answer(monkeypatch):
    instance = draw_instance("nsn", 40, 8, 5)
    plain = BranchAndMeet(rest=33, threads=1)(instance, Limits())
    monkeypatch.setattr(branch_and_meet, "_SCOUTED", 29)
    scouted = BranchAndMeet(rest=33, threads=1)(instance, Limits())
    assert scouted.stopped_by is StoppedBy.PROOF
    assert scouted.subset.tolist() == plain.subset.tolist()
    assert scouted.lower_bound == plain.lower_bound
    assert scouted.work != plain.work
    assert scouted.details["leaves"] + scouted.details["cut"] == 2**7


@pytest.mark.needs_jit
def test_far_leaves_are_cut():
    instance = draw_instance("nsn", 40, 9, 0)
    outcome = BranchAndMeet(rest=28, threads=1)(instance, Limits())
    assert outcome.details["left"] == 0
    assert outcome.details["cut"] > 0.5 * 2**12
    assert outcome.subset.tolist() == MeetInTheMiddle()(instance, Limits()).subset.tolist()


def test_ties_in_different_leaves_are_all_compared():
    """Rows off the grid: the best of two leaves differ by less than the rounding, and the exact comparison decides."""
    rows = np.array([[1.0 + 2.0**-52], [1.0], [0.5], [0.25], [1e9]])
    instance = Instance(rows, [1.0])
    outcome = BranchAndMeet(rest=2, threads=1)(instance, Limits())
    assert outcome.details["slack"] > 0
    assert outcome.subset.tolist() == [1]


@pytest.mark.needs_jit
def test_limits_end_the_search_with_something_valid():
    instance = draw_instance("gaussian", 42, 8, 1)
    whole = BranchAndMeet(rest=36)(instance, Limits())
    errors = []
    for work in (1, 600_000, 6_000_000, 30_000_000):
        one, two = (BranchAndMeet(rest=36, threads=t)(instance, Limits(max_work=work)) for t in (1, 3))
        assert one.stopped_by is two.stopped_by is StoppedBy.WORK
        assert one.subset.tolist() == two.subset.tolist()
        assert one.work == two.work
        assert one.lower_bound <= whole.lower_bound
        errors.append(true_error(instance, one.subset.tolist()))
    assert errors == sorted(errors, reverse=True)
    ticks = itertools.count()
    assert (
        BranchAndMeet(rest=36)(instance, Limits(time_limit=40.0, clock=lambda: float(next(ticks)))).stopped_by
        is StoppedBy.TIME
    )
    limits = Limits()
    limits.interrupted.set()
    assert BranchAndMeet(rest=36)(instance, limits).stopped_by is StoppedBy.INTERRUPT


@pytest.mark.needs_jit
def test_the_first_subset_within_the_tolerance_ends_it():
    instance = draw_instance("gaussian", 40, 8, 2)
    best = BranchAndMeet(rest=34)(instance, Limits())
    error = float(true_error(instance, best.subset.tolist()))
    outcome = BranchAndMeet(rest=34)(instance, Limits(tolerance=1.5 * error))
    assert outcome.stopped_by is StoppedBy.TOLERANCE
    assert true_error(instance, outcome.subset.tolist()) <= 1.5 * error
    assert outcome.work < best.work
    none = BranchAndMeet(rest=34)(instance, Limits(tolerance=0.5 * error))
    assert none.stopped_by is StoppedBy.PROOF
    assert none.lower_bound == best.lower_bound


def test_what_it_cannot_take_is_said():
    with pytest.raises(InvalidInputError, match=r"at most 62 rows.*63"):
        BranchAndMeet()(Instance(np.ones((63, 1)), [1.0]), Limits())
    instance = draw_instance("gaussian", 30, 5, 1)
    with pytest.raises(InvalidInputError, match=r"for 28 rows.*smaller rest"):
        BranchAndMeet(rest=28, memory_bytes=100_000)(instance, Limits())


@pytest.mark.needs_jit
def test_memory_decides_how_many_rows_are_branched_on():
    instance = draw_instance("nsn", 34, 5, 1)
    small = BranchAndMeet(memory_bytes=8_000_000, threads=1)(instance, Limits())
    large = BranchAndMeet(threads=1)(instance, Limits())
    assert small.details["leaves"] + small.details["cut"] > 1
    assert "leaves" not in large.details  # nothing to branch on: plain meet in the middle
    assert small.subset.tolist() == large.subset.tolist()
