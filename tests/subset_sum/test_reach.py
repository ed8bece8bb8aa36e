"""Sums of a half that can have no partner: none that has one is dropped, and most of the others are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslth.subset_sum.draw_instance import draw_instance
from sslth.subset_sum.exact import reach
from sslth.subset_sum.exact.lists import quarter_lists
from sslth.subset_sum.exact.problem import HalvedProblem
from sslth.subset_sum.exact.reach import HalfSums, pieces
from sslth.subset_sum.exact.tile_layout import TileLayout
from sslth.subset_sum.exact.wanted_sums import WantedSums
from sslth.subset_sum.fixed_point import to_fixed_point
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.kernels.reach import choose_cover, list_partners


class Halves:
    """Both halves of an instance, what is out of reach left out."""

    def __init__(self, instance: Instance, window: int) -> None:
        self.problem = HalvedProblem.of(instance, to_fixed_point(instance), every_subset=True)
        self.rows = TileLayout(self.problem, quarter_lists(self.problem), window)
        wanted = WantedSums(self.rows)
        list(self.rows.reach(wanted.sums))
        list(wanted.reach())
        self.row_sums, self.wanted_sums = self.rows.sums, wanted.sums


def kept(half) -> set[tuple[int, int]]:
    """The pairs of places that are left."""
    pairs = set()
    for i, (first, last) in enumerate(itertools.pairwise(half.offsets.tolist())):
        partners = range(last - first) if half.partners is None else half.partners[first:last].tolist()
        pairs |= {(i, int(p)) for p in partners}
    return pairs


def with_a_partner(stored: Halves, window: int) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """The pairs of both halves that some sum of the other is near, in Python's integers."""
    problem = stored.problem
    halves = []
    for half in (stored.row_sums, stored.wanted_sums):
        one, two = half.one.T.tolist(), half.two.T.tolist()
        halves.append(
            {
                (i, p): [a + b for a, b in zip(one[i], two[p], strict=True)]
                for i in range(len(one))
                for p in range(int(half.ends[i]))
            }
        )
    rows, wanted = set(), set()
    for (row, x), (want, y) in itertools.product(halves[0].items(), halves[1].items()):
        d = problem.target.size
        near = all(abs(a - b) <= window for a, b in zip(x[:d], y[:d], strict=True))
        if near and (len(x) == d or 0 <= y[d] - x[d] <= problem.largest - problem.smallest):
            rows.add(row)
            wanted.add(want)
    return rows, wanted


@pytest.mark.needs_jit
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 11),
    d=st.integers(1, 9),
    law=st.sampled_from(["gaussian", "uniform", "nsn", "integers", "one scale apart"]),
    far=st.sampled_from([0.0, 0.5, 0.9, 1.0, 3.0]),
    size=st.sampled_from(["free", "exactly", "at most"]),
    share=st.floats(0.0, 1.0),
)
def test_what_has_a_partner_stays(seed, n, d, law, far, size, share):
    rng = np.random.default_rng(seed)
    if law in ("gaussian", "uniform", "nsn"):
        rows = np.array(draw_instance(law, n, d, seed).samples)
    else:
        rows = rng.integers(-3, 4, (n, d)).astype(np.float64)
        if law == "one scale apart":
            rows[:, 0] *= 2.0**30
    chosen = rng.random(n) < 0.5
    target = (1.0 - far) * rows[chosen].sum(axis=0) + far * np.maximum(rows, 0.0).sum(axis=0)
    sizes = {"free": {}, "exactly": {"cardinality": min(n, 3)}, "at most": {"max_cardinality": min(n, 4)}}[size]
    instance = Instance(rows, target, **sizes)
    grid = to_fixed_point(instance)
    subset = np.flatnonzero(chosen)[: sizes.get("cardinality", sizes.get("max_cardinality", n))]
    window = int(share * grid.error(subset))
    stored = Halves(instance, window)
    rows_needed, wanted_needed = with_a_partner(stored, window)
    assert rows_needed <= kept(stored.row_sums)
    assert wanted_needed <= kept(stored.wanted_sums)


def test_a_partner_at_the_very_edge_stays():
    """Whole numbers: the window ends exactly at the only sum of the other half."""
    rows = np.array([[5.0, 1.0], [9.0, 1.0], [4.0, -1.0], [7.0, 2.0], [3.0, 1.0], [8.0, -2.0]])
    for distance in (1, 6, 40):
        instance = Instance(rows, rows.sum(axis=0) + np.array([distance, 0.0]))
        grid = to_fixed_point(instance)
        window = grid.error(np.arange(6))
        assert window * 2.0**grid.exponent == distance
        stored = Halves(instance, window)
        last = tuple(int(sums.columns[0].argmax()) for sums in stored.rows.sum_lists[:2])
        assert last in kept(stored.row_sums)
        assert not kept(Halves(instance, window - 1).row_sums) & {last}


def test_below_and_above_are_told_apart():
    """One axis, the other half a single sum of 100: an interval around it stays, on each side its own length."""
    line = np.arange(-200, 400, dtype=np.int64)[None, :]
    half = HalfSums(line, np.array([[0, 7]]), np.full(600, 2))
    other = HalfSums(np.array([[90]]), np.array([[10]]), np.ones(1, dtype=np.int64))
    list(half.keep_reachable(other, np.zeros((0, 1)), np.array([30.0]), np.array([4.0])))
    values = sorted(int(line[0, i]) + (0, 7)[p] for i, p in kept(half))
    assert sorted({*values}) == list(range(70, 105))
    assert len(values) == 70


@pytest.mark.needs_jit
def test_what_is_far_goes():
    """n = 34, d = 9: half sums that stay, of 2^17, as recomputed by the distance of a sample from the zonotope."""
    instance = draw_instance("gaussian", 34, 9, 2)
    window = to_fixed_point(instance).points(0.35)
    stored = Halves(instance, window)
    for half in (stored.row_sums, stored.wanted_sums):
        assert half.partners is not None
        assert half.count < 0.6 * half.total
        assert np.all(np.diff(half.offsets) >= 0)
    remote = Instance(instance.samples, np.maximum(instance.samples, 0.0).sum(axis=0) + 1.0)
    assert Halves(remote, window).row_sums.count == 0


def test_nothing_is_dropped_where_everything_is_near():
    instance = draw_instance("gaussian", 12, 3, 1)
    stored = Halves(instance, 1 << 61)
    assert stored.row_sums.partners is None
    assert stored.wanted_sums.partners is None
    assert stored.row_sums.count == stored.row_sums.total == 64


def test_partners_are_listed_as_numpy_finds_them():
    rng = np.random.default_rng(3)
    lines_1 = rng.integers(-(2**40), 2**40, (3, 20))
    lines_1[:, 10:] = rng.integers(-1000, 1000, (3, 10))
    lines_2 = rng.integers(-30_000, 30_001, (3, 33)).astype(np.int16)
    ends = rng.integers(0, 34, 20)
    limits = np.array([20_000, 2_000, 25_000])
    offsets, kept_flags = np.zeros(21, dtype=np.int64), np.empty(33, dtype=np.uint8)
    partners = np.empty(int(ends.sum()), dtype=np.int32)
    for start, stop in pieces(ends, 50):
        list_partners(
            lines_1, lines_2, lines_2.min(axis=1).astype(np.int64), limits, ends, offsets, partners, kept_flags,
            start, stop,
        )  # fmt: skip
    together = np.all(lines_1[:, :, None] + lines_2[:, None, :].astype(np.int64) <= limits[:, None, None], axis=0)
    for i in range(20):
        expected = np.flatnonzero(together[i, : ends[i]])
        assert partners[offsets[i] : offsets[i + 1]].tolist() == expected.tolist()


def test_the_cover_is_greedy_and_ends():
    cuts = np.array([[1, 1, 0, 0, 0, 0], [0, 1, 1, 1, 0, 0], [0, 0, 0, 1, 0, 0], [1, 0, 0, 0, 0, 0]], dtype=np.bool_)
    chosen = np.full(4, -1)
    assert choose_cover(cuts, 1, chosen) == (2, 2)
    assert chosen[:2].tolist() == [1, 0]
    assert choose_cover(cuts, 2, chosen) == (1, 3)
    assert choose_cover(cuts[:, :0], 1, chosen) == (0, 0)


def test_settings_fit_the_words():
    """A line of list 2 takes 16 bits, and rounding in float64 is below a step."""
    assert reach._STEPS < 2**16 - 1
    assert reach._PRECISION > 2.0**-45
