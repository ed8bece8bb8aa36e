"""How many stored sums a window meets, from a sample of both halves: what the cells of a join are priced by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.exact.reach import HalfSums

__all__ = ["PairSample"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

_ROWS, _WANTED = 512, 32


class PairSample:
    """Sampled wanted sums, and along each axis the sampled rows: near one, coordinates count as independent.

    No answer depends on it, only the cost. Sums that may have a partner are far from normal, and so are pairs of them.

    Attributes
    ----------
    axes : int
        Coordinates, and one more for the number of rows where that matters.
    weights : float64[c]
        The share of each sampled wanted sum.
    """

    def __init__(self, rows: HalfSums, wanted: HalfSums, below: IntArray, above: IntArray) -> None:
        self.axes = below.size
        self._rows = np.sort(rows.sample(_ROWS), axis=1)
        self._centres = wanted.sample(_WANTED) + ((above - below) / 2.0)[:, None]
        self.weights: FloatArray = np.full(self._centres.shape[1], 1.0 / _WANTED)  # none: nothing is wanted
        self._known: dict[tuple[int, float], FloatArray] = {}

    def chances(self, axis: int, width: float) -> FloatArray:
        """float64[c], the share of rows in an interval of this width around each wanted sum along an axis."""
        if (axis, width) not in self._known:
            line, centres = self._rows[axis], self._centres[axis]
            first = np.searchsorted(line, centres - width / 2.0, side="left")
            last = np.searchsorted(line, centres + width / 2.0, side="right")
            self._known[axis, width] = (last - first + 0.25) / (line.size + 0.25)
        return self._known[axis, width]

    def chance(self, axis: int, width: float) -> float:
        """The mean of `chances`."""
        return float(self.weights @ self.chances(axis, width))
