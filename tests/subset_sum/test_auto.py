"""`auto`: what it plans, that it never loses to a member it ran, and that its table is sound."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest

from sslth.subset_sum.draw_instance import draw_instance
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits, Norm
from sslth.subset_sum.solution import Status
from sslth.subset_sum.solve import solve
from sslth.subset_sum.solvers import REGISTRY
from sslth.subset_sum.solvers.auto import Step, _what_is_left, plan
from sslth.subset_sum.solvers.auto_table import TABLE, predict_errors, predict_proofs, row_spread


def names(instance: Instance, **limits) -> list[str]:
    return [step.solver for step in plan(instance, Limits(**limits))]


def test_few_rows_are_enumerated():
    assert names(draw_instance("nsn", 12, 5)) == ["brute_force"]


def test_few_subsets_of_the_wanted_size_are_enumerated():
    assert names(draw_instance("nsn", 20, 5, cardinality=5)) == ["brute_force"]
    assert names(draw_instance("nsn", 20, 5, cardinality=18)) == ["brute_force"]
    assert names(draw_instance("nsn", 20, 5, cardinality=10)) != ["brute_force"]
    assert "brute_force" not in names(draw_instance("nsn", 30, 5, cardinality=2))  # it takes 24 rows


def test_a_heuristic_goes_before_a_long_proof_for_a_tenth_of_the_time():
    instance = draw_instance("gaussian", 56, 1)
    seconds = predict_proofs(instance, ["meet_in_the_middle"])["meet_in_the_middle"]
    first, second, *rest = plan(instance, Limits(time_limit=3.0 * seconds))
    assert second.solver == "meet_in_the_middle"
    assert first.solver == rest[-1].solver != "meet_in_the_middle"
    assert (first.share, second.share, rest[-1].share) == (0.1, 1.0, 1.0)
    assert plan(instance, Limits(time_limit=100.0 * seconds))[0].solver == "meet_in_the_middle"


@pytest.mark.parametrize(("n", "d"), [(20_000, 576), (1000, 144), (60, 4), (300, 20)])
def test_only_the_last_heuristic_gets_all_the_time(n, d):
    """Local search goes on for as long as it is let: before the best heuristic it gets its share and no more."""
    steps = plan(draw_instance("nsn", n, d), Limits(time_limit=10.0))
    assert all(
        step.share <= 0.15 for step in steps[:-1] if step.solver not in ("meet_in_the_middle", "branch_and_bound")
    )
    assert steps[-1].share == 1.0


def test_a_member_is_given_its_share_of_the_time():
    limits = Limits(time_limit=50.0, clock=itertools.chain([0.0], itertools.repeat(8.0)).__next__)
    assert _what_is_left(limits, 0, Step("k_tree", "", share=0.1)).time_limit == 5.0
    assert _what_is_left(limits, 0, Step("k_tree", "")).time_limit == 42.0
    assert _what_is_left(Limits(max_work=9), 4, Step("k_tree", "", share=0.1)).max_work == 5


@pytest.mark.parametrize(("n", "d", "exact"), [(40, 1, "meet_in_the_middle"), (40, 2, "meet_in_the_middle")])
def test_a_proof_that_fits_the_time_comes_first(n, d, exact):
    instance = draw_instance("gaussian", n, d)
    assert names(instance, time_limit=10.0)[0] == exact
    solution = solve(instance)
    assert solution.status is Status.OPTIMAL
    assert solution.solver == exact


def test_a_proof_that_does_not_fit_is_not_begun():
    instance = draw_instance("gaussian", 60, 1)
    assert "meet_in_the_middle" not in names(instance, time_limit=1.0)
    assert "meet_in_the_middle" in names(instance, time_limit=3600.0)
    for d in (1, 4, 30, 300):
        wide = draw_instance("nsn", 3000, d)
        assert not {"meet_in_the_middle", "branch_and_bound", "brute_force"} & set(names(wide, time_limit=10.0))


def test_large_d_at_few_rows_is_cut_off_rather_than_joined():
    assert "branch_and_bound" in names(draw_instance("nsn", 50, 24), time_limit=10.0)


@pytest.mark.needs_jit
@pytest.mark.parametrize(
    ("law", "n", "d", "size"),
    [("nsn", 3000, 30, None), ("gaussian", 500, 4, None), ("uniform", 200, 60, 50), ("nsn", 90, 1, 30)],
)
def test_the_answer_is_the_best_of_all_members_that_ran(law, n, d, size):
    instance = draw_instance(law, n, d, 4, cardinality=size)
    solution = solve(instance, time_limit=1.0)
    tried = solution.stats["tried"]
    assert len(tried) >= 1
    assert all(step["reason"] for step in tried)
    assert solution.error == min(step["error"] for step in tried)
    assert solution.solver in {step["solver"] for step in tried if step["error"] == solution.error}


@pytest.mark.needs_jit
def test_without_a_clock_the_answer_repeats():
    instance = draw_instance("nsn", 400, 24, 1)
    first, second = (solve(instance, time_limit=None, max_work=3_000_000, seed=5) for _ in range(2))
    assert first.subset.tolist() == second.subset.tolist()
    assert first.stats["work"] == second.stats["work"]


def test_a_tolerance_that_the_first_member_meets_ends_it():
    instance = draw_instance("nsn", 2000, 20)
    solution = solve(instance, tolerance=0.9)
    assert solution.status is Status.WITHIN_TOLERANCE
    assert len(solution.stats["tried"]) == 1


def test_members_that_cannot_are_passed_by():
    sized = draw_instance("uniform", 500, 1, cardinality=100)
    assert "differencing" not in names(sized, time_limit=10.0)
    by_length = plan(draw_instance("nsn", 500, 30), Limits(norm=Norm.L2, time_limit=5.0))
    assert by_length
    assert all(Norm.L2 in REGISTRY[step.solver].norms for step in by_length)


def test_the_bound_where_the_target_is_out_of_reach():
    instance = draw_instance("gaussian", 100, 400, 2, cardinality=30)
    solution = solve(instance, time_limit=None)  # no clock: the linear program ends
    assert 0.0 < solution.lower_bound <= solution.error


def test_the_spread_of_the_rows():
    assert row_spread(draw_instance("gaussian", 5000, 50)) == pytest.approx(1 / math.sqrt(100), rel=0.1)
    assert row_spread(draw_instance("nsn", 5000, 50)) > 1.0
    assert row_spread(Instance(np.zeros((4, 2)), [0.0, 1.0])) == 0.0
    tiny = Instance(np.full((4, 2), 5e-324), [0.0, 0.0])
    assert row_spread(tiny) == 0.0
    assert np.isfinite(row_spread(Instance(np.array([[1e300], [1e-300], [3.0]]), [0.0])))


def test_the_table_is_what_calibrate_writes():
    table = json.loads(TABLE.read_text())
    assert set(table) == {"budgets", "proof_limit", "cells", "proofs"}
    assert len(table["cells"]) > 50
    assert len(table["proofs"]) > 50
    for cell in table["cells"]:
        assert set(cell) == {"law", "n", "d", "sized", "spread", "errors"}
        assert set(cell["errors"]) <= set(REGISTRY)
        for runs in cell["errors"].values():
            assert all(error >= 0 and seconds >= 0 for error, seconds in runs.values())
    for cell in table["proofs"]:
        assert set(cell["proof"]) <= set(REGISTRY)


def test_predictions_are_ordered_and_proofs_take_longer_with_more_rows():
    instance = draw_instance("nsn", 5000, 100)
    found = predict_errors(instance, 1.0, list(REGISTRY))
    assert [p.ratio for p in found] == sorted(p.ratio for p in found)
    assert found[0].ratio < 2.0
    times = [predict_proofs(draw_instance("gaussian", n, 2), ["meet_in_the_middle"]) for n in (30, 40, 50, 60)]
    seconds = [t["meet_in_the_middle"] for t in times]
    assert seconds == sorted(seconds)
