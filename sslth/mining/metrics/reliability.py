"""What a reliability diagram shows: accuracy against confidence, bin by bin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from sslth.errors import InvalidInputError
from sslth.mining.metrics.arrays import FloatArray, confidences

__all__ = ["Reliability", "reliability"]


@dataclass(frozen=True, eq=False)
class Reliability:
    """Bins of equal width over [0, 1].

    Attributes
    ----------
    edges : float64[bins + 1]
        A bin is closed on the left and open on the right, as in `expected_calibration_error`; the last one holds 1 too.
    counts : int64[bins]
        Examples in each.
    right : int64[bins]
        Of these, how many are classified as labelled.
    confidence : float64[bins]
        Mean confidence, NaN where a bin is empty.
    """

    edges: FloatArray
    counts: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    confidence: FloatArray

    @property
    def accuracy(self) -> FloatArray:
        """float64[bins]: the share that is right, NaN where a bin is empty."""
        shares = np.full(len(self.counts), np.nan)
        np.divide(self.right, self.counts, out=shares, where=self.counts > 0)
        return shares

    @property
    def error(self) -> float:
        """The expected calibration error of these bins: |accuracy - confidence|, averaged over examples."""
        used = self.counts > 0
        gaps = np.abs(self.accuracy[used] - self.confidence[used])
        return float((self.counts[used] * gaps).sum() / self.counts.sum())

    def __add__(self, other: Reliability) -> Reliability:
        """The bins of both sets of examples together."""
        if len(self.edges) != len(other.edges):
            raise InvalidInputError(f"{len(self.counts)} and {len(other.counts)} bins cannot be put together")
        counts = self.counts + other.counts
        sums = np.nan_to_num(self.confidence) * self.counts + np.nan_to_num(other.confidence) * other.counts
        mean = np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)
        return Reliability(self.edges, counts, self.right + other.right, mean)


def reliability(probabilities: npt.ArrayLike, labels: npt.ArrayLike, bins: int = 15) -> Reliability:
    """Count examples, right ones and their confidence in `bins` bins of equal width.

    Its `error` is `expected_calibration_error`, up to rounding. Needs no extra package.

    Examples
    --------
    >>> found = reliability([[0.75, 0.25]] * 3 + [[0.2, 0.8]], [0, 0, 1, 1], bins=5)
    >>> found.counts.tolist(), found.right.tolist(), found.confidence[3].item()
    ([0, 0, 0, 3, 1], [0, 0, 0, 2, 1], 0.75)
    """
    if bins < 1:
        raise InvalidInputError(f"bins is {bins}; at least 1 is needed")
    confidence, right, _ = confidences(probabilities, labels)
    # the edges of torchmetrics, to the last bit
    edges = torch.linspace(0.0, 1.0, bins + 1, dtype=torch.float64).numpy()
    # a softmax in float32 may sum to a little more than 1
    place = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    sums = np.bincount(place, weights=confidence, minlength=bins)
    mean = np.divide(sums, counts, out=np.full(bins, np.nan), where=counts > 0)
    return Reliability(edges, counts, np.bincount(place[right], minlength=bins), mean)
