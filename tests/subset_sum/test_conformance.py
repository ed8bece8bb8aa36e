"""Every registered solver through the same cases, judged by exact enumeration."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import best_error, exact_error, rounded_up

from sslth.errors import InvalidInputError
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import Solution, Status
from sslth.subset_sum.solve import solve, solve_within, solvers
from sslth.subset_sum.solve_many import solve_many
from sslth.subset_sum.solvers import REGISTRY, make_solver

NAMES = [name for name in sorted(solvers()) if REGISTRY[name].needs is None or find_spec(REGISTRY[name].needs)]
EXACT_NAMES = (
    *("auto", "brute_force", "meet_in_the_middle", "meet_in_the_middle_torch"),
    *("branch_and_bound", "branch_and_meet", "cp_sat"),
)
EXACT = [name for name in NAMES if name in EXACT_NAMES]
QUICK_EXACT = [name for name in EXACT if name != "cp_sat"]
HEURISTIC = [name for name in NAMES if name not in EXACT]
LARGEST_N = {  # above it a solver may refuse
    "brute_force": 24,
    "meet_in_the_middle": 50,
    "meet_in_the_middle_torch": 50,
    "branch_and_bound": 64,
    "branch_and_meet": 62,
}
LARGEST_D = {"differencing": 1, "k_tree": 16}
SIZELESS = ("differencing",)  # these may refuse a wanted number of rows
SECONDS = 5.0
SHORT = {"mip_highs": 0.7, "mip_scip": 0.7, "mip_gurobi": 0.7}  # these use all the time that they get

every_solver = pytest.mark.parametrize("name", NAMES)
every_exact_solver = pytest.mark.parametrize("name", EXACT)


def may_refuse(name: str, instance: Instance) -> bool:
    sized = instance.cardinality is not None or instance.max_cardinality is not None
    too_long, too_wide = instance.n > LARGEST_N.get(name, math.inf), instance.d > LARGEST_D.get(name, math.inf)
    return too_long or too_wide or (sized and name in SIZELESS)


def skip_if_refused(name: str, instance: Instance) -> None:
    refusal = REGISTRY[name].refusal(instance)
    if refusal is not None and may_refuse(name, instance):
        pytest.skip(refusal)


def run(name: str, instance: Instance, **options) -> Solution:
    """`solve`, with the answer checked against the oracle; a refusal is allowed for the size alone."""
    options.setdefault("time_limit", SECONDS)
    try:
        solution = solve(instance, name, **options)
    except InvalidInputError as refusal:
        if not may_refuse(name, instance):
            raise
        pytest.skip(str(refusal))
    check(instance, solution, options.get("tolerance"))
    return solution


def check(instance: Instance, solution: Solution, tolerance: float | None = None) -> None:
    """What holds for every answer, however the search ended."""
    subset = solution.subset
    assert subset.dtype == np.int64
    assert subset.ndim == 1
    assert np.all(np.diff(subset) > 0)
    assert np.all((subset >= 0) & (subset < instance.n))
    assert solution.mask.shape == (instance.n,)
    assert np.flatnonzero(solution.mask).tolist() == subset.tolist()
    if not instance.is_feasible:
        assert solution.status is Status.INFEASIBLE
        assert solution.error == math.inf
        return
    assert solution.status is not Status.INFEASIBLE
    assert instance.smallest_size <= subset.size <= instance.largest_size
    assert solution.error == rounded_up(exact_error(instance.samples, instance.target, subset.tolist()))
    assert 0.0 <= solution.lower_bound <= solution.error
    assert solution.stats["stopped_by"] in ("proof", "tolerance", "time", "work", "interrupt", "done")
    assert solution.seconds >= 0.0
    if solution.status is Status.WITHIN_TOLERANCE:
        assert tolerance is not None
        assert solution.error <= tolerance
    if solution.status is Status.BEST_FOUND and tolerance is not None:
        assert solution.error > tolerance
    if instance.n <= 14:
        optimum = oracle_optimum(instance)
        assert Fraction(solution.lower_bound) <= optimum
        if solution.status is Status.OPTIMAL:
            assert solution.error == rounded_up(optimum)


def oracle_optimum(instance: Instance) -> Fraction:
    optimum = best_error(instance.samples, instance.target, instance.cardinality, instance.max_cardinality)
    assert optimum is not None
    return optimum


def assert_optimal(name: str, instance: Instance, solution: Solution, on_the_grid: bool = True) -> None:
    """The oracle's optimum, proved; off its integer grid cp_sat may stop short of it by 1e-9 of itself."""
    optimum = rounded_up(oracle_optimum(instance))
    if name == "cp_sat" and not on_the_grid and solution.status is Status.BEST_FOUND:
        largest = max(np.abs(instance.samples).max(), np.abs(instance.target).max())
        assert solution.error - solution.lower_bound <= 1e-9 * max(optimum, largest)
        return
    assert solution.error == optimum
    assert solution.status is Status.OPTIMAL


def draw(law: str, n: int, d: int, seed: int, **sizes) -> Instance:
    rng = np.random.default_rng(seed)
    match law:
        case "uniform":
            samples = rng.uniform(-1, 1, (n, d))
        case "normal":
            samples = rng.standard_normal((n, d))
        case "nsn":
            samples = rng.standard_normal((n, 1)) * rng.standard_normal((n, d))
        case "integers":
            samples = rng.integers(-4, 5, (n, d)).astype(float)
        case "positive":
            samples = rng.uniform(0, 1, (n, d))
        case "exponents":
            samples = rng.standard_normal((n, d)) * 2.0 ** rng.integers(-40, 1, (n, 1))
        case _:
            raise ValueError(law)
    return Instance(samples, rng.uniform(-1, 1, d) if law != "integers" else rng.integers(-5, 6, d), **sizes)


# ------------------------------------------------------------------------------------ what can be asked for


@every_solver
@pytest.mark.parametrize(("n", "d"), [(12, 1), (16, 3), (20, 9)])
def test_a_planted_subset_gives_a_valid_answer_and_is_found_by_the_exact(name, n, d):
    rng = np.random.default_rng(n)
    samples = rng.integers(-(2**20), 2**20, (n, d)) / 2.0**20
    instance = Instance(samples, samples[::3].sum(axis=0))
    solution = run(name, instance)
    if name in EXACT:
        assert (solution.error, solution.status) == (0.0, Status.OPTIMAL)


@every_solver
@pytest.mark.parametrize("size", [1, 5, 11])
def test_a_planted_subset_of_fixed_size(name, size):
    rng = np.random.default_rng(size)
    samples = rng.integers(-(2**20), 2**20, (12, 3)) / 2.0**20
    solution = run(name, Instance(samples, samples[:size].sum(axis=0), cardinality=size))
    assert solution.subset.size == size
    if name in EXACT:
        assert (solution.error, solution.status) == (0.0, Status.OPTIMAL)


@every_solver
@pytest.mark.parametrize("sizes", [{"cardinality": 7}, {"cardinality": 3, "max_cardinality": 2}])
def test_sizes_that_no_subset_has_are_infeasible(name, sizes):
    solution = run(name, draw("normal", 6, 2, 0, **sizes))
    assert solution.status is Status.INFEASIBLE
    assert solution.subset.size == 0
    assert solution.lower_bound == math.inf
    assert "6 rows" in solution.stats["reason"]


@every_solver
def test_a_maximal_cardinality_above_n_is_no_limit(name):
    free, limited = draw("normal", 8, 2, 1), draw("normal", 8, 2, 1, max_cardinality=80)
    assert run(name, limited).error == run(name, free).error


@every_solver
@pytest.mark.parametrize("n", [1, 2, 9, 20])
def test_the_empty_subset_is_optimal_for_target_zero(name, n):
    samples = np.random.default_rng(n).standard_normal((n, 3))
    solution = run(name, Instance(samples, np.zeros(3)))
    assert (solution.error, solution.status) == (0.0, Status.OPTIMAL)


@every_solver
@pytest.mark.parametrize("law", ["normal", "integers", "positive"])
def test_cardinality_zero_and_n_leave_one_subset(name, law):
    for size in (0, 9):
        instance = draw(law, 9, 2, 3, cardinality=size)
        solution = run(name, instance)
        assert solution.subset.tolist() == list(range(size))
        if name in EXACT:
            assert_optimal(name, instance, solution)
    assert run(name, draw(law, 9, 2, 3, max_cardinality=0)).subset.size == 0


@every_solver
@pytest.mark.parametrize("target", [0.0, 0.3, 0.5, 0.7, -0.2])
@pytest.mark.parametrize("sizes", [{}, {"cardinality": 0}, {"cardinality": 1}, {"max_cardinality": 1}])
def test_one_row(name, target, sizes):
    instance = Instance([[1.0]], [target], **sizes)
    solution = run(name, instance)
    if name in EXACT:
        assert_optimal(name, instance, solution)
    elif "cardinality" in sizes:
        assert solution.subset.size == sizes["cardinality"]


@every_solver
@pytest.mark.parametrize("sizes", [{}, {"cardinality": 3}, {"max_cardinality": 3}])
def test_more_coordinates_than_rows(name, sizes):
    instance = draw("normal", 7, 40, 4, **sizes)
    solution = run(name, instance)
    if name in EXACT:
        assert_optimal(name, instance, solution, on_the_grid=False)


@every_solver
@pytest.mark.parametrize("size", [2, 4, 8])
@pytest.mark.parametrize("limit", ["cardinality", "max_cardinality"])
@pytest.mark.parametrize("law", ["normal", "nsn", "positive"])
def test_the_wanted_size_is_honoured(name, limit, size, law):
    instance = draw(law, 12, 4, size, **{limit: size})
    solution = run(name, instance)  # the size itself is checked in `check`
    if name in EXACT:
        assert_optimal(name, instance, solution, on_the_grid=False)


@every_solver
@pytest.mark.parametrize("sizes", [{"cardinality": 30}, {"max_cardinality": 10}, {"cardinality": 399}])
def test_the_wanted_size_is_honoured_at_width(name, sizes):
    run(name, draw("nsn", 400, 12, 0, **sizes), time_limit=1.0)


# ---------------------------------------------------------------------------------------- awkward rows


@every_solver
@pytest.mark.parametrize("sizes", [{}, {"cardinality": 4}])
def test_duplicate_rows(name, sizes):
    samples = np.repeat(np.random.default_rng(5).standard_normal((4, 2)), 3, axis=0)
    instance = Instance(samples, samples[[0, 1, 4, 9]].sum(axis=0), **sizes)
    solution = run(name, instance)
    if name in EXACT:
        assert_optimal(name, instance, solution, on_the_grid=False)


@every_solver
@pytest.mark.parametrize("row", [(0.5, -0.25), (1e-3, 1e3), (0.0, 0.0)])
def test_all_rows_equal(name, row):
    instance = Instance(np.tile(row, (10, 1)), np.array(row) * 3.75)
    solution = run(name, instance)
    if name in EXACT:
        assert_optimal(name, instance, solution, on_the_grid=False)


@every_solver
@pytest.mark.parametrize("sizes", [{}, {"cardinality": 5}, {"max_cardinality": 2}])
def test_zero_rows(name, sizes):
    samples = np.zeros((10, 2))
    samples[::2] = np.random.default_rng(6).integers(-8, 9, (5, 2)) / 8
    instance = Instance(samples, samples[2] + samples[4] + 0.03125, **sizes)
    solution = run(name, instance)
    if name in EXACT:
        assert_optimal(name, instance, solution)


@every_solver
def test_only_zero_rows(name):
    instance = Instance(np.zeros((6, 2)), [0.5, -1.0])
    solution = run(name, instance)
    assert solution.error == 1.0
    if name in EXACT:
        assert solution.status is Status.OPTIMAL


@every_solver
@pytest.mark.parametrize("unit", [1e300, 1e-300, 2.0**-1060, 5e-324])
@pytest.mark.parametrize("sizes", [{}, {"cardinality": 4}])
def test_huge_and_tiny_scales(name, unit, sizes):
    rng = np.random.default_rng(7)
    samples = rng.integers(-1000, 1000, (10, 2)) * unit
    instance = Instance(samples, np.array([123.0, -77.0]) * unit, **sizes)
    solution = run(name, instance)
    if name in EXACT:
        assert_optimal(name, instance, solution, on_the_grid=unit < 1e-310)  # multiples of a power of two


@every_solver
def test_one_huge_row_among_small_ones(name):
    samples = np.array([[1e300], [0.5], [0.25], [0.125], [-1e300], [3.0]])
    solution = run(name, Instance(samples, [0.7]))
    if name in QUICK_EXACT:
        assert_optimal(name, Instance(samples, [0.7]), solution)


@every_exact_solver
def test_cancellation_that_doubles_cannot_see(name):
    samples = [[1e16], [1.0], [-1e16], [3.0], [-1.0]]
    instance = Instance(samples, [2.5])
    assert_optimal(name, instance, run(name, instance), on_the_grid=False)


# ---------------------------------------------------------------------------------------- tolerance


@every_exact_solver
def test_the_tolerance_is_inclusive(name):
    rng = np.random.default_rng(8)
    samples = rng.integers(-50, 50, (10, 2)).astype(float)
    instance = Instance(samples, samples[:4].sum(axis=0) + np.array([0.25, -0.125]))
    assert oracle_optimum(instance) == Fraction(1, 4)
    solution = run(name, instance, tolerance=0.25)
    assert solution.error == 0.25
    assert solution.status in (Status.WITHIN_TOLERANCE, Status.OPTIMAL)


@every_exact_solver
@pytest.mark.parametrize("tolerance", [0.0, 0.1, math.nextafter(0.25, 0)])
def test_an_unreachable_tolerance_is_proved_unreachable(name, tolerance):
    rng = np.random.default_rng(8)
    samples = rng.integers(-50, 50, (10, 2)).astype(float)
    instance = Instance(samples, samples[:4].sum(axis=0) + np.array([0.25, -0.125]))
    solution = run(name, instance, tolerance=tolerance)
    assert solution.status in (Status.OPTIMAL, Status.BEST_FOUND)
    assert solution.error > tolerance
    assert solution.lower_bound >= tolerance  # for an optimum, rounded down from the error: it may touch
    assert solution.status is Status.OPTIMAL or solution.lower_bound > tolerance


@every_solver
@pytest.mark.parametrize("tolerance", [0.0, 1e-6, 0.1, 10.0])
@pytest.mark.parametrize("sizes", [{}, {"cardinality": 6}])
def test_any_tolerance_gives_a_consistent_status(name, tolerance, sizes):
    instance = draw("normal", 12, 2, 9, **sizes)
    solution = run(name, instance, tolerance=tolerance)
    if name in EXACT:
        assert (solution.error <= tolerance) == (oracle_optimum(instance) <= Fraction(tolerance))


# ---------------------------------------------------------------------------------------- limits


@every_solver
@pytest.mark.timeout(60)  # a hang, not a slow machine
@pytest.mark.parametrize("time_limit", [0.0, 0.05])
@pytest.mark.parametrize("sizes", [{}, {"cardinality": 12}])
def test_a_small_time_limit_ends_in_a_valid_answer(name, time_limit, sizes):
    instance = draw("normal", 24, 6, 10, **sizes)
    run(name, instance, time_limit=0.2)  # compiles
    solution = run(name, instance, time_limit=time_limit)
    if solution.stats["stopped_by"] == "time":
        assert solution.seconds >= time_limit


@every_solver
def test_a_clock_that_leaps_ends_the_search(name):
    instance = draw("normal", 20, 3, 11)
    ticks = itertools.count()
    limits = Limits(time_limit=1.0, clock=lambda: 100.0 * next(ticks))
    skip_if_refused(name, instance)
    solution = solve_within(instance, make_solver(name), limits)
    check(instance, solution)
    assert solution.seconds >= 100.0


@every_solver
@pytest.mark.parametrize("work", [1, 100, 20_000])
@pytest.mark.parametrize("sizes", [{}, {"cardinality": 9}, {"max_cardinality": 5}])
def test_limited_work_gives_the_same_valid_answer_twice(name, work, sizes):
    instance = draw("nsn", 18, 3, 12, **sizes)
    first = run(name, instance, max_work=work, time_limit=30.0)
    second = run(name, instance, max_work=work, time_limit=30.0)
    assert first.subset.tolist() == second.subset.tolist()
    assert first.lower_bound == second.lower_bound
    assert first.stats["work"] == second.stats["work"]


@every_solver
@pytest.mark.parametrize("seed", [0, 7, 2**64 - 1])
def test_the_same_seed_twice_gives_the_same_subset(name, seed):
    instance = draw("nsn", 16, 4, 13)
    first, second = (run(name, instance, seed=seed) for _ in range(2))
    assert first.stats["stopped_by"] != "time"
    assert first.subset.tolist() == second.subset.tolist()


@every_solver
def test_the_same_seed_twice_at_width(name):
    instance = draw("nsn", 600, 20, 14)
    first, second = (run(name, instance, seed=3, max_work=10**6, time_limit=20.0) for _ in range(2))
    assert first.stats["stopped_by"] != "time"
    assert first.subset.tolist() == second.subset.tolist()


@every_solver
def test_a_solver_leaves_the_instance_alone(name):
    instance = draw("normal", 10, 3, 15)
    samples, target = instance.samples.copy(), instance.target.copy()
    run(name, instance)
    assert np.array_equal(instance.samples, samples)
    assert np.array_equal(instance.target, target)
    assert not instance.samples.flags.writeable


@every_solver
def test_many_targets_are_answered_as_one_by_one(name):
    samples = draw("normal", 10, 2, 16).samples
    targets = np.random.default_rng(17).uniform(-1, 1, (3, 2))
    skip_if_refused(name, Instance(samples, targets[0], cardinality=4))
    many = solve_many(samples, targets, cardinality=4, solver=name, time_limit=SECONDS)
    for target, solution in zip(targets, many, strict=True):
        alone = run(name, Instance(samples, target, cardinality=4))
        assert solution.subset.tolist() == alone.subset.tolist()
        assert solution.error == alone.error


# ---------------------------------------------------------------------------------------- quality


@every_exact_solver
@pytest.mark.parametrize("sizes", [{}, {"cardinality": 4}, {"max_cardinality": 3}], ids=str)
@pytest.mark.parametrize("law", ["uniform", "normal", "nsn", "integers", "positive", "exponents"])
@pytest.mark.parametrize(("n", "d"), [(9, 1), (11, 2), (10, 5)])
def test_exact_solvers_prove_the_oracles_optimum(name, law, n, d, sizes):
    instance = draw(law, n, d, 100 * n + d, **sizes)
    assert_optimal(name, instance, run(name, instance), on_the_grid=law == "integers")


@pytest.mark.parametrize("name", QUICK_EXACT)
def test_the_exact_agree_where_the_oracle_is_too_slow(name):
    for seed, sizes in enumerate([{}, {"cardinality": 10}, {"max_cardinality": 6}]):
        instance = draw("normal", 20, 2, seed, **sizes)
        solution = run(name, instance)
        assert solution.status is Status.OPTIMAL
        assert solution.error == run("brute_force", instance).error


@pytest.mark.parametrize("name", HEURISTIC)
@pytest.mark.parametrize("law", ["uniform", "normal", "nsn", "positive", "exponents"])
@pytest.mark.parametrize(("n", "d"), [(12, 3), (100, 10), (1000, 30)])
def test_heuristics_beat_the_trivial(name, law, n, d):
    instance = draw(law, n, d, n + d)
    solution = run(name, instance, time_limit=SHORT.get(name, SECONDS))
    assert solution.error <= np.abs(instance.target).max()
    rng = np.random.default_rng(18)
    for _ in range(8):
        subset = np.flatnonzero(rng.random(n) < 0.5)
        assert solution.error <= np.abs(instance.samples[subset].sum(axis=0) - instance.target).max()


@pytest.mark.parametrize("name", HEURISTIC)
def test_heuristics_of_fixed_size_beat_a_few_random_subsets(name):
    instance = draw("nsn", 200, 10, 19, cardinality=60)
    solution = run(name, instance, time_limit=SHORT.get(name, SECONDS))
    rng = np.random.default_rng(20)
    for _ in range(8):
        subset = rng.permutation(200)[:60]
        assert solution.error <= np.abs(instance.samples[subset].sum(axis=0) - instance.target).max()


# ---------------------------------------------------------------------------------------- properties

numbers = st.one_of(
    st.integers(-8, 8).map(lambda i: i / 4),
    st.floats(-1000.0, 1000.0, allow_subnormal=False).map(lambda x: 0.0 if abs(x) < 1e-30 else x),
)


@st.composite
def instances(draw_from, largest_n: int = 8, largest_d: int = 3):
    n, d = draw_from(st.integers(1, largest_n)), draw_from(st.integers(1, largest_d))
    rows = st.lists(numbers, min_size=d, max_size=d)
    samples = draw_from(st.lists(rows, min_size=n, max_size=n))
    sizes = {}
    limit = draw_from(st.sampled_from([None, "cardinality", "max_cardinality"]))
    if limit is not None:
        sizes[limit] = draw_from(st.integers(0, n))
    return Instance(samples, draw_from(rows), **sizes)


def changed(instance: Instance, samples, target) -> Instance:
    return Instance(samples, target, instance.cardinality, instance.max_cardinality)


def properties(examples: int):
    return settings(derandomize=True, max_examples=examples, deadline=None, database=None)


def same_optimum(name: str, before: Instance, after: Instance, factor: float = 1.0) -> None:
    """Both answers are valid, and the exact solvers find the same error, times the factor."""
    old, new = run(name, before), run(name, after)
    if name in QUICK_EXACT:
        assert old.status is new.status is Status.OPTIMAL
        assert new.error == old.error * factor
    elif name in EXACT and old.status is new.status is Status.OPTIMAL:
        assert new.error == old.error * factor


def count_of_examples(name: str) -> int:
    return 12 if name == "cp_sat" else 40


@every_solver
def test_permuting_rows_changes_nothing(name):
    @properties(count_of_examples(name))
    @given(instances(), st.randoms(use_true_random=False))
    def permuted(instance, random):
        order = list(range(instance.n))
        random.shuffle(order)
        same_optimum(name, instance, changed(instance, instance.samples[order], instance.target))

    permuted()


@every_solver
def test_negating_everything_changes_nothing(name):
    @properties(count_of_examples(name))
    @given(instances())
    def negated(instance):
        same_optimum(name, instance, changed(instance, -instance.samples, -instance.target))

    negated()


@every_solver
def test_scaling_by_a_power_of_two_scales_the_error(name):
    @properties(count_of_examples(name))
    @given(instances(), st.integers(-300, 300))
    def scaled(instance, exponent):
        factor = 2.0**exponent
        same_optimum(name, instance, changed(instance, instance.samples * factor, instance.target * factor), factor)

    scaled()


@every_solver
def test_zero_rows_change_nothing_without_a_size(name):
    @properties(count_of_examples(name))
    @given(instances(), st.integers(1, 3))
    def padded(instance, count):
        samples = np.vstack([instance.samples, np.zeros((count, instance.d))])
        free = Instance(instance.samples, instance.target, None, instance.max_cardinality)
        same_optimum(name, free, changed(free, samples, instance.target))

    padded()


@every_solver
def test_swapping_coordinates_changes_nothing(name):
    @properties(count_of_examples(name))
    @given(instances())
    def reversed_columns(instance):
        same_optimum(name, instance, changed(instance, instance.samples[:, ::-1], instance.target[::-1]))

    reversed_columns()


@pytest.mark.parametrize("name", EXACT)
def test_exact_solvers_prove_the_oracles_optimum_of_anything_small(name):
    @properties(25 if name == "cp_sat" else 100)
    @given(instances(largest_n=7))
    def optimal(instance):
        assert_optimal(name, instance, run(name, instance), on_the_grid=name != "cp_sat")

    optimal()
