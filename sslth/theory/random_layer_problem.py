"""The subset sums of a random layer: for each input channel and sign, which filters give the target's kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.solve_many import solve_many

__all__ = ["SignedBlocks", "draw_blocks", "draw_kernel", "layer_tolerance", "rows_needed", "widths_needed"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def draw_kernel(c: int, d: int, rng: np.random.Generator) -> FloatArray:
    """Return a kernel float64[c, c, d, d], uniform among those with ‖K‖₁ = 1 (all entries together).

    Examples
    --------
    >>> float(round(np.abs(draw_kernel(2, 3, np.random.default_rng(0))).sum(), 12))
    1.0
    """
    sizes = rng.dirichlet(np.ones(c * c * d * d))
    kernel: FloatArray = (sizes * rng.choice([-1.0, 1.0], sizes.size)).reshape(c, c, d, d)
    return kernel


@dataclass(frozen=True)
class SignedBlocks:
    """The problems of one layer, m of them: block after block, both signs or only the positive one.

    Attributes
    ----------
    samples : float64[m, rows, D]
        Rows |v_t| U[:, t] of the filters whose v_t has the problem's sign, in the order of the filters; D = c d².
    targets : float64[m, D]
        The kernel of the block, negated for the negative sign.
    filters : int64[m, rows]
        Which filter of the block each row is: a row is there if the width n, of 2 n filters, is at least
        (filter + 1) / 2.
    """

    samples: FloatArray
    targets: FloatArray
    filters: IntArray


def draw_blocks(kernel: FloatArray, rows: int, both_signs: bool, rng: np.random.Generator) -> SignedBlocks:
    """Draw so many random filters of each sign for every input channel of a kernel [c_out, c_in, d, d].

    Signs of filters come one by one, as if every v_t were drawn: of 2 n filters about n have each sign. With all
    weights N(0, 1) a row is a normally-scaled normal vector. O(c_in rows D).

    Examples
    --------
    >>> blocks = draw_blocks(np.ones((3, 2, 1, 1)), rows=5, both_signs=True, rng=np.random.default_rng(0))
    >>> blocks.samples.shape, blocks.targets[:, 0].tolist()
    ((4, 5, 3), [1.0, -1.0, 1.0, -1.0])
    """
    c_in, dimension = kernel.shape[1], kernel.shape[0] * kernel.shape[2] * kernel.shape[3]
    samples, targets, filters = [], [], []
    for channel in range(c_in):
        goal = kernel[:, channel].reshape(-1)
        order = _filters_of_both_signs(rows, rng)
        for sign in (0, 1) if both_signs else (0,):
            scales = np.abs(rng.standard_normal((rows, 1)))
            samples.append(scales * rng.standard_normal((rows, dimension)))
            targets.append(goal * (1 - 2 * sign))
            filters.append(order[sign])
    return SignedBlocks(np.stack(samples), np.stack(targets), np.stack(filters))


def _filters_of_both_signs(rows: int, rng: np.random.Generator) -> list[IntArray]:
    """For each sign the numbers of its first `rows` filters."""
    signs = rng.integers(0, 2, 4 * rows)
    while min(np.count_nonzero(signs), np.count_nonzero(signs == 0)) < rows:
        signs = np.concatenate([signs, rng.integers(0, 2, 4 * rows)])
    return [np.flatnonzero(signs == sign)[:rows].astype(np.int64) for sign in (0, 1)]


def layer_tolerance(c: int, d: int, layers: int, epsilon: float) -> float:
    """Return the sup-norm error that every kernel entry may have so that the network is within ε on [-1, 1] inputs.

    With ‖K‖₁ <= 1 and errors of at most δ a layer, ‖K̂‖₁ <= 1 + δ, and the errors of l layers add up to at most
    (1 + δ)^l - 1 (error propagation); δ is shared out equally among the c d² entries that one output reads.

    Examples
    --------
    >>> layer_tolerance(c=2, d=1, layers=1, epsilon=0.5)
    0.25
    """
    a_layer = epsilon if layers == 1 else (1.0 + epsilon) ** (1.0 / layers) - 1.0
    return a_layer / (c * d * d)


def rows_needed(
    samples: FloatArray, targets: FloatArray, tolerance: float, solver: str, max_work: int | None = None
) -> IntArray:
    """Return for each problem how many of its first rows are enough for a subset within the tolerance.

    With an exact solver this is the smallest such number, because more rows never hurt. A heuristic may fail with more
    rows than it once needed; then it is a number with which it succeeds. All rows plus one where they are not
    enough. Halving: about log2(rows) calls of the solver a problem.

    Parameters
    ----------
    samples : float64[m, rows, D]
    targets : float64[m, D]

    Returns
    -------
    int64[m]

    Examples
    --------
    >>> samples = np.array([[[1.0], [2.0], [4.0]]])
    >>> rows_needed(samples, np.array([[6.0]]), 0.1, "meet_in_the_middle").tolist()
    [3]
    """
    rows = samples.shape[1]
    fails = np.where(np.abs(targets).max(axis=1) <= tolerance, -1, 0)
    enough = np.where(fails < 0, 0, rows + 1)
    while True:
        open_ = np.flatnonzero(enough - fails > 1)
        if open_.size == 0:
            return enough.astype(np.int64)
        tried = (fails[open_] + enough[open_]) // 2
        for size in np.unique(tried):
            here = open_[tried == size]
            answers = solve_many(
                samples[here, :size],
                targets[here],
                solver=solver,
                tolerance=tolerance,
                time_limit=None,
                max_work=max_work,
            )
            reached = answers.errors <= tolerance
            enough[here[reached]] = size
            fails[here[~reached]] = size


def widths_needed(blocks: SignedBlocks, needed: IntArray) -> FloatArray:
    """Return for each problem the smallest width whose filters contain its first `needed` rows; inf beyond all rows.

    Examples
    --------
    >>> blocks = draw_blocks(np.ones((1, 1, 1, 1)), rows=4, both_signs=False, rng=np.random.default_rng(0))
    >>> widths_needed(blocks, np.array([0])).tolist(), widths_needed(blocks, np.array([5])).tolist()
    ([0.0], [inf])
    """
    rows = blocks.filters.shape[1]
    last = np.take_along_axis(blocks.filters, np.clip(needed - 1, 0, rows - 1)[:, None], axis=1)[:, 0]
    widths: FloatArray = np.where(needed > 0, (last + 2) // 2, 0).astype(np.float64)  # filter t needs 2 n >= t + 1
    widths[needed > rows] = np.inf
    return widths
