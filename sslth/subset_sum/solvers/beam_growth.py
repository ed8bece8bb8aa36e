"""Growing a subset best first, many side by side: full scores now and then, a shortlist in between."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.instance import FloatArray
from sslth.subset_sum.kernels.beam_pursuit import add_overlaps, grow, likely_changes, transposed
from sslth.subset_sum.kernels.pursuit import squared_norms
from sslth.subset_sum.solution import StoppedBy

__all__ = ["Growth"]

_STEPS = 8  # on one shortlist
_SHARE = 8  # of the rows, that are on it
_SHORTEST, _LONGEST = 4096, 16384
_MOST_LEADS = 8  # subsets that have a say in what is on the list
_MARGIN = 1.25  # on the largest cosine
_CHILDREN = 2  # of a subset, at most, in the next generation
# Some steps on, a residual has shrunk to this share and turned; an overlap may then be larger by this share.
_SHRINK, _SPREAD = np.float32(0.85), np.float32(0.08)


class Growth:
    """A beam of subsets that grow row by row.

    Parameters
    ----------
    rows : float64[n, d]
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
    O(n d) memory for a float32 copy of the rows. Cost O(n d) a row added for up to 8 full scores every 8 rows, and
    O(n d / 8) for every distinct row that is added.
    """

    def __init__(self, rows: FloatArray, target: FloatArray, beam: int) -> None:
        n, d = rows.shape
        self._rows, self._beam = rows, beam
        norms = np.empty(n)
        squared_norms(rows, norms)
        self._order = np.argsort(norms, kind="stable")  # short rows first: only they are scored in the end
        self._norms = norms[self._order].astype(np.float32)
        self._columns = np.empty((d, n), dtype=np.float32)
        transposed(rows, self._order, self._columns)
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
        ids = self._order[places]
        states, count = self._subsets.shape
        beam, d, m = self._beam, self._rows.shape[1], ids.size
        columns = np.empty((d, m), dtype=np.float32)
        transposed(self._rows, ids, columns)
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
            self._rows, ids, _names(ids), columns, self._norms[places], squares, hashes, residuals, overlap, kept,
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
        longest = 2.0 * math.sqrt(float(self._squares.max())) * self.cosine
        active = int(np.searchsorted(self._norms, np.float32(longest**2), side="right"))
        most = min(_LONGEST, max(_SHORTEST, self._norms.size // (_SHARE if self._beam > 1 else 2 * _SHARE)))
        if active <= most:
            return np.arange(active)
        leads = np.unique(np.linspace(0, self._squares.size - 1, min(_MOST_LEADS, max(1, self._beam // 4))).astype(int))
        changes = np.empty(active, dtype=np.float32)
        residuals = self._residuals[leads].astype(np.float32)
        cosine = likely_changes(self._columns[:, :active], self._norms[:active], residuals, _SHRINK, _SPREAD, changes)
        self.cosine = min(1.0, _MARGIN * float(cosine))
        self.work += leads.size * active
        chosen = np.argpartition(changes, most)[:most]
        return np.sort(chosen[np.isfinite(changes[chosen])])


def _names(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """64 well-mixed bits of every row number (splitmix64), the same everywhere."""
    z = ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
