"""The k highest of many scores, by a threshold instead of a sort; and again after the scores have moved a little."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sslth.errors import InvalidInputError
from sslth.mining.diverged import DivergedError
from sslth.mining.sides import Shown, Sides, Values, in_numpy

__all__ = ["MovingTopK", "top_k"]

_Cut = tuple[float, npt.NDArray[np.intp]]  # a threshold, and where scores equal to it are one too many
_SMALL = 1 << 8  # below, a partition of all takes no longer


def top_k(scores: Tensor, k: int) -> Tensor:
    """bool of the shape of `scores`, True for exactly k highest; among equal scores the first ones.

    Selects by the k-th highest score instead of sorting: O(entries) time.

    Raises
    ------
    InvalidInputError
        If k is outside [0, entries].
    DivergedError
        If a score is NaN.

    Examples
    --------
    >>> top_k(torch.tensor([3.0, 1.0, 2.0, 2.0]), 2)
    tensor([ True, False,  True, False])
    """
    flat = scores.detach().flatten()
    size = flat.numel()
    if not 0 <= k <= size:
        raise InvalidInputError(f"cannot keep {k} of {size} entries")
    if k in (0, size):
        if size and bool(flat.max().isnan()):  # a NaN is the maximum
            raise _diverged()
        return torch.full_like(scores, k > 0, dtype=torch.bool)
    if in_numpy(flat):
        values = flat.numpy()
        threshold, surplus = _cut(values, k)
        kept = values >= values.dtype.type(threshold)  # numpy compares floats into bools four times as fast as torch
        kept[surplus] = False
        return torch.from_numpy(kept).reshape(scores.shape)
    if bool(flat.max().isnan()):
        raise _diverged()
    least = flat.kthvalue(size - k + 1).values
    chosen = flat >= least
    extra = int(chosen.count_nonzero()) - k
    if extra:
        equal = (flat == least).nonzero().flatten()
        chosen[equal[len(equal) - extra :]] = False
    return chosen.reshape(scores.shape)


class MovingTopK:
    """What `top_k` chooses of one tensor, again and again, while its scores move a little in between.

    The k-th highest score is looked for near where it was: on the way over the scores those inside a band around the
    last threshold are gathered, and those that left the side of it where they were; only the band is partitioned. If
    the threshold is not in it, all scores are. The choice depends on the scores alone, bit by bit; what is remembered
    saves time, on the CPU and for large tensors.

    Parameters
    ----------
    scores : Tensor
        Contiguous. Whoever moves them does so in place.
    kept : Tensor
        Of the same shape and type, contiguous: where the choice is written, 1 for kept and 0 elsewhere.
    k : int
        From 0 to the number of entries.
    absolute : bool
        Whether the highest |score| are kept.
    shown : Shown, optional
        A weight, of the type of the scores, that is written where it is kept.

    Examples
    --------
    >>> scores, kept = torch.tensor([3.0, 1.0, 2.0, 2.0]), torch.empty(4)
    >>> choice = MovingTopK(scores, kept, 2)
    >>> choice.update()
    >>> kept
    tensor([1., 0., 1., 0.])
    """

    def __init__(
        self, scores: Tensor, kept: Tensor, k: int, *, absolute: bool = False, shown: Shown | None = None
    ) -> None:
        self._scores, self._kept, self._k = scores.detach().view(-1), kept.view(-1), k
        self._absolute, self._shown = absolute, shown
        plain = in_numpy(self._scores) and 0 < k < self._scores.numel()
        self._sides = Sides(self._scores, self._kept, shown, absolute=absolute) if plain else None
        # any two numbers would do for a band: what they enclose is counted
        self._largest = torch.finfo(scores.dtype).max
        self._last, self._reach = math.nan, 0.0

    def update(self) -> None:
        """Write the choice from the scores as they are now.

        Raises
        ------
        InvalidInputError
            If k is outside [0, entries].
        DivergedError
            If a score is NaN.
        """
        sides = self._sides
        if sides is None:
            self._kept.copy_(top_k(self._scores.abs() if self._absolute else self._scores, self._k))
            if self._shown is not None:
                torch.mul(self._shown.weight, self._kept, out=self._shown.gated)
        elif self._scores.numel() < _SMALL or self._near(sides) is None:
            values = sides.compared
            threshold, surplus = _cut(values, self._k)
            chosen = values >= values.dtype.type(threshold)  # numpy compares floats four times as fast as torch
            chosen[surplus] = False
            sides.start(chosen)
            self._remember(threshold)

    def _near(self, sides: Sides) -> float | None:
        """Choose, and return the threshold, if it lies in the band."""
        if not (sides.known and math.isfinite(self._last)):
            return None
        low, high = max(self._last - self._reach, -self._largest), min(self._last + self._reach, self._largest)
        threshold = sides.keep_highest(low, high)
        if math.isnan(threshold):
            return None
        self._remember(threshold)
        return threshold

    def _remember(self, threshold: float) -> None:
        moved = abs(threshold - self._last)
        self._last, self._reach = threshold, max(4 * moved, self._reach / 2) if math.isfinite(moved) else 0.0


def _cut(values: Values, k: int) -> _Cut:
    """The k-th highest value, 0 < k <= m, and the places of the last equal ones, where they make more than k."""
    place = len(values) - k
    # numpy partitions with vector instructions where there are any: 5 to 20 times as fast as kthvalue
    parts = np.partition(values, place)
    threshold = parts[place]
    if np.isnan(parts[place:].max()):  # NaNs are partitioned to the end
        raise _diverged()
    equal = np.empty(0, np.intp)
    if place and parts[:place].max() == threshold:
        equal = np.flatnonzero(values == threshold)  # the last ones of them go
        equal = equal[len(equal) - (np.count_nonzero(values >= threshold) - k) :]
    return float(threshold), equal


def _diverged() -> DivergedError:
    return DivergedError("a score is NaN; lower the learning rate (the last good checkpoint is kept)")
