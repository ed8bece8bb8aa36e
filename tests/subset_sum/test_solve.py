"""`solve` trusts nobody: limits are checked, and what a solver says is recomputed."""

from __future__ import annotations

import math
import signal
import threading
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import pytest

from sslth.errors import InvalidInputError
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits, interruptible
from sslth.subset_sum.solution import Outcome, Solution, Status, StoppedBy
from sslth.subset_sum.solve import solve, solve_within, solvers
from sslth.subset_sum.solve_many import solve_many

INSTANCE = Instance([[1.0], [2.0], [4.0]], [2.75])


@dataclass
class Fake:
    """Says what it is told to say, and remembers what it was asked."""

    outcome: Outcome
    name: str = "fake"
    asked: list[Limits] = field(default_factory=list)

    def __call__(self, instance: Instance, limits: Limits) -> Outcome:
        self.asked.append(limits)
        return self.outcome


def fake(subset, stopped_by=StoppedBy.DONE, **said) -> Fake:
    return Fake(Outcome(None if subset is None else np.array(subset, dtype=np.int64), stopped_by, **said))


# ------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tolerance": -1e-9}, "tolerance is -1e-09"),
        ({"tolerance": math.nan}, "tolerance is nan"),
        ({"tolerance": "0.1"}, "tolerance is '0.1'"),
        ({"tolerance": 1j}, "tolerance is 1j"),
        ({"time_limit": -1}, "time_limit is -1"),
        ({"time_limit": math.nan}, "time_limit is nan"),
        ({"time_limit": [1]}, "time_limit is [1]"),
        ({"max_work": 0}, "max_work is 0"),
        ({"max_work": -5}, "max_work is -5"),
        ({"max_work": 10.0}, "max_work is 10.0"),
        ({"max_work": "9"}, "max_work is '9'"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**64}, f"seed is {2**64}"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"seed": None}, "seed is None"),
        ({"solver": "gurobi"}, "no solver named 'gurobi'"),
        ({"solver": ""}, "no solver named ''"),
    ],
)
def test_limits_that_make_no_sense_are_refused(options, said):
    for call in (
        lambda: solve(INSTANCE, **options),
        lambda: solve_many(INSTANCE.samples, INSTANCE.target[None], **options),
    ):
        with pytest.raises(InvalidInputError) as caught:
            call()
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)


def test_limits_reach_the_solver():
    solver = fake([0])
    solve(INSTANCE, solver, tolerance=np.float32(0.5), time_limit=3, max_work=np.int32(7), seed=np.uint64(9))
    (limits,) = solver.asked
    assert (limits.tolerance, limits.time_limit, limits.max_work, limits.seed) == (0.5, 3.0, 7, 9)
    solve(INSTANCE, solver, time_limit=None)
    assert solver.asked[1].time_limit is None
    assert solver.asked[1].exceeded(10**18) is None


def test_limits_read_the_injected_clock():
    now = [50.0]
    limits = Limits(time_limit=2.0, max_work=10, clock=lambda: now[0])
    assert (limits.seconds, limits.seconds_left(), limits.exceeded(9)) == (0.0, 2.0, None)
    assert limits.exceeded(10) is StoppedBy.WORK
    assert (limits.work_left(4), limits.work_left(40)) == (6, 0)
    now[0] = 51.5
    assert (limits.seconds_left(), limits.exceeded()) == (0.5, None)
    now[0] = 52.0
    assert (limits.seconds_left(), limits.exceeded()) == (0.0, StoppedBy.TIME)
    now[0] = 60.0
    assert limits.seconds_left() == 0.0
    limits.interrupted.set()
    assert limits.exceeded(10) is StoppedBy.INTERRUPT
    free = Limits(clock=lambda: now[0])
    assert (free.seconds_left(), free.work_left(3), free.exceeded(10**18)) == (None, None, None)
    assert not free.is_met_by(0.0)
    assert Limits(tolerance=0.5).is_met_by(0.5)
    assert not Limits(tolerance=0.5).is_met_by(math.nextafter(0.5, 1))


def test_the_seconds_of_a_solution_are_those_of_the_clock():
    now = [0.0]

    class Slow:
        name = "slow"

        def __call__(self, instance, limits):
            while not limits.exceeded():
                now[0] += 0.25
            return Outcome(np.array([1]), StoppedBy.TIME)

    solution = solve_within(INSTANCE, Slow(), Limits(time_limit=1.0, clock=lambda: now[0]))
    assert (solution.seconds, solution.stats["stopped_by"]) == (1.0, "time")
    assert (solution.status, solution.error) == (Status.BEST_FOUND, 0.75)


@pytest.mark.parametrize(("late", "explained"), [(0.0, False), (0.19, False), (0.5, True)])
def test_a_missed_time_limit_says_why(late, explained):
    now = [0.0]

    class Late:
        name = "late"

        def __call__(self, instance, limits):
            now[0] = limits.time_limit + late
            return Outcome(np.array([1]), StoppedBy.TIME)

    stats = solve_within(INSTANCE, Late(), Limits(time_limit=1.0, clock=lambda: now[0])).stats
    assert ("late_because" in stats) is explained
    if explained:
        assert stats["late_seconds"] == 0.5
        assert "late was in a piece of work" in stats["late_because"]


def test_the_norm_of_the_error_is_what_was_asked_for():
    instance = Instance([[3.0, 4.0], [1.0, 0.0]], [0.0, 0.0], cardinality=1)
    for norm, error in (("sup", 1.0), ("l2", 1.0)):
        assert solve(instance, fake([1]), norm=norm).error == error
    for norm, error in (("sup", 4.0), ("l2", 5.0)):
        assert solve(instance, fake([0]), norm=norm).error == error
    rows = np.random.default_rng(3).standard_normal((1, 40))
    found = solve(Instance(rows, np.zeros(40), cardinality=1), fake([0]), norm="l2").error
    exact = sum(Fraction(x) ** 2 for x in rows.ravel().tolist())
    assert Fraction(math.nextafter(found, 0.0)) ** 2 < exact <= Fraction(found) ** 2
    with pytest.raises(InvalidInputError, match="knows the norm sup only"):
        solve(instance, "brute_force", norm="l2")
    with pytest.raises(InvalidInputError, match="'l3'"):
        solve(instance, norm="l3")
    free = Instance(np.random.default_rng(4).standard_normal((60, 8)), np.zeros(8), cardinality=20)
    by_length = solve(free, "local_search", norm="l2", max_work=200_000, time_limit=None)
    by_largest = solve(free, "local_search", max_work=200_000, time_limit=None)
    lengths = [np.linalg.norm(free.samples[found.subset].sum(axis=0)) for found in (by_length, by_largest)]
    assert by_length.error == pytest.approx(lengths[0])
    assert lengths[0] < lengths[1]


# ------------------------------------------------------------------------------------- solvers that lie


def test_the_error_is_recomputed_whatever_the_solver_says():
    solution = solve(INSTANCE, fake([2, 0], details={"error": 0.0, "subset": [1]}))
    assert (solution.error, solution.subset.tolist()) == (2.25, [0, 2])
    assert (solution.status, solution.solver) == (Status.BEST_FOUND, "fake")


def test_a_false_tolerance_is_not_passed_on():
    solution = solve(INSTANCE, fake([0], StoppedBy.TOLERANCE), tolerance=1.0)
    assert (solution.status, solution.error) == (Status.BEST_FOUND, 1.75)


def test_a_tolerance_met_without_saying_so_is_noticed():
    assert solve(INSTANCE, fake([1]), tolerance=0.75).status is Status.WITHIN_TOLERANCE
    assert solve(INSTANCE, fake([1]), tolerance=math.nextafter(0.75, 0)).status is Status.BEST_FOUND


def test_an_error_of_zero_is_optimal_without_a_proof():
    assert solve(Instance([[1.0]], [1.0]), fake([0])).status is Status.OPTIMAL


def test_a_bound_that_meets_the_error_is_a_proof():
    solution = solve(INSTANCE, fake([0, 1], lower_bound=0.25))
    assert (solution.status, solution.lower_bound) == (Status.OPTIMAL, 0.25)
    solution = solve(INSTANCE, fake([0, 1], lower_bound=0.125))
    assert (solution.status, solution.lower_bound) == (Status.BEST_FOUND, 0.125)


def test_a_proof_bounds_the_error_from_below():
    solution = solve(Instance([[0.1], [0.2]], [0.3]), fake([0, 1], StoppedBy.PROOF))
    assert solution.status is Status.OPTIMAL
    assert Fraction(solution.lower_bound) <= Fraction(1, 2**55) <= Fraction(solution.error)


@pytest.mark.parametrize("bound", [0.75, math.inf, math.nextafter(0.25, 1)])
def test_a_bound_above_the_error_is_a_broken_solver(bound):
    with pytest.raises(RuntimeError, match="fake"):
        solve(INSTANCE, fake([0, 1], lower_bound=bound))


@pytest.mark.parametrize("bound", [-1.0, -math.inf, math.nan])
def test_a_bound_that_says_nothing_is_zero(bound):
    assert solve(INSTANCE, fake([0, 1], lower_bound=bound)).lower_bound == 0.0


@pytest.mark.parametrize("sizes", [{"cardinality": 2}, {"max_cardinality": 0}])
@pytest.mark.parametrize("stopped_by", [StoppedBy.DONE, StoppedBy.PROOF])
def test_a_subset_of_the_wrong_size_is_a_broken_solver(sizes, stopped_by):
    instance = Instance(INSTANCE.samples, INSTANCE.target, **sizes)
    with pytest.raises(RuntimeError, match="fake"):
        solve(instance, fake([1], stopped_by))


@pytest.mark.parametrize("subset", [[3], [-1], [0, 0]])
def test_indices_that_do_not_exist_are_a_broken_solver_and_no_user_error(subset):
    with pytest.raises(RuntimeError, match="fake"):
        solve(INSTANCE, fake(subset))


@pytest.mark.parametrize("sizes", [{}, {"cardinality": 2}, {"max_cardinality": 1}])
def test_without_a_subset_any_of_the_wanted_size_is_returned(sizes):
    instance = Instance(INSTANCE.samples, INSTANCE.target, **sizes)
    solution = solve(instance, fake(None, StoppedBy.TIME))
    assert solution.status is Status.BEST_FOUND
    assert instance.smallest_size <= solution.subset.size <= instance.largest_size
    assert solution.stats["stopped_by"] == "time"


def test_a_proof_without_a_subset_is_a_broken_solver():
    with pytest.raises(RuntimeError, match="fake"):
        solve(INSTANCE, fake(None, StoppedBy.PROOF))


def test_an_infeasible_instance_reaches_no_solver():
    solver = fake([0])
    solution = solve(Instance([[1.0]], [0.0], cardinality=2), solver)
    assert solver.asked == []
    assert solution.status is Status.INFEASIBLE
    assert (solution.error, solution.lower_bound) == (math.inf, math.inf)
    assert solution.mask.tolist() == [False]
    assert "at least 2" in solution.stats["reason"]


def test_the_real_solver_may_be_named_in_the_details():
    solution = solve(INSTANCE, fake([1], details={"solver": "other", "rounds": 3}, work=12))
    peak = solution.stats.pop("peak_bytes")
    assert peak is None or peak > 0
    assert (solution.solver, solution.stats) == ("other", {"stopped_by": "done", "work": 12, "rounds": 3})


# --------------------------------------------------------------------------------------------------- Ctrl-C


class Interrupted:
    """Is interrupted once, twice or by its own hand."""

    name = "interrupted"

    def __init__(self, times: int) -> None:
        self.times = times

    def __call__(self, instance, limits):
        for _ in range(self.times):
            signal.raise_signal(signal.SIGINT)
        assert limits.exceeded() is StoppedBy.INTERRUPT
        return Outcome(np.array([1]), StoppedBy.INTERRUPT)


def test_the_first_ctrl_c_returns_the_best_so_far_and_the_handler_is_restored():
    before = signal.getsignal(signal.SIGINT)
    solution = solve(INSTANCE, Interrupted(1))
    assert (solution.status, solution.stats["stopped_by"]) == (Status.BEST_FOUND, "interrupt")
    assert signal.getsignal(signal.SIGINT) is before


def test_the_second_ctrl_c_raises():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        solve(INSTANCE, Interrupted(2))
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_ends_many_with_keyboard_interrupt():
    with pytest.raises(KeyboardInterrupt):
        solve_many(INSTANCE.samples, [[1.0], [2.0]], solver=Interrupted(1))


def test_another_thread_and_another_handler_are_left_alone():
    answers: list[Solution] = []
    thread = threading.Thread(target=lambda: answers.append(solve(INSTANCE, fake([1]))))
    thread.start()
    thread.join()
    assert answers[0].error == 0.75

    def mine(number, frame):
        raise AssertionError

    before = signal.signal(signal.SIGINT, mine)
    try:
        with interruptible(Limits()):
            assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)


# ------------------------------------------------------------------------------------------------ many


def test_shapes_of_many():
    rng = np.random.default_rng(0)
    samples, targets = rng.standard_normal((6, 2)), rng.uniform(-1, 1, (4, 2))
    shared = solve_many(samples, targets, solver="brute_force")
    apart = solve_many(np.stack([samples] * 4), targets, solver="brute_force")
    for many in (shared, apart):
        assert len(many) == 4
        assert (many.masks.shape, many.masks.dtype) == ((4, 6), np.bool_)
        assert (many.errors.shape, many.lower_bounds.shape) == ((4,), (4,))
        assert many.errors.dtype == many.lower_bounds.dtype == np.float64
        assert many.statuses == [Status.OPTIMAL] * 4
        assert isinstance(many[1], Solution)
        assert [solution.error for solution in many] == many.errors.tolist()
        assert np.all(many.lower_bounds <= many.errors)
    assert np.array_equal(shared.masks, apart.masks)
    assert repr(shared) == "Solutions(m=4)"


def test_many_infeasible():
    many = solve_many([[1.0]], [[0.0], [1.0]], cardinality=2)
    assert many.statuses == [Status.INFEASIBLE] * 2
    assert many.errors.tolist() == [math.inf] * 2
    assert not many.masks.any()


@pytest.mark.parametrize(
    ("samples", "targets", "said"),
    [
        ([[1.0]], [1.0], "(1,)"),
        ([[1.0]], 1.0, "()"),
        ([[1.0]], np.zeros((0, 1)), "(0, 1)"),
        ([1.0], [[1.0]], "(1,)"),
        (np.zeros((2, 3, 1)), np.zeros((3, 1)), "2 arrays"),
        (np.zeros((3, 2)), np.zeros((1, 1)), "1 entries"),
        (np.zeros((1, 0, 1)), np.zeros((1, 1)), "(0, 1)"),
        ([[1.0]], [[math.nan]], "nan"),
        ([[1.0], [1.0, 2.0]], [[0.0]], "samples"),
        ([[1.0]], [[0.0], [1.0, 2.0]], "targets"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(samples, targets, said):
    with pytest.raises(InvalidInputError) as caught:
        solve_many(samples, targets)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_solver_says_what_it_is_for():
    assert set(solvers()) >= {"auto", "brute_force", "meet_in_the_middle", "cp_sat"}
    assert all(purpose and "\n" not in purpose for purpose in solvers().values())


@pytest.mark.parametrize(
    "arguments",
    [{"tolerance": True}, {"max_work": True}, {"seed": True}, {"solver": 3}, {"max_work": 0}, {"seed": 0.5}],
)
def test_arguments_of_the_wrong_kind_are_refused(arguments: dict) -> None:
    with pytest.raises(InvalidInputError) as caught:
        solve(Instance([[1.0]], [1.0]), **arguments)
    assert "\n" not in str(caught.value)


def test_a_tolerance_beyond_float64_is_infinite() -> None:
    assert solve(Instance([[1.0]], [0.4]), tolerance=10**400).error <= 0.6
