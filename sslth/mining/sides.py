"""A 0/1 tensor that says which scores are high, and the weights it keeps, written only where they change."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sslth.mining.kernels import follow_rounding, follow_top_k

__all__ = ["Shown", "Sides", "Values", "in_numpy"]

Values = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Shown = tuple[Tensor, Tensor]  # a weight, and where weight * kept is written


class Sides:
    """What `kept` says of scores on the CPU, in bytes, and what follows when the scores have moved a little.

    Most of them stay on their side of a threshold then. To go over the scores and over bytes, and to write few places,
    takes a fraction of the time of writing all again.

    Parameters
    ----------
    scores, kept : Tensor
        float32[n] or float64[n] of one type, contiguous, on the CPU. `kept` is 0 and 1, and written in place.
    shown : pair of Tensor, optional
        A weight and where weight * kept is written, of the same shape and type, contiguous.
    absolute : bool
        Whether |score| is compared.

    Examples
    --------
    >>> scores, kept = torch.tensor([3.0, 1.0, 2.0]), torch.empty(3)
    >>> sides = Sides(scores, kept)
    >>> sides.start(sides.compared >= 3)
    >>> scores[1] = 4.0
    >>> sides.keep_highest(2.5, 3.5), sides.keep_highest(3.0, 5.0), kept
    (nan, 4.0, tensor([0., 1., 0.]))
    """

    def __init__(self, scores: Tensor, kept: Tensor, shown: Shown | None = None, *, absolute: bool = False) -> None:
        self._kept, self._absolute = kept, absolute
        self._weight, self._gated = shown or (kept, kept)  # kept * kept is kept
        self._seen: int | None = None
        self._scores: Values = scores.detach().numpy()
        self._type = self._scores.dtype.type
        self._above, marks = np.zeros(len(self._scores), np.uint8), np.zeros(8 * -(-len(self._scores) // 8), np.uint8)
        room = (self._above, marks, marks.view(np.uint64), np.empty(len(marks) + 1, np.int64))
        self._written = kept.numpy()
        self._rest = (*room, self._written, self._weight.detach().numpy(), self._gated.detach().numpy())
        self._band = np.empty_like(self._scores)

    @property
    def compared(self) -> Values:
        """What is compared: the scores, or their absolute values."""
        return np.abs(self._scores) if self._absolute else self._scores

    @property
    def known(self) -> bool:
        """Whether `kept` is as it was left here: a checkpoint, or its owner, may have written it."""
        return self._seen == self._kept._version

    def start(self, chosen: npt.NDArray[np.bool_]) -> None:
        """Write everything."""
        np.multiply(chosen, 2, out=self._above, dtype=np.uint8)
        self._written[:] = chosen  # by numpy, which torch does not count: parts of one vector share a version
        self._seen = self._kept._version
        if self._gated is not self._kept:
            torch.mul(self._weight, self._kept, out=self._gated)

    def round(self, alive: npt.NDArray[np.bool_]) -> None:
        """Project the scores to [0, 1], those not alive to 0, and keep what is at least 1/2."""
        if self.known:
            follow_rounding(self._scores, alive, *self._rest)
            self._changed()
        else:
            np.multiply(np.clip(self._scores, 0, 1, out=self._scores), alive, out=self._scores)
            self.start(self._scores >= 0.5)

    def keep_highest(self, low: float, high: float) -> float:
        """Keep as many as before, the highest, if the last of these lies in [low, high], and return it; or else a NaN.

        Among equal scores the first are kept.
        """
        least, most = self._type(low), self._type(high)
        threshold = float(follow_top_k(self._scores, least, most, self._absolute, self._band, *self._rest))
        if not math.isnan(threshold):
            self._changed()
        return threshold

    def _changed(self) -> None:
        if self._gated is not self._kept:  # so that autograd refuses to walk back through what is no longer there
            torch.autograd.graph.increment_version(self._gated)


def in_numpy(flat: Tensor) -> bool:
    """Whether numpy and the kernels take it."""
    return flat.device.type == "cpu" and flat.dtype in (torch.float32, torch.float64)
