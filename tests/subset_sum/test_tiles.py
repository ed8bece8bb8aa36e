"""Halves joined by cells and bytes: against brute force by itertools and Fraction, the Gray code, streams and cells."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from exact_cases import CASES, check_proof, true_error

from sslth.subset_sum.candidate_buffer import CandidateBuffer
from sslth.subset_sum.draw_instance import draw_instance
from sslth.subset_sum.exact import tiles, wanted_sums
from sslth.subset_sum.exact.cells import CellJoin
from sslth.subset_sum.exact.lists import quarter_lists
from sslth.subset_sum.exact.problem import HalvedProblem
from sslth.subset_sum.exact.search import Join, prove_optimum
from sslth.subset_sum.exact.streams import StreamJoin
from sslth.subset_sum.exact.tile_layout import TileLayout
from sslth.subset_sum.exact.tile_plan import LARGEST_WINDOW, _Pricing
from sslth.subset_sum.exact.tiles import TileJoin
from sslth.subset_sum.exact.top import TopCandidates
from sslth.subset_sum.exact.wanted_sums import WantedSums
from sslth.subset_sum.fixed_point import to_fixed_point
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import Outcome, StoppedBy
from sslth.subset_sum.solvers.brute_force import BruteForce
from sslth.subset_sum.solvers.meet_in_the_middle import MeetInTheMiddle

SIZES = [{}, {"cardinality": 0}, {"cardinality": 3}, {"cardinality": 6}, {"cardinality": 8}, {"max_cardinality": 2}]


@pytest.fixture(autouse=True, params=[False, True], ids=["all sums", "sums within reach"])
def _reaching(request, monkeypatch):
    """Small instances pass through the search for sums out of reach as well."""
    if request.param:
        monkeypatch.setattr(tiles, "_WORTH_REACHING", 0)


def by_tiles(instance: Instance, limits: Limits | None = None, threads: int = 1, way: str = "tiles") -> Outcome:
    """Meet in the middle in one of the three ways."""
    limits = limits or Limits()
    grid = to_fixed_point(instance)
    problem = HalvedProblem.of(instance, grid)
    join: Join = TileJoin(problem, limits, threads)
    if way == "streams":
        join = StreamJoin(problem, limits, threads)
    elif way == "cells":
        join = CellJoin(problem, grid.floor, limits)
    buffer = CandidateBuffer(instance, grid, limits, join.decode)
    proof = prove_optimum(problem, grid, join, buffer)
    return Outcome(buffer.best_subset(), proof.stopped_by, grid.lower_bound(proof.proven), join.work)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_the_optimum_is_exact(name, sizes):
    instance = Instance(*CASES[name], **sizes)
    check_proof(instance, by_tiles(instance))


@pytest.mark.parametrize("d", range(4, 13))
def test_equal_rows_zero_rows_and_ties(d):
    """Few small integers: many subsets have the same sum, many sums the same error, and some lie on edges of cells."""
    rng = np.random.default_rng(d)
    rows = rng.integers(-3, 4, (9, d)).astype(np.float64)
    rows[5] = rows[2]
    rows[7] = 0.0
    target = rng.integers(-2, 3, d) + np.where(np.arange(d) % 2, 0.5, 0.0)
    for sizes in ({}, {"cardinality": 4}, {"max_cardinality": 3}):
        instance = Instance(rows, target, **sizes)
        check_proof(instance, by_tiles(instance))
        check_proof(instance, by_tiles(Instance(rows * 0.1, target * 0.1, **sizes)))


@pytest.mark.needs_jit
@pytest.mark.parametrize("sizes", [{}, {"cardinality": 5}, {"cardinality": 14}, {"max_cardinality": 4}], ids=str)
@pytest.mark.parametrize("d", [1, 2, 4, 5, 7, 9, 12, 30])
def test_it_agrees_with_the_gray_code(d, sizes):
    rng = np.random.default_rng(d)
    for law in (rng.standard_normal((18, d)), rng.standard_normal((18, d)) * rng.standard_normal((18, 1)) ** 3):
        instance = Instance(law, rng.uniform(-1, 1, d), **sizes)
        exact = true_error(instance, BruteForce()(instance, Limits()).subset.tolist())
        for threads in (1, 2):
            check_proof(instance, by_tiles(instance, threads=threads), exact)


@pytest.mark.needs_jit
@pytest.mark.parametrize(
    ("law", "n", "d", "sizes"),
    [
        ("gaussian", 30, 4, {}),
        ("nsn", 30, 5, {}),
        ("uniform", 28, 6, {"cardinality": 11}),
        ("gaussian", 28, 9, {}),
        ("nsn", 28, 9, {"max_cardinality": 9}),
        ("nsn", 26, 12, {}),
        ("uniform", 26, 16, {"cardinality": 13}),
    ],
)
def test_all_ways_agree_for_any_threads(law, n, d, sizes):
    instance = draw_instance(law, n, d, 5, **sizes)
    alone = by_tiles(instance)
    assert alone.stopped_by is StoppedBy.PROOF
    assert alone.subset.tolist() == by_tiles(instance, way="cells").subset.tolist()
    assert alone.subset.tolist() == by_tiles(instance, way="streams").subset.tolist()
    for threads in (2, 5):
        together = by_tiles(instance, threads=threads)
        assert together.subset.tolist() == alone.subset.tolist()
        assert (together.work, together.lower_bound) == (alone.work, alone.lower_bound)
    assert MeetInTheMiddle()(instance, Limits()).subset.tolist() == alone.subset.tolist()


@pytest.mark.needs_jit
def test_many_equal_sums():
    """Small integers: nearly all sums are equal to others, and more matches than any list holds at once."""
    rng = np.random.default_rng(1)
    rows = rng.integers(-4, 5, (24, 5)) * 2.0
    for target in (np.array([3.0, 5.0, 1.0, 0.0, -1.0]), np.array([4.0, -6.0, 0.0, 2.0, 2.0]), np.full(5, 300.0)):
        instance = Instance(rows, target)
        outcome = by_tiles(instance, threads=2)
        assert outcome.stopped_by is StoppedBy.PROOF
        expected = by_tiles(instance, way="cells")
        assert true_error(instance, outcome.subset.tolist()) == true_error(instance, expected.subset.tolist())


@pytest.mark.parametrize(("d", "sizes"), [(4, {}), (6, {}), (9, {"cardinality": 4}), (5, {"max_cardinality": 4})])
def test_every_plan_finds_every_match_once(d, sizes, monkeypatch):
    """Whatever the cells: all subsets up to an error, each once, as itertools lists them."""
    instance = draw_instance("nsn", 9, d, 3, **sizes)
    grid = to_fixed_point(instance)
    problem = HalvedProblem.of(instance, grid, every_subset=True)
    allowed = range(instance.smallest_size, instance.largest_size + 1)
    errors = sorted(grid.error(list(rows)) for k in allowed for rows in itertools.combinations(range(9), k))
    for window in (errors[6], LARGEST_WINDOW):
        plans = _all_cells(problem, window)
        assert len(plans) > 3
        for cells in plans[:: max(1, len(plans) // 12)]:
            with monkeypatch.context() as patched:
                patched.setattr(_Pricing, "cells", lambda _, cells=cells: [cells])
                assert _matches(problem, grid, window) == [error for error in errors if error <= window], cells


@pytest.mark.needs_jit
@pytest.mark.parametrize("sizes", [{}, {"cardinality": 7}], ids=str)
def test_runs_of_several_tiles(sizes):
    """Halves of 256 and 128 sums: windows that meet whole tiles, parts of them, and the last one, which is not full."""
    instance = draw_instance("gaussian", 15, 5, 4, **sizes)
    grid = to_fixed_point(instance)
    problem = HalvedProblem.of(instance, grid, every_subset=True)
    taken = (np.arange(1 << 15)[:, None] >> np.arange(15)) & 1
    taken = taken[(taken.sum(axis=1) >= instance.smallest_size) & (taken.sum(axis=1) <= instance.largest_size)]
    errors = np.sort(np.abs(taken @ grid.rows - grid.target).max(axis=1))
    for window in (int(errors[30]), int(errors[errors.size // 2]), LARGEST_WINDOW):
        found = _matches(problem, grid, window)
        assert found == errors[errors <= window].tolist()


def _all_cells(problem, window):
    layout = TileLayout(problem, quarter_lists(problem), window)
    found = []
    with pytest.MonkeyPatch.context() as patched:
        cells = _Pricing.cells
        patched.setattr(_Pricing, "cells", lambda pricing: found.extend(cells(pricing)) or found)
        layout.choose_cells(WantedSums(layout).sums)
    return found


def _matches(problem, grid, window):
    join = TileJoin(problem, Limits(), 1)
    join.build()
    top = TopCandidates(grid, 1 << 15)
    join.run_pass(top, window, None)
    codes = {tuple(code) for code in top.codes[: top.count].tolist()}
    subsets = {tuple(join.decode(*code).tolist()) for code in codes}
    assert len(subsets) == len(codes) == top.count
    assert sorted(grid.error(list(subset)) for subset in subsets) == sorted(top.errors[: top.count].tolist())
    return sorted(top.errors[: top.count].tolist())


def test_a_pass_in_pieces_finds_the_same(monkeypatch):
    """A look at the limits after every tile, and a list that is full after every other match."""
    instance = draw_instance("gaussian", 9, 5, 2)
    grid = to_fixed_point(instance)
    problem = HalvedProblem.of(instance, grid, every_subset=True)
    whole = _matches(problem, grid, LARGEST_WINDOW)
    assert len(whole) == 2**9
    monkeypatch.setattr(wanted_sums, "_STEPS_PER_CALL", 1)
    monkeypatch.setattr("sslth.subset_sum.exact.found._CAPACITY", 2)
    assert _matches(problem, grid, LARGEST_WINDOW) == whole


@pytest.mark.needs_jit
def test_the_first_subset_within_the_tolerance_is_the_same_for_any_threads():
    instance = draw_instance("gaussian", 34, 6, 3)
    for tolerance in (0.5, 0.2):
        found = [by_tiles(instance, Limits(tolerance=tolerance), threads) for threads in (1, 2, 3)]
        assert all(outcome.stopped_by is StoppedBy.TOLERANCE for outcome in found)
        assert true_error(instance, found[0].subset.tolist()) <= tolerance
        assert len({tuple(outcome.subset.tolist()) for outcome in found}) == 1
    best = by_tiles(instance)
    outcome = by_tiles(instance, Limits(tolerance=best.lower_bound / 2))
    assert outcome.stopped_by is StoppedBy.PROOF
    assert outcome.subset.tolist() == best.subset.tolist()


@pytest.mark.needs_jit
def test_limits_end_the_search_with_something_valid():
    instance = draw_instance("gaussian", 36, 6, 1)
    for work in (1000, 600_000, 900_000):
        first, second = (by_tiles(instance, Limits(max_work=work), threads) for threads in (1, 4))
        assert first.stopped_by is second.stopped_by is StoppedBy.WORK
        assert first.subset.tolist() == second.subset.tolist()
        assert first.work == second.work
    assert by_tiles(instance, Limits(time_limit=0.0)).stopped_by is StoppedBy.TIME
    ticks = itertools.count()
    late = by_tiles(instance, Limits(time_limit=20.0, clock=lambda: float(next(ticks))))
    assert late.stopped_by is StoppedBy.TIME


@pytest.mark.needs_jit
def test_tiles_are_chosen_where_they_fit():
    instance = draw_instance("gaussian", 28, 9, 1)
    chosen = {
        memory: MeetInTheMiddle(memory_bytes=memory)(instance, Limits()).details["join"]
        for memory in (1 << 30, 4_500_000)
    }
    assert chosen == {1 << 30: "tiles", 4_500_000: "cells"}
    far = Instance(instance.samples, np.maximum(instance.samples, 0).sum(axis=0))
    assert MeetInTheMiddle()(far, Limits()).details["join"] == "cells"
    assert MeetInTheMiddle()(draw_instance("gaussian", 32, 3, 1), Limits()).details["join"] == "streams"
    assert MeetInTheMiddle()(draw_instance("gaussian", 20, 9, 1), Limits()).details["join"] == "cells"
