"""Rows of one byte an entry: how far off they are, and that the best row is the best all the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslth.subset_sum.kernels import coarse
from sslth.subset_sum.solvers.coarse_rows import CoarseRows

SCALES = (0.0, 1e-310, 1e-200, 1e-8, 1.0, 1e3)


def drawn(n: int, d: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of very different scales, some twice, and a residual."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(SCALES, (n, 1)) * rng.standard_normal((n, d))
    rows[rng.integers(n, size=n // 4)] = rows[rng.integers(n)]
    return rows, rng.choice(SCALES) * rng.standard_normal(d)


def plain_best(
    rows: np.ndarray, residual: np.ndarray, keep: np.ndarray, may_add: bool, may_remove: bool
) -> tuple[int, float]:
    changes = (rows**2).sum(axis=1) + np.where(keep, 2.0, -2.0) * (rows @ residual)
    changes[keep & (not may_remove)] = np.inf
    changes[~keep & (not may_add)] = np.inf
    return int(changes.argmin()), float(changes.min())


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.sampled_from([1, 2, 9, 33]), st.integers(0, 2**32), st.integers(0, 3))
def test_the_best_row_is_that_of_all_rows(n: int, d: int, seed: int, kind: int) -> None:
    rows, residual = drawn(n, d, seed)
    keep = np.random.default_rng(seed).random(n) < 0.3
    may_add, may_remove = kind != 1, kind != 0
    best, change, scored = coarse.best_row(*CoarseRows(rows).arrays, residual, keep, may_add, may_remove, np.inf)
    if not ((may_add & ~keep) | (may_remove & keep)).any():
        assert (best, change) == (-1, np.inf)
        return
    expected, least = plain_best(rows, residual, keep, may_add, may_remove)
    assert scored == n
    room = 1e-12 * (1.0 + np.abs(rows).max()) * (1.0 + np.abs(residual).max()) * d
    assert change == pytest.approx(least, abs=room)
    if np.array_equal(rows[best], rows[expected]):
        assert best <= expected  # the first of equal rows


@pytest.mark.parametrize("d", [1, 7, 600, 4608])
def test_overlaps_are_as_near_as_stated(d: int) -> None:
    """Sums of codes must not overflow 32 bits however many entries there are: all entries at their largest."""
    rng = np.random.default_rng(d)
    rows = np.concatenate((rng.standard_normal((20, d)), np.ones((1, d)), -np.ones((1, d)), np.full((1, d), 1e-305)))
    for residual in (rng.standard_normal(d), np.ones(d), np.zeros(d)):
        codes, steps, vector = np.empty(rows.shape, dtype=np.int8), np.empty(len(rows)), np.empty(d, dtype=np.int16)
        coarse.rounded_rows(rows, codes, steps)
        unit, lost = coarse.rounded_vector(residual, vector)
        sums = np.empty(len(rows), dtype=np.int32)
        coarse.code_dots(codes, vector, sums)
        assert np.array_equal(sums, codes.astype(np.int64) @ vector)
        loss = 0.5 * np.sqrt(d) * steps
        lengths = np.linalg.norm(rows, axis=1)
        assert (np.linalg.norm(rows - steps[:, None] * codes, axis=1) <= loss * (1 + 1e-12)).all()
        assert np.linalg.norm(residual - unit * vector) == pytest.approx(lost, abs=1e-12)
        off = loss * np.linalg.norm(residual) + (lengths + loss) * lost
        gaps = np.abs(rows @ residual - unit * steps * sums)
        assert (gaps <= off + 1e-9 * (1.0 + lengths)).all()
        if d > 1 and residual.any():
            assert gaps[:20].max() < 0.05 * lengths.max() * np.linalg.norm(residual)  # near enough to choose by


def test_rows_that_cannot_help_are_not_scored() -> None:
    rows = np.diag([1.0, 2.0, 4.0, 100.0])
    keep = np.zeros(4, dtype=np.bool_)
    best, change, scored = coarse.best_row(
        *CoarseRows(rows).arrays, np.array([0.0, 0.0, 4.0, 0.0]), keep, True, False, 4.0
    )
    assert (best, change, scored) == (2, -16.0, 3)


def test_likely_changes_are_those_of_the_nearest_residual() -> None:
    rng = np.random.default_rng(0)
    rows, residuals = rng.standard_normal((600, 5)), 3.0 * rng.standard_normal((3, 5))
    ordered = CoarseRows(rows)
    changes = np.empty(600, dtype=np.float32)
    largest = coarse.likely_changes(ordered.codes, ordered.steps, ordered.lengths, residuals, 0.9, 0.1, changes)
    overlaps, sizes = rows[ordered.order] @ residuals.T, np.outer(ordered.lengths, np.linalg.norm(residuals, axis=1))
    expected = (ordered.lengths[:, None] ** 2 - 2.0 * (0.9 * overlaps + 0.1 * sizes)).min(axis=1)
    assert np.allclose(changes, expected, atol=0.02 * sizes.max())
    assert largest == pytest.approx((overlaps / sizes).max(), abs=0.02)
