"""Growing a subset best first, many side by side: full scores now and then, a shortlist in between."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.instance import FloatArray
from sslth.subset_sum.kernels.beam_pursuit import add_overlaps, grow, transposed
from sslth.subset_sum.kernels.coarse import likely_changes
from sslth.subset_sum.solution import StoppedBy
from sslth.subset_sum.solvers.coarse_rows import CoarseRows

__all__ = ["Growth"]

_STEPS = 12  # on one shortlist
_LISTED = 2048  # rows on it; half as many for a single subset
_MOST_LEADS = 8  # subsets that have a say in what is on the list
_MARGIN = 1.25  # on the largest cosine
_CHILDREN = 2  # of a subset, at most, in the next generation
_SAMPLED = 16  # every so-manieth row first, to see which lengths matter
_MORE = 16  # rows of the sample below the bound, more than the share that is wanted
# Some steps on, a residual has shrunk to this share and turned; an overlap may then be larger by this share.
_SHRINK, _SPREAD = 0.85, 0.12


class Growth:
    """A beam of subsets that grow row by row.

    Parameters
    ----------
    rows : CoarseRows
    target : float64[d]
    beam : int
        Subsets side by side.

    Attributes
    ----------
    kept : int64[k]
        The nearest subset so far, in the order in which its rows were added.
    residual : float64[d]
        Of that subset.
    work : int
        Rows scored.
    cosine : float
        Of a row and a residual that it might help: the largest seen and a margin; 1 while not all rows were scored.

    Notes
    -----
    O(n) memory, and that of the shortlist, O(d + beam). Cost: up to 8 passes over the codes of all rows every 12 rows
    that are added, and O(d) for each of the 2,048 rows of the shortlist and each distinct row.
    """

    def __init__(self, rows: CoarseRows, target: FloatArray, beam: int) -> None:
        self._coarse, self._rows, self._beam = rows, rows.rows, beam
        self.cosine = 1.0
        self._squares = np.array([float(target @ target)])
        self._hashes = np.zeros(1, dtype=np.uint64)
        self._residuals = target[None].copy()
        self._subsets = np.empty((1, 0), dtype=np.int64)
        self.kept: npt.NDArray[np.int64] = self._subsets[0]
        self.residual: FloatArray = self._residuals[0]
        self.work = 0

    def run(
        self,
        most: int,
        stop: Callable[[int, FloatArray], StoppedBy | None],
        tolerance: float = -1.0,
        sup: bool = False,
    ) -> StoppedBy | None:
        """Grow to at most `most` rows, or until nothing helps; what `stop(work, residual)` said between two shortlists.

        A subset within the tolerance ends it at once.
        """
        while True:
            stopped = stop(self.work, self.residual)
            if stopped is not None or self.kept.size >= most:
                return stopped
            if not self._epoch(min(_STEPS, most - self.kept.size), tolerance, sup):
                return None

    def _epoch(self, steps: int, tolerance: float, sup: bool) -> bool:
        """Some rows from one shortlist; whether any was added."""
        places = self._shortlist()
        if places.size == 0:
            return False
        ids = self._coarse.order[places]
        states, count = self._subsets.shape
        beam, d, m = self._beam, self._rows.shape[1], ids.size
        columns = np.empty((d, m), dtype=np.float32)
        transposed(self._rows, ids, columns)
        norms = (self._coarse.lengths[places] ** 2).astype(np.float32)
        squares, hashes = np.empty((2, beam)), np.empty((2, beam), dtype=np.uint64)
        residuals, kept = np.empty((2, beam, d)), np.empty((2, beam, count + steps), dtype=np.int64)
        overlap = np.empty((2, beam, m), dtype=np.float32)
        overlap[0, :states] = 0.0
        squares[0, :states], hashes[0, :states], residuals[0, :states] = self._squares, self._hashes, self._residuals
        kept[0, :states, :count] = self._subsets
        for s in range(states):
            add_overlaps(columns, self._residuals[s].astype(np.float32), overlap[0, s])
            overlap[0, s, np.isin(ids, self._subsets[s])] = -np.inf
        last, states, added, rows = grow(
            self._rows, ids, _names(ids), columns, norms, squares, hashes, residuals, overlap, kept,
            states, count, _CHILDREN, steps, tolerance, sup,
        )  # fmt: skip
        self.work += (rows + self._squares.size) * m
        self._squares, self._hashes = squares[last, :states].copy(), hashes[last, :states].copy()
        self._residuals = residuals[last, :states].copy()
        self._subsets = kept[last, :states, : count + added].copy()
        best = int(self._squares.argmin())
        self.kept, self.residual = self._subsets[best], self._residuals[best]
        return bool(added)

    def _shortlist(self) -> npt.NDArray[np.int64]:
        """Places, in the order of lengths, of the rows that are likely to be added next; all that can help if few.

        A row helps only if it is shorter than twice the residual times the cosine of their angle. The largest cosine
        that was seen, and a margin, stands for those that are to come: the last flips look at all rows again.
        """
        size = math.sqrt(float(self._squares.max()))
        active = int(np.searchsorted(self._coarse.lengths, 2.0 * size * self.cosine, side="right"))
        most = _LISTED if self._beam > 1 else _LISTED // 2
        if active <= most:
            return np.arange(active)
        leads = np.unique(np.linspace(0, self._squares.size - 1, min(_MOST_LEADS, max(1, self._beam // 4))).astype(int))
        residuals = self._residuals[leads]
        start, stop, cosine, bound = 0, active, 0.0, 0.0
        if active >= _SAMPLED * most:
            changes, cosine = self._likely(slice(0, active, _SAMPLED), residuals)
            bound = float(np.partition(changes, most // _SAMPLED + _MORE)[most // _SAMPLED + _MORE])
            # the lengths with which a row of the largest cosine reaches the bound: x^2 - 2 middle x <= bound
            middle = (_SHRINK * min(1.0, _MARGIN * cosine) + _SPREAD) * size
            reach = math.sqrt(max(0.0, middle**2 + bound))
            start, stop = np.searchsorted(self._coarse.lengths[:active], (middle - reach, middle + reach))
        changes, largest = self._likely(slice(start, stop), residuals)
        self.cosine = min(1.0, _MARGIN * max(cosine, largest))
        chosen = np.flatnonzero(changes < min(bound, 0.0))
        if chosen.size > most:
            chosen = chosen[np.argpartition(changes[chosen], most - 1)[:most]]
        return start + np.sort(chosen)

    def _likely(self, places: slice, residuals: FloatArray) -> tuple[npt.NDArray[np.float32], float]:
        """What rows at these places may change, and the largest cosine among them."""
        codes, steps = (
            np.ascontiguousarray(self._coarse.codes[places]),
            np.ascontiguousarray(self._coarse.steps[places]),
        )
        lengths = np.ascontiguousarray(self._coarse.lengths[places])
        changes = np.empty(steps.size, dtype=np.float32)
        cosine = likely_changes(codes, steps, lengths, residuals, _SHRINK, _SPREAD, changes)
        self.work += residuals.shape[0] * steps.size
        return changes, float(cosine)


def _names(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """64 well-mixed bits of every row number (splitmix64), the same everywhere."""
    z = ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
