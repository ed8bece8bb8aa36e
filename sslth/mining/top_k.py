"""The k highest of many scores, by a threshold instead of a sort; and again after the scores have moved a little."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sslth.errors import InvalidInputError
from sslth.mining.diverged import DivergedError

__all__ = ["MovingTopK", "top_k"]

_Values = npt.NDArray[np.float32] | npt.NDArray[np.float64]
_Cut = tuple[float, npt.NDArray[np.intp]]  # a threshold, and where scores equal to it are one too many
_SMALL = 1 << 14  # below, a partition of all takes no longer than counting in two places


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
    if _in_numpy(flat):
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

    The k-th highest score is looked for near where it was: scores above a band around the last threshold are counted,
    and only those inside are partitioned. If it is not in the band, all are. The choice depends on the scores alone,
    bit by bit; what is remembered saves time, on the CPU and for large tensors.

    Parameters
    ----------
    scores : Tensor
        Contiguous. Whoever moves them does so in place.
    kept : Tensor
        Of the same shape and type, contiguous: where the choice is written, 1 for kept and 0 elsewhere.
    k : int
        From 0 to the number of entries.

    Examples
    --------
    >>> scores, kept = torch.tensor([3.0, 1.0, 2.0, 2.0]), torch.empty(4)
    >>> choice = MovingTopK(scores, kept, 2)
    >>> choice.update()
    >>> kept
    tensor([1., 0., 1., 0.])
    """

    def __init__(self, scores: Tensor, kept: Tensor, k: int) -> None:
        self._scores, self._kept, self._k = scores.detach().view(-1), kept.view(-1), k
        plain = _in_numpy(self._scores) and 0 < k < self._scores.numel()
        self._values: _Values | None = self._scores.numpy() if plain else None
        self._sides = np.empty((2, self._scores.numel() if plain else 0), np.bool_)
        self._last = math.nan
        self._reach = 0.0

    def update(self) -> None:
        """Write the choice from the scores as they are now.

        Raises
        ------
        InvalidInputError
            If k is outside [0, entries].
        DivergedError
            If a score is NaN.
        """
        values = self._values
        if values is None:
            self._kept.copy_(top_k(self._scores, self._k))
            return
        cut = self._near(values) if len(values) >= _SMALL else None
        threshold, surplus = _cut(values, self._k) if cut is None else cut
        moved = abs(threshold - self._last)
        self._last, self._reach = threshold, max(4 * moved, self._reach / 2) if math.isfinite(moved) else 0.0
        torch.ge(self._scores, threshold, out=self._kept)
        if len(surplus):
            self._kept[torch.from_numpy(surplus)] = 0.0

    def _near(self, values: _Values) -> _Cut | None:
        """The cut, if the threshold lies in the band."""
        # any two numbers would do: what they enclose is counted
        number, largest = values.dtype.type, float(np.finfo(values.dtype).max)
        at_least, at_most = self._sides
        np.greater_equal(values, number(max(self._last - self._reach, -largest)), out=at_least)
        np.less_equal(values, number(min(self._last + self._reach, largest)), out=at_most)
        above = len(values) - int(np.count_nonzero(at_most))
        enough = np.count_nonzero(at_least)
        if not above < self._k <= enough:
            return None  # where NaNs are too many, too: they count as above
        band = np.flatnonzero(np.logical_and(at_least, at_most, out=at_least))
        if enough - above != len(band):  # a NaN is neither
            raise _diverged()
        threshold, surplus = _cut(values[band], self._k - above)
        return threshold, band[surplus]


def _cut(values: _Values, k: int) -> _Cut:
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


def _in_numpy(flat: Tensor) -> bool:
    return flat.device.type == "cpu" and flat.dtype in (torch.float32, torch.float64)


def _diverged() -> DivergedError:
    return DivergedError("a score is NaN; lower the learning rate (the last good checkpoint is kept)")
