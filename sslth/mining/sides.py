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
Bytes = npt.NDArray[np.uint8]


class Shown:
    """A frozen weight, what a model reads of it, and what the gradient at that is multiplied by to be that of scores.

    The gradient of weight * |score| is that at the weight, times the weight, times the sign of the score, which is 1
    of 0. Weights of one magnitude are a number and bits: a quarter of the memory to go over.

    Attributes
    ----------
    weight, gated : Tensor
        float[n], contiguous, on the CPU; `gated` is where weight * kept is written.
    factor : float[n] or float[1]
        The weight, or the one magnitude.
    turned : uint8[n or more]
        The highest bit says whether the sign is another than that of `factor`, since the last `turn`.

    Examples
    --------
    >>> shown = Shown(torch.tensor([0.5, -0.5, 0.5]), torch.empty(3))
    >>> shown.turn(np.array([1.0, 2.0, -3.0]), absolute=True)
    >>> float(shown.factor[0]), shown.turned[:3].tolist()
    (0.5, [0, 128, 128])
    """

    def __init__(self, weight: Tensor, gated: Tensor) -> None:
        self.weight, self.gated = weight, gated
        values: Values = weight.detach().numpy()
        magnitude = np.abs(values[:1])
        alike = bool((np.abs(values) == magnitude).all())
        self.factor = magnitude if alike else values
        self._signs: Bytes = np.left_shift(np.signbit(values) & alike, 7, dtype=np.uint8)
        self.turned = _room(len(values))

    def turn(self, scores: Values, *, absolute: bool) -> None:
        """Write `turned` for these scores; if `absolute`, those below 0 turn their signs."""
        turned = self.turned[: len(scores)]
        turned[:] = self._signs
        if absolute:
            turned ^= np.left_shift(scores < 0, 7, dtype=np.uint8)

    @property
    def signs(self) -> Bytes:
        """uint8[n]: what `turned` is where no score turns a sign."""
        return self._signs


class Sides:
    """What `kept` says of scores on the CPU, in bytes, and what follows when the scores have moved a little.

    Most of them stay on their side of a threshold then. To go over the scores and over bytes, and to write few places,
    takes a fraction of the time of writing all again.

    Parameters
    ----------
    scores, kept : Tensor
        float32[n] or float64[n] of one type, contiguous, on the CPU. `kept` is 0 and 1, and written in place.
    shown : Shown, optional
        A weight of the same shape and type, what is read of it, and its signs: all are kept up to date.
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
        self._shown = shown
        self._weight, self._gated = (kept, kept) if shown is None else (shown.weight, shown.gated)  # kept is 0 or 1
        self._seen: int | None = None
        self._scores: Values = scores.detach().numpy()
        self._type = self._scores.dtype.type
        self._above = np.zeros(len(self._scores), np.uint8)
        marks = _room(len(self._scores)) if shown is None else shown.turned
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
        if self._shown is not None:
            np.bitwise_or(self._above, self._shown.signs, out=self._above)
            self._shown.turn(self._scores, absolute=self._absolute)
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


def _room(size: int) -> Bytes:
    """A byte an entry, and zeros up to the next multiple of 64, as kernels take them."""
    return np.zeros(64 * -(-size // 64), np.uint8)


def in_numpy(flat: Tensor) -> bool:
    """Whether numpy and the kernels take it."""
    return flat.device.type == "cpu" and flat.dtype in (torch.float32, torch.float64)
