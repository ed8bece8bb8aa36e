"""One slab of two streams on a torch device: chunks of sums, filtered by the cells of the others, sorted, matched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sslth.subset_sum.exact.device_streams import DeviceStream, Spans, signed
from sslth.subset_sum.exact.lanes import Lanes
from sslth.subset_sum.solution import StoppedBy

__all__ = ["Found", "SlabSearch"]

IntArray = npt.NDArray[np.int64]
Wanted = tuple[Tensor, Tensor]  # cells, and the places of the sums that want them

_CAPACITY = 1 << 14  # matches that one slab may report
_LOAD_BITS = 4
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)  # Fibonacci hashing: the top bits of cell * _GOLDEN


@dataclass
class Found:
    """What one slab gave.

    Attributes
    ----------
    best : int
        The smallest integer error so far, here or, at first, elsewhere.
    band, bound : int
        A match counts if its error is at most `min(bound, best + band)`; band -1: strict improvements only.
    enough : int
        A match with this error ends the search.
    errors, codes : int64[m], int64[m, 2]
    work, pairs : int
        Sums made and pairs compared.
    """

    best: int
    band: int
    bound: int
    enough: int
    errors: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    codes: IntArray = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    work: int = 0
    pairs: int = 0
    stopped: StoppedBy | None = None
    dropped: bool = False
    trouble: str | None = None

    @property
    def limit(self) -> int:
        """The largest error that still counts."""
        return min(self.bound, self.best + self.band)

    @property
    def is_settled(self) -> bool:
        """Whether the rest of the slab need not be searched: nothing in it could be better, or better is not wanted."""
        return self.limit < 0 or self.best <= self.enough

    def add(self, errors: Tensor, first: Tensor, second: Tensor) -> None:
        """Keep what may be a minimiser: of strict improvements the best one, the smallest codes of equal ones."""
        self.best = min(self.best, int(errors.min()))
        if self.band < 0:
            near = torch.nonzero(errors == self.best)[:, 0]
            near = near[first[near] == first[near].min()]
            near = near[second[near] == second[near].min()][:1]
        else:
            near = torch.nonzero(errors <= self.limit)[:, 0]
            if near.numel() > _CAPACITY:
                near = near[torch.sort(errors[near], stable=True).indices[:_CAPACITY]]
                self.dropped = True
        self.errors = np.concatenate([self.errors, errors[near].cpu().numpy()])
        self.codes = np.concatenate([self.codes, torch.stack([first[near], second[near]], 1).cpu().numpy()])
        self._forget()

    def _forget(self) -> None:
        """Drop what is no longer near the best."""
        near = np.flatnonzero(self.errors <= self.best + max(0, self.band))
        if near.size > _CAPACITY:
            near = near[np.argsort(self.errors[near], kind="stable")[:_CAPACITY]]
            self.dropped = True
        self.errors, self.codes = self.errors[near], self.codes[near]


@dataclass
class SlabSearch:
    """One device's part in a pass: slabs of stream a, wider by the window, against slabs of stream b.

    Attributes
    ----------
    a, b : DeviceStream
        Partners are sums whose every coordinate differs by at most the window.
    lanes : Lanes
        Which bits of a word make the cell of a sum, and how far the cell of a partner can be.
    window : int
    smallest, largest : int
        Allowed numbers of rows.
    is_restricted : bool
        Whether the number of rows matters.
    limit_reached : callable
        Asked between chunks: why the search must stop, or None.
    """

    a: DeviceStream
    b: DeviceStream
    lanes: Lanes
    window: int
    smallest: int
    largest: int
    is_restricted: bool
    limit_reached: Callable[[], StoppedBy | None]
    tables: list[Marks] = field(default_factory=list, init=False)

    def run(self, low: int, high: int, chunk: int, found: Found) -> None:
        """Add every match whose sum in stream b has low <= key < high to `found`; no tensor of sums exceeds a chunk.

        O(A + B + pairs d) time for A and B sums in the slab; where A is longer than a chunk, B is made again for each
        chunk of it.
        """
        spans_a = self.a.locate(low - self.window, high + self.window)
        spans_b = self.b.locate(low, high)
        marks, picks = self._tables(min(chunk, max(spans_a.total, spans_b.total)))
        mask = signed(self.lanes.mask)
        for begin in range(0, spans_a.total if spans_b.total else 0, chunk):
            stop = min(begin + chunk, spans_a.total)
            entries_a = self.a.entries(spans_a, begin, stop)
            cells = self.a.words(*entries_a) & mask
            places = marks.places(cells)
            marks.set(places)
            found.work += stop - begin
            for first in range(0, spans_b.total, chunk):
                if self._is_over(found):
                    return
                last = min(first + chunk, spans_b.total)
                entries_b = self.b.entries(spans_b, first, last)
                found.work += last - first
                for wanted, rows in _batches(self._cells_marked(self.b.words(*entries_b), mask, marks), chunk):
                    for at_a, at_b in _pairs(cells, places, wanted, rows, picks, chunk):
                        found.pairs += at_a.numel()
                        i, j = (entries[at_a] for entries in entries_a)
                        k, m = (entries[at_b] for entries in entries_b)
                        self._compare(i, j, k, m, found)
                        if self._is_over(found):
                            return

    def _tables(self, count: int) -> list[Marks]:
        """Two tables fit for so many cells: those of the last slab if they are, since new memory is slow."""
        bits = Marks.bits_for(count)
        if not self.tables or not bits <= self.tables[0].bits <= bits + 1:
            self.tables = []
            self.tables = [Marks(bits, self.a.keys_1.device) for _ in range(2)]
        return self.tables

    def _is_over(self, found: Found) -> bool:
        found.stopped = self.limit_reached()
        return found.stopped is not None or found.is_settled

    def _cells_marked(self, words: Tensor, mask: int, marks: Marks) -> Iterator[Wanted]:
        """The marked cells that a partner of each sum of stream b may be in, and the places of those sums."""
        halo = signed(self.lanes.halo)
        one = words - halo
        crossed = (one ^ (words + halo)) & mask
        one &= mask
        near = torch.nonzero(marks.at(marks.places(one)))[:, 0]
        yield one[near], near
        several = torch.nonzero(crossed)[:, 0]
        if not several.numel():
            return
        one, crossed = one[several], crossed[several]
        lanes = [signed(lane) for lane in self.lanes.masks]
        for count in range(1, len(lanes) + 1):
            for chosen in combinations(lanes, count):  # the cell takes these lanes from the upper end of the halo
                crosses = (crossed & chosen[0]) != 0
                for lane in chosen[1:]:
                    crosses &= (crossed & lane) != 0
                rows = torch.nonzero(crosses)[:, 0]
                cells = one[rows] ^ (crossed[rows] & sum(chosen))
                near = torch.nonzero(marks.at(marks.places(cells)))[:, 0]
                yield cells[near], several[rows[near]]

    def _compare(self, i: Tensor, j: Tensor, k: Tensor, m: Tensor, found: Found) -> None:
        """Compare sums i + j of stream a with k + m of stream b, exactly, a coordinate at a time."""
        if self.is_restricted:
            rows = self.a.sizes_1[i] + self.a.sizes_2[j] + self.b.sizes_1[k] + self.b.sizes_2[m]
            near = torch.nonzero((rows >= self.smallest) & (rows <= self.largest))[:, 0]
            i, j, k, m = i[near], j[near], k[near], m[near]
        errors = torch.zeros_like(i)
        for column in range(self.a.columns_1.shape[0]):
            left = self.a.columns_1[column][i] + self.a.columns_2[column][j]
            right = self.b.columns_1[column][k] + self.b.columns_2[column][m]
            errors = torch.maximum(errors, (left - right).abs())
            near = torch.nonzero(errors <= found.limit)[:, 0]
            if not near.numel():
                return
            i, j, k, m, errors = i[near], j[near], k[near], m[near], errors[near]
        found.add(errors, self.a.codes(i, j), self.b.codes(k, m))


class Marks:
    """A table of bytes that tells which cells were not set; of those that were not, it may call some set.

    Parameters
    ----------
    bits : int
        log2 of its bytes.
    where : torch.device
    """

    def __init__(self, bits: int, where: torch.device) -> None:
        self.bits = bits
        self.table = torch.empty(1 << bits, dtype=torch.bool, device=where)

    @staticmethod
    def bits_for(count: int) -> int:
        """Enough for `count` cells: 16 to 32 bytes for each, so that few others seem set."""
        return max(1, (count - 1).bit_length()) + _LOAD_BITS

    def places(self, cells: Tensor) -> Tensor:
        """Where in the table each cell is."""
        return (cells * _GOLDEN >> (64 - self.bits)) & ((1 << self.bits) - 1)

    def set(self, places: Tensor) -> None:
        """Set these places and no others."""
        self.table.zero_()
        self.table.index_fill_(0, places, True)

    def at(self, places: Tensor) -> Tensor:
        """Whether a cell with this place may have been set."""
        return self.table.index_select(0, places)


def _batches(parts: Iterator[Wanted], longest: int) -> Iterator[Wanted]:
    """The same cells and places in fewer parts, empty ones left out; none longer than `longest` unless one part is."""
    waiting: list[Wanted] = []
    count = 0
    for part in parts:
        if waiting and count + part[0].numel() > longest:
            yield _joined(waiting)
            waiting, count = [], 0
        if part[0].numel():
            waiting.append(part)
            count += part[0].numel()
    if waiting:
        yield _joined(waiting)


def _joined(parts: list[Wanted]) -> Wanted:
    return torch.cat([cells for cells, _ in parts]), torch.cat([rows for _, rows in parts])


def _pairs(
    cells: Tensor, places: Tensor, wanted: Tensor, rows: Tensor, picks: Marks, chunk: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Every place in `cells` with every one of `rows` whose wanted cell is there, at most a chunk at a time."""
    picks.set(picks.places(wanted))
    near = torch.nonzero(picks.at(places))[:, 0]
    if not near.numel():
        return
    ordered, order = torch.sort(cells[near], stable=True)
    first = torch.searchsorted(ordered, wanted)
    stretches = Spans(first, torch.searchsorted(ordered, wanted, right=True) - first)
    for begin in range(0, stretches.total, chunk):
        row, place = stretches.take(begin, min(begin + chunk, stretches.total))
        yield near[order[place]], rows[row]
