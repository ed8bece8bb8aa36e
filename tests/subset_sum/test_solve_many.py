"""Many instances in one call against one call each, the oracle, and plain loops."""

from __future__ import annotations

import itertools
import math
import signal
from fractions import Fraction

import numpy as np
import pytest
from exact_cases import CASES
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import best_error, rounded_up

from sslth.errors import InvalidInputError
from sslth.subset_sum import solve_many as module
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.kernels.many import FAR, merge_halves, put_rows_on_grid, put_target_on_grid, recompute_errors
from sslth.subset_sum.kernels.many_lines import meet_in_line, search_sorted_sums
from sslth.subset_sum.kernels.many_windows import build_halves, join_halves, join_windows
from sslth.subset_sum.solution import Solution, Solutions, Status
from sslth.subset_sum.solve import solve
from sslth.subset_sum.solve_many import solve_many
from sslth.subset_sum.solvers.meet_in_the_middle import MeetInTheMiddle
from sslth.subset_sum.verify import verify

SIZES = [{}, {"cardinality": 3}, {"max_cardinality": 2}]


def both_ways(kernel):
    return pytest.mark.parametrize("run", [kernel, getattr(kernel, "py_func", kernel)], ids=["jit", "plain"])


def check_against_one_by_one(samples, targets, name="meet_in_the_middle", tolerance=None, **sizes) -> Solutions:
    """The same statuses and errors as `solve`, a minimiser where it proves one, and every error that of its subset."""
    many = solve_many(samples, targets, solver=name, tolerance=tolerance, **sizes)
    assert len(many) == len(targets)
    for index, (target, answer) in enumerate(zip(targets, many, strict=True)):
        instance = Instance(samples if np.ndim(samples) == 2 else samples[index], target, **sizes)
        alone = solve(instance, name, tolerance)
        assert answer.stats["stopped_by"] == alone.stats["stopped_by"]
        found_zero = alone.stats["stopped_by"] == "tolerance" and 0.0 in (answer.error, alone.error)
        assert answer.status is alone.status or found_zero
        assert answer.error == verify(instance, answer.subset).error
        assert instance.smallest_size <= answer.subset.size <= instance.largest_size
        assert alone.lower_bound <= answer.lower_bound <= answer.error or tolerance is not None
        if alone.stats["stopped_by"] == "proof":
            assert answer.error == alone.error
        elif tolerance is not None:
            assert answer.error <= tolerance
            assert index in many.singles or answer.lower_bound == 0.0
    return many


# ------------------------------------------------------------------------------ as `solve`, one by one


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_hard_cases_get_the_oracles_optimum(name, sizes):
    samples, target = (np.asarray(part, dtype=float) for part in CASES[name])
    targets = np.stack([target, -target, target / 2, samples[1] + samples[4], np.zeros_like(target)])
    optima = [rounded_up(best_error(samples, row, **sizes)) for row in targets]
    for given_samples in (samples, np.stack([samples] * 5)):
        many = check_against_one_by_one(given_samples, targets, **sizes)
        assert many.errors.tolist() == optima
        for bound, row in zip(many.lower_bounds, targets, strict=True):
            assert Fraction(bound) <= best_error(samples, row, **sizes)
        assert all(status is Status.OPTIMAL for status in many.statuses)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_hard_cases_with_a_tolerance_at_and_below_the_optimum(name, sizes):
    samples, target = (np.asarray(part, dtype=float) for part in CASES[name])
    optimum = solve(Instance(samples, target, **sizes)).error
    for tolerance in (optimum, np.nextafter(optimum, 0), 0.0, 2 * optimum, math.inf):
        check_against_one_by_one(np.stack([samples] * 2), np.stack([target] * 2), tolerance=tolerance, **sizes)
        check_against_one_by_one(samples, np.stack([target] * 2), tolerance=tolerance, **sizes)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("tolerance", [None, 0.01, 1e-4])
@pytest.mark.parametrize(("n", "d"), [(1, 1), (2, 1), (3, 2), (9, 1), (10, 1), (10, 3), (11, 2)])
def test_drawn_instances(n, d, tolerance, shared):
    rng = np.random.default_rng(100 * n + d)
    for sizes, name in zip(SIZES, ("auto", "meet_in_the_middle", "brute_force"), strict=True):
        samples = rng.standard_normal((n, d) if shared else (6, n, d))
        sizes = {key: min(value, n) for key, value in sizes.items()}
        check_against_one_by_one(samples, rng.uniform(-1, 1, (6, d)), name, tolerance, **sizes)


def test_21_uniform_rows():
    rng = np.random.default_rng(3)
    samples, targets = rng.uniform(-1, 1, (3, 21, 1)), rng.uniform(-1, 1, (3, 1))
    assert not check_against_one_by_one(samples, targets).singles
    assert not check_against_one_by_one(samples[0], targets).singles
    assert check_against_one_by_one(samples, targets, tolerance=0.01).by_tolerance.all()


@pytest.mark.parametrize("length", [1, 4, 9])
def test_every_length_of_the_sorted_list_gives_the_same_answers(length, monkeypatch):
    rng = np.random.default_rng(length)
    for samples in (rng.standard_normal((9, 1)), rng.integers(-9, 9, (9, 1)) * 5e-324, np.full((9, 1), 0.1)):
        targets = rng.permutation(np.linspace(-1.3, 1.3, 40))[:, None] * np.abs(samples).sum()
        for tolerance in (None, 0.02):
            monkeypatch.setattr(module, "_sorted_list_rows", lambda *_: None)
            pointers = solve_many(samples, targets, tolerance=tolerance)
            monkeypatch.setattr(module, "_sorted_list_rows", lambda *_: length)
            in_list = solve_many(samples, targets, tolerance=tolerance)
            proven = ~pointers.by_tolerance
            assert in_list.by_tolerance.tolist() == pointers.by_tolerance.tolist()
            assert in_list.errors[proven].tolist() == pointers.errors[proven].tolist()


def test_a_list_is_chosen_for_many_targets_and_two_pointers_for_one():
    assert module._sorted_list_rows(21, 100_000) > 14
    assert module._sorted_list_rows(30, 1) is None


def test_near_ties_are_left_to_solve():
    rows = np.array([0.1, 0.1, 0.2, 0.3, 0.7, 1 / 3, 1e9])[:, None]  # the grid is coarser than the rows
    many = check_against_one_by_one(np.stack([rows] * 3), np.array([[0.35], [0.11], [0.29]]))
    assert set(many.singles) == {1, 2}  # two rows of 0.1; 0.1 + 0.2 beside 0.3
    assert many.errors.tolist() == [rounded_up(best_error(rows, [target])) for target in (0.35, 0.11, 0.29)]


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("d", [1, 2])
def test_a_target_between_two_steps_of_the_grid(d, shared):
    samples = np.zeros((3, d))
    samples[:, 0] = [1.0, 2.0**-50, 0.5]
    targets = np.zeros((2, d))
    targets[:, 0] = 2.0**-51 * (1 + np.array([-1, 1]) * 2.0**-52)  # as integers both are as far from 0 as from 2**-50
    many = check_against_one_by_one(samples if shared else np.stack([samples] * 2), targets)
    assert many.masks[:, 1].tolist() == [False, True]


@pytest.mark.parametrize("d", [1, 2])
def test_errors_of_a_few_steps_of_the_grid(d):
    rng = np.random.default_rng(d)
    samples = rng.integers(-40, 41, (150, 7, d)) * 2.0**-27 + rng.uniform(-1, 1, (150, 7, d)) * 2.0**-27
    samples[:, 6, 0] = 2.0**34  # steps of 2**-25
    targets = rng.uniform(-60, 60, (150, d)) * 2.0**-27
    for sizes in SIZES:
        many = solve_many(samples, targets, **sizes)
        assert many.singles
        for index in range(0, 150, 1 if d == 2 else 5):
            assert many.errors[index] == rounded_up(best_error(samples[index], targets[index], **sizes))


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_targets_out_of_reach_are_searched_together(sizes, monkeypatch):
    samples = np.random.default_rng(0).uniform(-1, 1, (7, 1))
    targets = np.array([[100.0], [-1e300], [30.0], [-8.0]])
    monkeypatch.setattr(module, "_sorted_list_rows", lambda *_: 5)
    for rows, tolerance in itertools.product((samples, np.stack([samples] * 4)), (None, 0.5)):
        assert not check_against_one_by_one(rows, targets, tolerance=tolerance, **sizes).singles
    check_against_one_by_one(samples, targets, tolerance=95.0, **sizes)


# --------------------------------------------------------------------------------- limits and refusals


def test_limits_that_could_matter_are_those_of_each_target():
    rng = np.random.default_rng(0)
    samples, targets = rng.standard_normal((16, 2)), rng.uniform(-1, 1, (2, 2))
    for limits in ({"max_work": 100}, {"time_limit": 0.0}, {"solver": MeetInTheMiddle(1 << 20)}):
        many = solve_many(samples, targets, **limits)
        assert set(many.singles) == {0, 1}
        assert [solution.stats["stopped_by"] for solution in many] != ["done"] * 2
    stopped = solve_many(samples, targets, solver="brute_force", max_work=100)
    assert [(s.status, s.stats["stopped_by"], s.stats["work"]) for s in stopped] == [
        (Status.BEST_FOUND, "work", 100)
    ] * 2
    assert not solve_many(samples, targets, max_work=1 << 40).singles
    assert not solve_many(samples, targets, time_limit=None).singles


def test_many_rows_and_heuristics_go_one_by_one():
    rng = np.random.default_rng(0)
    samples, targets = rng.standard_normal((60, 9)), rng.uniform(-1, 1, (2, 9))
    for norm in ("sup", "l2"):
        many = solve_many(samples, targets, solver="sorted_pursuit", norm=norm)
        alone = [solve(Instance(samples, target), "sorted_pursuit", norm=norm) for target in targets]
        assert many.errors.tolist() == [solution.error for solution in alone]
        assert [solution.solver for solution in many] == ["sorted_pursuit"] * 2


def test_a_refusal_of_the_named_solver_stays():
    with pytest.raises(InvalidInputError, match="24 rows"):
        solve_many(np.ones((25, 1)), [[1.0]], solver="brute_force")
    with pytest.raises(InvalidInputError, match="l2"):
        solve_many(np.ones((5, 1)), [[1.0]], solver="meet_in_the_middle", norm="l2")


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [((1, 2, 0), math.nan, "samples[(1, 2, 0)] is nan"), ((0, 0, 1), -math.inf, "samples[(0, 0, 1)] is -inf")],
)
def test_the_place_of_a_bad_sample_is_named(place, value, said):
    samples = np.ones((2, 3, 2))
    samples[place] = value
    with pytest.raises(InvalidInputError) as caught:
        solve_many(samples, np.ones((2, 2)))
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("samples", "targets", "options", "said"),
    [
        (np.full((2, 2, 1), 1e308), [[1.0], [1.7e308]], {}, "column 0 for target 0 overflow"),
        ([[1.0]], [[0.0], [math.inf]], {}, "targets[(1, 0)] is inf"),
        ([["a"]], [[0.0]], {}, "samples has dtype"),
        ([[2**60]], [[0.0]], {}, "which float64 cannot hold"),
        ([[1.0]], [[0.0]], {"cardinality": -1}, "cardinality is -1"),
        ([[1.0]], [[0.0]], {"tolerance": -1.0}, "tolerance is -1.0"),
        ([[1.0]], [[0.0]], {"solver": "none"}, "no solver named"),
    ],
)
def test_bad_input_is_one_sentence(samples, targets, options, said):
    with pytest.raises(InvalidInputError) as caught:
        solve_many(samples, targets, **options)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_callers_arrays_are_neither_changed_nor_kept():
    samples, targets = np.ones((4, 5, 1)), np.full((4, 1), 2.5)
    many = solve_many(samples, targets)
    assert (samples == 1).all()
    assert samples.flags.writeable
    samples[:] = 7.0
    assert many[3].error == 0.5


def test_other_kinds_of_arrays():
    rng = np.random.default_rng(1)
    samples = rng.integers(-50, 50, (3, 8, 2))
    targets = rng.integers(-50, 50, (3, 2))
    expected = solve_many(samples.astype(float), targets.astype(float))
    for kind in (np.int16, np.float32):
        assert solve_many(samples.astype(kind), targets.astype(kind)).errors.tolist() == expected.errors.tolist()
    fortran = np.asfortranarray(samples.astype(float))
    fortran.flags.writeable = False
    assert solve_many(fortran, targets.tolist()).errors.tolist() == expected.errors.tolist()


def test_ctrl_c_ends_the_search_of_many(monkeypatch):
    monkeypatch.setattr(module, "recompute_errors", lambda *_: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        solve_many(np.ones((5, 1)), np.ones((100, 1)))


# -------------------------------------------------------------------------------------------- answers


def test_answers_are_made_when_asked_for():
    rng = np.random.default_rng(2)
    samples, targets = rng.uniform(-1, 1, (50, 12, 1)), rng.uniform(-1, 1, (50, 1))
    many = solve_many(samples, targets)
    assert not many.singles
    assert isinstance(many[-1], Solution)
    assert many[-1].subset.tolist() == np.flatnonzero(many.masks[49]).tolist()
    assert many[np.int64(7)].error == many.errors[7]
    assert [solution.error for solution in many[3:6]] == many.errors[3:6].tolist()
    assert [solution.mask.tolist() for solution in many] == many.masks.tolist()
    assert [solution.status for solution in many] == many.statuses
    assert many[0].stats["stopped_by"] == "proof"
    assert many[0].stats["work"] > 0
    assert (many.seconds > 0).all()
    with pytest.raises(IndexError):
        many[50]
    with pytest.raises(ValueError, match="read-only"):
        many.errors[0] = 0.0


# -------------------------------------------------------------------------------------------- kernels


def integers(size, largest=40):
    return st.lists(st.integers(-largest, largest), min_size=size, max_size=size).map(sorted)


@both_ways(meet_in_line)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_two_walks_find_the_best_and_know_of_others_in_the_band(run, data):
    size = data.draw(st.integers(1, 9))
    a, b = (np.array(data.draw(integers(size))) for _ in range(2))
    goal, band = data.draw(st.integers(-90, 90)), data.draw(st.sampled_from([-1, 2, 6]))
    errors = sorted(abs(x + y - goal) for x, y in itertools.product(a.tolist(), b.tolist()))
    best, second, at_a, at_b = run(a, b, goal, FAR, FAR, band, -1)
    assert best == errors[0] == abs(a[at_a] + b[at_b] - goal)
    if band >= 0:
        assert (second <= best + band) == (len(errors) > 1 and errors[1] <= best + band)
    assert tuple(run(a, b, goal, 0, FAR, -1, -1)) == (0, FAR, -1, -1)


@both_ways(search_sorted_sums)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_the_sorted_list_finds_the_best_and_knows_of_others_in_the_band(run, data):
    keys = np.array(data.draw(integers(data.draw(st.integers(1, 20)))))
    others = np.array(data.draw(st.permutations(data.draw(integers(3)))))
    goals = np.array(data.draw(integers(5, 90)))
    slack = data.draw(st.sampled_from([0, 1, 3]))
    points, slacks = np.full(5, -1), np.full(5, slack)
    best, second = np.full((2, 5), FAR)
    at_key, at_other = np.zeros((2, 5), dtype=np.int64)
    run(keys, others, goals, points, slacks, best, second, at_key, at_other, 0, 5)
    for k, goal in enumerate(goals.tolist()):
        errors = sorted(abs(x + y - goal) for x, y in itertools.product(keys.tolist(), others.tolist()))
        assert best[k] == errors[0] == abs(keys[at_key[k]] + others[at_other[k]] - goal)
        if slack:
            assert (second[k] <= best[k] + 2 * slack) == (errors[1] <= best[k] + 2 * slack)


@both_ways(join_windows)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_windows_find_the_best_of_the_allowed_sizes(run, data):
    size = data.draw(st.integers(1, 8))
    keys = [np.array(data.draw(integers(size))) for _ in range(2)]
    rest = [np.array(data.draw(integers(size)))[:, None] for _ in range(2)]
    counts = [np.array(data.draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))) for _ in range(2)]
    goal = np.array(data.draw(st.tuples(st.integers(-90, 90), st.integers(-90, 90))))
    smallest, largest = sorted((data.draw(st.integers(0, 6)), data.draw(st.integers(0, 6))))
    bound, band = data.draw(st.sampled_from([5, 30, FAR])), data.draw(st.sampled_from([-1, 0, 4]))
    best, second, at_a, at_b, work = run(
        keys[0], rest[0], counts[0], keys[1], rest[1], counts[1], goal, smallest, largest, bound, FAR, FAR, band, -1
    )
    errors = {
        (i, j): max(abs(keys[0][i] + keys[1][j] - goal[0]), abs(rest[0][i, 0] + rest[1][j, 0] - goal[1]))
        for i, j in itertools.product(range(size), repeat=2)
        if smallest <= counts[0][i] + counts[1][j] <= largest
    }
    within = sorted(error for error in errors.values() if error <= bound)
    assert work >= size
    if not within:
        assert (best, second, at_a, at_b) == (FAR, FAR, -1, -1)
        return
    assert best == within[0] == errors[at_a, at_b]
    if band >= 0:
        limit = min(bound, best + band)
        assert (second <= limit) == (len(within) > 1 and within[1] <= limit)


@both_ways(merge_halves)
def test_merged_halves_are_the_sorted_sums_of_their_codes(run):
    rows = np.random.default_rng(4).integers(-20, 20, (2, 5))
    keys, codes = np.zeros((2, 64), dtype=np.int64), np.zeros((2, 64), dtype=np.int32)
    for level in range(5):
        run(keys, codes, level, rows[0, level], rows[1, level])
    for half in range(2):
        assert sorted(codes[half, 32:].tolist()) == list(range(32))
        sums = [sum(int(rows[half, j]) for j in range(5) if code >> j & 1) for code in codes[half, 32:].tolist()]
        assert keys[half, 32:].tolist() == sorted(sums) == sums


@pytest.mark.parametrize(("smallest", "largest"), [(0, 7), (2, 2), (0, 1), (6, 7)])
def test_halves_hold_every_sum_that_an_allowed_subset_can_contain(smallest, largest):
    rows = np.random.default_rng(5).integers(-20, 20, (7, 3))
    keys, codes = np.zeros((2, 16), dtype=np.int64), np.zeros((2, 16), dtype=np.int32)
    rest, counts = np.zeros((2, 8, 2), dtype=np.int64), np.zeros((2, 8), dtype=np.int64)
    starts = np.zeros((2, 5), dtype=np.int64)
    build_halves(rows, smallest, largest, keys, codes, rest, counts, starts)
    for half in range(2):
        size = starts[half, -1] if smallest == largest else starts[half, 1]
        kept = codes[half, :size].tolist()
        assert set(kept) >= {c for c in range(8) if smallest - 4 <= c.bit_count() <= largest}
        for place, code in enumerate(kept):
            total = sum(rows[3 * half + j] for j in range(3) if code >> j & 1) + np.zeros(3)
            assert [keys[half, place], *rest[half, place]] == total.tolist()
            assert counts[half, place] == code.bit_count()
    planted = [1, 4, 0, 3, 2, 5][: max(smallest, 1)]
    goal = rows[planted].sum(axis=0)
    best, _, at_a, at_b, _ = join_halves(keys, rest, counts, starts, goal, smallest, largest, FAR, FAR, FAR, -1, -1)
    assert best == 0
    assert [codes[0, at_a], codes[1, at_b]] == [sum(1 << j for j in range(3) if 3 * s + j in planted) for s in (0, 1)]


@both_ways(recompute_errors)
@pytest.mark.parametrize("name", CASES)
def test_recomputed_errors_are_those_of_verify(run, name):
    samples, target = (np.asarray(part, dtype=float) for part in CASES[name])
    masks = np.random.default_rng(6).random((40, samples.shape[0])) < 0.5
    targets = np.stack([target] * 40)
    errors, rounded = np.empty(40), np.zeros(40, dtype=np.int8)
    run(samples[None], targets, masks, errors, rounded, 0, 40)
    for index in range(40):
        instance = Instance(samples, target)
        certificate = verify(instance, np.flatnonzero(masks[index]))
        if rounded[index] < 2:
            assert errors[index] == certificate.error
            exact = max(
                abs(sum((Fraction(x) for x in samples[masks[index], c]), -Fraction(target[c])))
                for c in range(instance.d)
            )
            assert (Fraction(errors[index]) == exact) == (rounded[index] == 0)


def test_a_lost_bit_is_reported_and_the_error_is_still_exact():
    samples = np.array([[1e200], [1.0], [1e-200], [-1e200]])
    errors, rounded = np.empty(1), np.zeros(1, dtype=np.int8)
    recompute_errors(samples[None], np.zeros((1, 1)), np.ones((1, 4), dtype=bool), errors, rounded, 0, 1)
    assert rounded[0] == 2
    many = solve_many(samples, [[0.5], [1.0]], cardinality=4)
    assert many.errors.tolist() == [rounded_up(Fraction(1e-200) + Fraction(1, 2)), 1e-200]


@pytest.mark.parametrize("scale", [1.0, 1e300, 5e-324, 1e-310])
def test_the_grid_bounds_its_rounding(scale):
    rng = np.random.default_rng(7)
    samples = (
        rng.standard_normal((6, 2)) * [scale, scale / 1024] if scale > 1e-300 else rng.integers(-9, 9, (6, 2)) * scale
    )
    target = samples[:4].sum(axis=0) / 3
    rows, goal = np.zeros((6, 2), dtype=np.int64), np.zeros(2, dtype=np.int64)
    exponent, worst = put_rows_on_grid(samples, rows)
    slack, outside = put_target_on_grid(target, rows, exponent, worst, goal)
    assert outside == 0
    step = Fraction(2) ** exponent
    assert (np.abs(rows).sum(axis=0) <= 2**60).all()
    for bits in range(64):
        chosen = [i for i in range(6) if bits >> i & 1]
        for c in range(2):
            true = abs(sum((Fraction(samples[i, c]) for i in chosen), -Fraction(target[c])))
            assert abs(true / step - abs(int(rows[chosen, c].sum()) - int(goal[c]))) <= slack
