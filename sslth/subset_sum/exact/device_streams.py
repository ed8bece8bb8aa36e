"""Sums of two short lists on a torch device, any stretch of them made on demand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sslth.subset_sum.exact.lanes import Lanes
from sslth.subset_sum.exact.lists import SumList

__all__ = ["DeviceStream", "Spans", "signed"]


class Spans:
    """Stretches of places, laid end to end.

    Parameters
    ----------
    starts, counts : int64[m]
        The first place of each stretch and how many there are; on one device.
    """

    def __init__(self, starts: Tensor, counts: Tensor) -> None:
        self.ends = torch.cumsum(counts, 0)
        self.before = self.ends - counts
        self.shifts = starts - self.before  # from an item to its place
        self.total = int(self.ends[-1]) if counts.numel() else 0

    def take(self, begin: int, stop: int) -> tuple[Tensor, Tensor]:
        """Which stretch, and which place, the items from `begin` to `stop` - 1 are: two int64[stop - begin].

        Examples
        --------
        >>> [part.tolist() for part in Spans(torch.tensor([7, 0, 3]), torch.tensor([2, 0, 3])).take(1, 4)]
        [[0, 2, 2], [8, 3, 4]]
        """
        first = int(torch.searchsorted(self.ends, begin, right=True))
        last = int(torch.searchsorted(self.ends, stop)) + 1
        counts = self.ends[first:last].clamp(max=stop) - self.before[first:last].clamp(min=begin)
        rows = torch.repeat_interleave(counts, output_size=stop - begin) + first
        return rows, self.shifts.index_select(0, rows) + torch.arange(begin, stop, device=rows.device)


@dataclass(frozen=True)
class DeviceStream:
    """The sums list 1 + list 2, as in `streams`, with both lists on a device.

    Attributes
    ----------
    keys_1, keys_2 : int64[m1], int64[m2]
        First coordinates; list 2 consists of sorted segments.
    words_1, words_2 : int64[m1], int64[m2]
        The bits of `Lanes.words`.
    columns_1, columns_2 : int64[d, m1], int64[d, m2]
    sizes_1, sizes_2 : int64[m1], int64[m2]
        Rows in each entry.
    reach : int64[m1]
        How many segments of list 2 an entry of list 1 is combined with.
    last : tuple of int
        Where each segment ends.
    """

    keys_1: Tensor
    keys_2: Tensor
    words_1: Tensor
    words_2: Tensor
    columns_1: Tensor
    columns_2: Tensor
    sizes_1: Tensor
    sizes_2: Tensor
    reach: Tensor
    last: tuple[int, ...]

    @classmethod
    def of(
        cls, one: SumList, two: SumList, reach: npt.NDArray[np.int64], lanes: Lanes, where: torch.device
    ) -> DeviceStream:
        """Copy two lists to a device."""
        columns_1, columns_2 = _on(one.columns, where), _on(two.columns, where)
        return cls(
            keys_1=columns_1[0],
            keys_2=columns_2[0],
            words_1=_on(lanes.words(one).view(np.int64), where),
            words_2=_on(lanes.words(two).view(np.int64), where),
            columns_1=columns_1,
            columns_2=columns_2,
            sizes_1=_on(one.sizes, where),
            sizes_2=_on(two.sizes, where),
            reach=_on(reach, where),
            last=tuple(two.last.tolist()),
        )

    def locate(self, low: int, high: int) -> Spans:
        """The sums with low <= key < high, a stretch of list 2 for each segment and entry of list 1.

        O(s m1 log m2) time, 40 bytes for each of the s m1 stretches.
        """
        below, above = low - self.keys_1, high - self.keys_1
        starts, counts = [], []
        begin = 0
        for segment, end in enumerate(self.last):
            keys = self.keys_2[begin:end]
            first = torch.searchsorted(keys, below)
            count = torch.searchsorted(keys, above) - first
            starts.append(first + begin)
            counts.append(count if len(self.last) == 1 and begin == 0 else count * (self.reach > segment))
            begin = end
        return Spans(torch.cat(starts), torch.cat(counts))

    def entries(self, spans: Spans, begin: int, stop: int) -> tuple[Tensor, Tensor]:
        """The entries of list 1 and list 2 whose sums are items `begin` to `stop` - 1."""
        rows, places = spans.take(begin, stop)
        return (rows if len(self.last) == 1 else rows % self.keys_1.numel()), places

    def words(self, one: Tensor, two: Tensor) -> Tensor:
        """The words of sums, given by their entries; int64 additions wrap around."""
        return self.words_1.index_select(0, one) + self.words_2.index_select(0, two)

    def codes(self, one: Tensor, two: Tensor) -> Tensor:
        """One number for each pair of entries, as `StreamJoin.decode` reads it."""
        return one * self.keys_2.numel() + two


def signed(word: np.uint64) -> int:
    """The int64 with the bits of a word: torch has no arithmetic on unsigned ones.

    Examples
    --------
    >>> signed(np.uint64(2**64 - 1))
    -1
    """
    return int(np.asarray(word, dtype=np.uint64).view(np.int64))


def _on(values: npt.NDArray[np.int64], where: torch.device) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.int64)).to(where)
