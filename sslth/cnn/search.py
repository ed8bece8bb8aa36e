"""The search of one block at any width: rows are drawn in tiles, used and dropped; only the smallest ones stay."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sslth.cnn.gain import pursuit_gain, sign_gain
from sslth.cnn.kept_filters import Keeping, Numbers
from sslth.cnn.random_layer import Block
from sslth.cnn.wide import (
    SORTED_AT_MOST,
    WideBlock,
    bytes_of_wide_block,
    empty_rows,
    falling_order,
    is_wide,
)
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.kernels.sign_tile import sign_tile
from sslth.subset_sum.kernels.tail import take_signs_off
from sslth.subset_sum.limits import Limits, Norm
from sslth.subset_sum.solve import solve_within
from sslth.subset_sum.solvers import Solver
from sslth.subset_sum.solvers.meet_in_the_middle import MeetInTheMiddle
from sslth.subset_sum.solvers.message_passing import MessagePassing
from sslth.subset_sum.solvers.sign_beam import SignBeam
from sslth.subset_sum.solvers.sign_pursuit import SignPursuit
from sslth.subset_sum.solvers.sorted_pursuit import SortedPursuit

__all__ = [
    "MOST_WORK",
    "Ordered",
    "TiledSearch",
    "bytes_of_whole_block",
    "candidates",
    "most_tile_rows",
    "search_whole_block",
]

Filters = npt.NDArray[np.uint32]
FloatArray = npt.NDArray[np.float64]

MOST_WORK = 10**10  # partial sums a block: far above what pursuit needs, an end for solvers that would never stop
_FEWEST_A_DIMENSION = 3  # rows: below, sorted pursuit over the whole block is no worse
_EXACT_UP_TO = 4
_EXACT_ROWS = {1: 24}
_MORE_EXACT_ROWS = 32
_BEAM_UP_TO = 26
_BEAM_ROWS = 9
_MESSAGE_ROWS = 5
_LARGEST_TAIL = 8 << 20  # entries: 0.1 ns a round and 64 bytes each
_BYTES_AN_ENTRY_OF_TAIL = 64
_BYTES_A_FILTER = 64
_TILE_ROWS = 4096
_TILE_ENTRIES = 1 << 19  # 2 MB: a tile is decided before it leaves the cache
_LONG_RUN, _SHORT_RUN, _HASTY_RUN = (600, 32), (400, 16), (50, 4)  # rounds, states of the beam
_MANY_ENTRIES = 1 << 18


@dataclass(frozen=True)
class TiledSearch:
    """Sign pursuit tile by tile, then the solver that spends the smallest rows best.

    The rows of a sign are ordered by falling |v_t|, which one number a filter tells. The smallest ones, the tail, are
    drawn first and stay; the others come in tiles of up to 4,096 rows, each decided by `sign_tile` and forgotten. Then
    the tail is searched: exactly up to d = 4 (24 or 32 rows), by a beam up to d = 26 (9 d rows), by message passing
    above (5 d rows, all rows up to 7.5 d), and by a pass of signs where 5 d rows would be too large. A tile knows
    nothing of those to come: their sum has mean zero, and each takes off half of its own when it is drawn, which costs
    nothing that could be measured. Above 2^18 filters only the smallest ones of a sign, 65,536 or 3 √(n d), are
    ordered, and the others come by number (`sslth.cnn.wide`).

    Attributes
    ----------
    ahead : bool
        In a wide block another thread draws the next tile while one is decided. It changes nothing that is found.
    device : str or None
        Where `search_all` draws and decides tiles, many blocks at once, by torch; None for the compiled kernels. What
        is found is the same. "cuda" is all GPUs that torch sees.

    Notes
    -----
    Cost O(n d) time, nearly all of it for drawing each row once. Memory O(n + d tail_rows) up to 2^18 filters; above,
    O(d tail_rows); the kept numbers go to a temporary file.
    """

    name: str = "tiled_signs"
    ahead: bool = field(default=False, compare=False, repr=False)
    device: str | None = field(default=None, compare=False, repr=False)

    def takes(self, n: int, d: int) -> bool:
        """Whether n expected rows are enough; otherwise sorted pursuit is as good."""
        return d <= _EXACT_UP_TO or n >= _FEWEST_A_DIMENSION * d

    def gain(self, norms: FloatArray, bias_norm: float, width: int, d: int) -> float:
        """The gain of a layer for this search."""
        rule = sign_gain if self.takes(width, d) else pursuit_gain
        return rule(norms, bias_norm, width, d)

    def bytes_of_block(self, width: int, d: int) -> int:
        """What the search of one block takes at most, of 2 width filters; numbers that are kept are on disk."""
        if not self.takes(width, d):
            return bytes_of_whole_block(width, d)
        tile, tail = min(max(d, _TILE_ENTRIES), width * d), _BYTES_AN_ENTRY_OF_TAIL * _tail_rows(d, width) * d
        if 2 * width > SORTED_AT_MOST:
            return bytes_of_wide_block(width, d, min(tile, _TILE_ROWS * d)) + tail
        return _BYTES_A_FILTER * 2 * width + tail + 4 * tile

    def search(self, block: Block, sign: int, target: FloatArray) -> Numbers:
        """The kept filters of one block and sign, rising, packed if it is wide; target float64[d] is not zero."""
        if is_wide(block) and self.takes(block.size // 2, target.size):
            return self._search_wide(block, sign, target)
        filters, scales = candidates(block, sign)
        if filters.size == 0:
            return filters
        if not self.takes(filters.size, target.size):
            return np.sort(search_whole_block(block, sign, target, SortedPursuit(presorted=True), None, Norm.L2))
        ordered = Ordered(block, filters, scales, target, filters.size)
        _decide_in_tiles(block, ordered.main, ordered.lengths, ordered.residual, ordered.keep)
        return ordered.finished(float(np.linalg.norm(target)))

    def _search_wide(self, block: Block, sign: int, target: FloatArray) -> Numbers:
        """Large filters as they come, then the small ones as in any other block."""
        residual = target.copy()
        kept = Keeping()
        filters, scales = WideBlock(block, sign, most_tile_rows(target.size)).decide(residual, kept, self.ahead)
        ordered = Ordered(block, filters, scales, residual, block.size // 2)
        _decide_in_tiles(block, ordered.main, ordered.lengths, ordered.residual, ordered.keep)
        return ordered.finished(float(np.linalg.norm(target)), kept)


class Ordered:
    """Filters by falling |v_t| on their way: `main`, which tiles decide, and the tail, which the last solver spends.

    Parameters
    ----------
    block : Block
    filters, scales : uint32[k], float32[k]
        At least one, by falling |v_t|.
    target : float64[d]
    n : int
        Filters of the sign in the whole block.

    Attributes
    ----------
    main, lengths : uint32[m], float64[m]
        For sign pursuit over `residual` and `keep[:m]`, both in place.
    """

    def __init__(
        self, block: Block, filters: Filters, scales: npt.NDArray[np.float32], target: FloatArray, n: int
    ) -> None:
        self._filters, self._n = filters, n
        rows_left = _tail_rows(target.size, filters.size)
        self.main = filters[: filters.size - rows_left]
        self.lengths = scales[: self.main.size].astype(np.float64)
        self.keep = np.zeros(filters.size, dtype=np.bool_)
        self._tail = block.rows(filters[self.main.size :], scales[self.main.size :])
        self._tail.flags.writeable = False
        self._half = 0.5 * _sum(self._tail) if self.main.size else np.zeros(target.size)
        self.residual = target - self._half

    def finished(self, length: float, kept: Keeping | None = None) -> Numbers:
        """The kept filters and those of `kept`, in rising order; none if they leave an error as long as the target."""
        keep, error = _spend_tail(self._tail, self.residual + self._half, self._n)
        self.keep[self.main.size :] = keep
        if error >= length:
            return self._filters[:0]
        found = self._filters[self.keep]
        return np.sort(found) if kept is None else kept.with_others(found)


def most_tile_rows(d: int) -> int:
    """Rows of a tile: 4,096, or as many as make 2^19 entries."""
    return max(1, min(_TILE_ROWS, _TILE_ENTRIES // d))


def bytes_of_whole_block(width: int, d: int) -> int:
    """What a solver that sees all rows takes at least: the rows, their copy in the instance, a working copy."""
    return 3 * 8 * width * d


def candidates(block: Block, sign: int) -> tuple[Filters, npt.NDArray[np.float32]]:
    """The filters of one sign by falling |v_t|, ties by t, and those |v_t|: uint32[k], float32[k]."""
    scales = block.scales()
    filters = np.flatnonzero(scales * np.float32(sign) > 0).astype(np.uint32)
    lengths = np.abs(scales[filters])
    order = falling_order(lengths)
    return filters[order], lengths[order]


def search_whole_block(
    block: Block, sign: int, target: FloatArray, solver: Solver, max_kept: int | None, norm: Norm = Norm.SUP
) -> Filters:
    """The kept filters of one block and sign by any solver, which sees all rows at once. O(n d) memory."""
    filters, lengths = candidates(block, sign)
    if filters.size == 0:
        return filters
    instance = Instance(block.rows(filters, lengths), target, max_cardinality=max_kept)
    return filters[solve_within(instance, solver, Limits(max_work=MOST_WORK, norm=norm)).subset]


def _tail_rows(d: int, n: int) -> int:
    """How many of n rows are left for the last solver."""
    if d <= _EXACT_UP_TO:
        return min(n, _EXACT_ROWS.get(d, _MORE_EXACT_ROWS))
    if d <= _BEAM_UP_TO:
        return min(n, _BEAM_ROWS * d)
    rows = min(_MESSAGE_ROWS * d, max(1, _LARGEST_TAIL // d))
    return n if n <= 1.5 * rows and n * d <= _LARGEST_TAIL else min(n, rows)


def _last_solver(d: int, m: int, n: int) -> Solver:
    if d <= _EXACT_UP_TO:
        return MeetInTheMiddle(threads=1)
    if d <= _BEAM_UP_TO:
        return SignBeam(widths=(1024,))
    if m < min(n, _MESSAGE_ROWS * d):
        return SignPursuit()
    if m * d <= _MANY_ENTRIES:
        rounds, beam = _LONG_RUN
    else:
        rounds, beam = _SHORT_RUN if n >= 16 * d else _HASTY_RUN
    return MessagePassing(restarts=1, rounds=rounds, beam=beam, early_beam=rounds >= _SHORT_RUN[0])


def _decide_in_tiles(
    block: Block, filters: Filters, scales: FloatArray, residual: FloatArray, keep: npt.NDArray[np.bool_]
) -> None:
    """Sign pursuit over the filters, by falling scale; residual float64[d] and keep bool[>= k] in place."""
    d = residual.size
    size = max(1, min(filters.size, most_tile_rows(d)))
    rows = empty_rows(lambda size: np.empty((size, d), dtype=np.float32), size)
    size = len(rows)
    weights, total = np.empty(size), np.empty(d)
    for start in range(0, filters.size, size):
        stop = min(filters.size, start + size)
        here = rows[: stop - start]
        block.fill(filters[start:stop], here)
        sign_tile(here, scales[start:stop], residual, keep[start:stop], weights[: stop - start], total)


def _spend_tail(rows: FloatArray, target: FloatArray, n: int) -> tuple[npt.NDArray[np.bool_], float]:
    """Which rows of the tail to keep, bool[m], and the Euclidean error that is left."""
    m, d = rows.shape
    solution = solve_within(Instance(rows, target), _last_solver(d, m, n), Limits(max_work=MOST_WORK))
    keep = np.zeros(m, dtype=np.bool_)
    keep[solution.subset] = True
    left = target.copy()
    take_signs_off(rows, np.arange(m), keep, 0.0, left)
    return keep, float(np.linalg.norm(left))


def _sum(rows: FloatArray) -> FloatArray:
    total: FloatArray = rows.sum(axis=0)
    return total
