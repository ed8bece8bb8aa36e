"""One half stored by cells of some coordinates and bytes of others, the sums of the other half looked up in it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.exact.found import Found, LocalMatches
from sslth.subset_sum.exact.lists import quarter_lists
from sslth.subset_sum.exact.pair_model import PairModel
from sslth.subset_sum.exact.problem import HalvedProblem
from sslth.subset_sum.exact.search import Buffer
from sslth.subset_sum.exact.tile_layout import SumLists, TileLayout
from sslth.subset_sum.exact.tile_plan import LARGEST_WINDOW
from sslth.subset_sum.exact.wanted_sums import WantedSums
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import StoppedBy

__all__ = ["TileJoin", "tile_bytes"]

IntArray = npt.NDArray[np.int64]

_FIRST_HITS = 4.0  # 1 to 5 take about as long on average; fewer need a second pass more often
_MOST_BLOCKS, _SMALLEST_BLOCK = 64, 1 << 13
_FEWEST_FOR_THREADS = 1 << 14  # sums; fewer take less than a millisecond
# Looking for sums out of reach takes 2.5 ms: as long as it saves at n = 34, unless the target is far.
_WORTH_REACHING, _FAR = 1 << 18, 1.0
_AHEAD = 8  # a block knows what the blocks up to so many before it found, whatever the number of threads


class TileJoin:
    """Passes over two stored halves.

    Memory up to 28 bytes for each sum of the first half and 20 for each of the other.
    """

    name = "tiles"
    starts_wide = False

    def __init__(self, problem: HalvedProblem, limits: Limits, threads: int = 1, lists: SumLists | None = None) -> None:
        self.problem, self.limits, self.threads = problem, limits, threads
        self.work = 0
        self.model: PairModel
        self.lists = lists

    def first_window(self, floor: int) -> int:
        """A window that should hold some subsets."""
        guess, _ = self.problem.expected_error(floor)
        return max(floor + 1, self.model.window(_FIRST_HITS, guess))

    def bytes_needed(self) -> int:
        """What all arrays take."""
        sizes = self.problem.half_sizes
        return tile_bytes(sum(self.problem.quarter_sizes), *sizes, self.problem.target.size, self.threads)

    def fits_codes(self) -> bool:
        """Whether the codes of sums fit 31 bits."""
        sizes = self.problem.quarter_sizes
        return all(sizes[k] << max(0, sizes[k + 1] - 1).bit_length() < 1 << 31 for k in (0, 2))

    def decode(self, first: int, second: int) -> IntArray:
        """The subset behind the two codes of a candidate."""
        assert self.lists is not None
        places = (*divmod(first, self.lists[1].keys.size), *divmod(second, self.lists[3].keys.size))
        digits: dict[int, int] = {}
        for sums, place in zip(self.lists, places, strict=True):
            digits |= sums.digits(place)
        return self.problem.subset(digits)

    def build(self) -> StoppedBy | None:
        """Make the four lists; the rows are stored once the window is known."""
        if self.lists is None:
            self.lists = quarter_lists(self.problem)
        self.model = PairModel(self.problem)
        return self.limits.exceeded(self.work)

    def run_pass(self, buffer: Buffer, bound: int, budget: int | None) -> tuple[StoppedBy | None, bool]:  # noqa: ARG002
        """Offer every subset with an integer error up to `bound` to the buffer; why stopped, and whether finished."""
        assert self.lists is not None
        buffer.start_pass(bound)
        window = min(bound, buffer.conclusive_bound, LARGEST_WINDOW)
        if window < 0:
            return None, True
        with np.errstate(over="ignore"):  # bytes wrap around; compiled kernels do not mind
            rows = TileLayout(self.problem, self.lists, window)
            wanted = WantedSums(rows)
            stopped = self._lay_out(rows, wanted)
            if stopped is None and rows.sums.count > 0:
                stopped = self._look_up(wanted, buffer)
        return stopped, stopped is None

    def _lay_out(self, rows: TileLayout, wanted: WantedSums) -> StoppedBy | None:
        """Drop what is out of reach and lay out the rest; why it was stopped, or None."""
        total = sum(self.problem.half_sizes)
        left = self.limits.work_left(self.work)
        if left is not None and left < total:
            return StoppedBy.WORK
        self.work += total
        if total >= _WORTH_REACHING or self.problem.remoteness > _FAR:
            stopped = self._together(rows.reach(wanted.sums), wanted.reach())
            if stopped is not None or rows.sums.count == 0:
                return stopped
        rows.choose_cells(wanted.sums)
        return self._together(rows.store(), wanted.store())

    def _look_up(self, wanted: WantedSums, buffer: Buffer) -> StoppedBy | None:
        """Offer the buffer what wanted sums have near them; why it was stopped, or None."""
        for found in self._results(wanted, buffer):
            self.work += found.work
            for errors, codes in zip(found.errors, found.codes, strict=True):
                buffer.absorb(errors, codes)
            stopped = found.stopped or self.limits.exceeded(self.work)
            if buffer.within_tolerance is not None:
                stopped = StoppedBy.TOLERANCE
            if stopped is not None or buffer.is_settled:
                return stopped
        return None

    @property
    def _workers(self) -> int:
        return self.threads if sum(self.problem.half_sizes) >= _FEWEST_FOR_THREADS else 1

    def _together(self, one: Iterator[None], other: Iterator[None]) -> StoppedBy | None:
        """Drain both, each on a thread of its own if there are two."""
        if self._workers == 1:
            return self._drain(one) or self._drain(other)
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(self._drain, (one, other))
        return first or second

    def _drain(self, steps: Iterator[None]) -> StoppedBy | None:
        with np.errstate(over="ignore"):
            for _ in steps:
                stopped = self.limits.exceeded()
                if stopped is not None:
                    return stopped
        return None

    def _results(self, wanted: WantedSums, buffer: Buffer) -> Iterator[Found]:
        """What the blocks of wanted sums found, in order."""
        blocks = wanted.blocks(_MOST_BLOCKS, _SMALLEST_BLOCK)
        cancelled: list[bool] = []

        def run(first: int, stop: int, control: IntArray) -> Found:
            with np.errstate(over="ignore"):
                return self._block(wanted, buffer, first, stop, control, lambda: bool(cancelled))

        if self._workers == 1:
            done: deque[Found] = deque()
            for first, stop in blocks:
                if len(done) == _AHEAD:
                    yield done.popleft()
                done.append(run(first, stop, buffer.control.copy()))
            yield from done
            return
        with ThreadPoolExecutor(self.threads) as pool:
            waiting: deque[Future[Found]] = deque()
            try:
                for first, stop in blocks:
                    if len(waiting) == _AHEAD:
                        yield waiting.popleft().result()
                    waiting.append(pool.submit(run, first, stop, buffer.control.copy()))
                while waiting:
                    yield waiting.popleft().result()
            finally:
                cancelled.append(True)

    def _block(
        self,
        wanted: WantedSums,
        buffer: Buffer,
        first: int,
        stop: int,
        control: IntArray,
        is_cancelled: Callable[[], bool],
    ) -> Found:
        """Search the wanted sums first..stop - 1."""
        found = Found()
        matches = LocalMatches(buffer, self.decode)
        control[0] = 0
        state = np.array([first, 0, 0], dtype=np.int64)
        while state[0] < stop and control[1] + control[2] >= 0 and not found.met_tolerance:
            found.stopped = StoppedBy.INTERRUPT if is_cancelled() else self.limits.exceeded()
            if found.stopped is not None:
                break
            found.work += wanted.join(matches, control, state, stop)
            matches.keep(control, found)
        return found


def tile_bytes(lists: int, rows: int, wanted: int, d: int, threads: int) -> int:
    """Memory of a `TileJoin` over lists of so many sums in all and halves of so many.

    Lists as they are, by axes and along directions; for each row its partner, cell, code and bytes and two places in
    the table of cells; for each wanted sum its partner, bucket and code; matches.
    """
    return (
        lists * (40 * d + 800) + rows * (4 + 4 + 4 + 8 + 8) + wanted * (4 + 8 + 8) + (threads + _AHEAD) * (1 << 19)
    )  # fmt: skip
