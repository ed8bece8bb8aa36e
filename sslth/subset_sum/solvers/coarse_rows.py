"""The rows of an instance in the order of their lengths, one byte an entry: what best-first searches read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.instance import FloatArray
from sslth.subset_sum.kernels.coarse import rounded_rows
from sslth.subset_sum.kernels.pursuit import squared_norms

__all__ = ["CoarseRows"]


class CoarseRows:
    """Lengths and codes of rows float64[n, d]; n (d + 24) bytes, O(n d) time.

    Attributes
    ----------
    rows : float64[n, d]
        As given, not copied.
    order : int64[n]
        The rows by length, short ones first; what follows is in this order.
    lengths : float64[n]
    codes : int8[n, d]
        A row is nearly its step times its codes.
    steps : float64[n]
    """

    def __init__(self, rows: FloatArray) -> None:
        n, d = rows.shape
        norms, steps, codes = np.empty(n), np.empty(n), np.empty((n, d), dtype=np.int8)
        squared_norms(rows, norms)
        rounded_rows(rows, codes, steps)
        self.rows = rows
        self.order: npt.NDArray[np.int64] = np.argsort(norms, kind="stable")
        self.lengths: FloatArray = np.sqrt(norms[self.order])
        self.codes: npt.NDArray[np.int8] = codes[self.order]
        self.steps: FloatArray = steps[self.order]

    @property
    def arrays(self) -> tuple[npt.NDArray[np.generic], ...]:
        """As kernels take them: rows, order, lengths, codes, steps."""
        return self.rows, self.order, self.lengths, self.codes, self.steps
