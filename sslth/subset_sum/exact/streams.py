"""Both halves as streams of sums, never stored, joined slab by slab on any number of threads.

Schroeppel and Shamir's four lists [SchroeppelShamir1981]_ without their heaps: the sums of a half are produced in slabs
of one coordinate instead of one by one in order, and a bitmap over cells of several coordinates finds the few that can
match.

.. [SchroeppelShamir1981] R. Schroeppel, A. Shamir, "A T = O(2^(n/2)), S = O(2^(n/4)) algorithm for certain NP-complete
   problems", SIAM Journal on Computing 10, 1981. doi:10.1137/0210033
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.exact.found import Found, LocalMatches
from sslth.subset_sum.exact.lanes import Lanes, plan_lanes
from sslth.subset_sum.exact.lists import SumList, quarter_lists
from sslth.subset_sum.exact.problem import HalvedProblem
from sslth.subset_sum.exact.search import Buffer
from sslth.subset_sum.kernels.slabs import chain_cells, join_slab, mark_cells, move_pointers, pick_marked
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import StoppedBy

__all__ = ["StreamJoin", "available_cores"]

IntArray = npt.NDArray[np.int64]

_SLABS_PER_BLOCK = 16
_STEPS_PER_CALL = 2_000_000  # 5 to 40 ms
_LOAD_BITS = 4  # a bitmap has 2**4 times as many bits as a slab has sums
_SMALLEST_SLAB = 1 << 18  # sums: the bitmap, half a MiB, stays in the second-level cache
_SHORTEST_STRETCH = 16  # sums that an entry of the first list should contribute to a slab
_SAMPLES_PER_SLAB = 256
_MOST_SAMPLES = 1 << 16
_COMPARISONS_AN_ENTRY = 4e6  # between two looks at the clock


@dataclass(frozen=True)
class _Stream:
    """All sums of two lists."""

    one: SumList
    two: SumList
    reach: IntArray

    @classmethod
    def of(cls, one: SumList, two: SumList, largest: int) -> _Stream:
        reach = np.searchsorted(two.segment_sizes, largest - one.sizes, side="right").astype(np.int64)
        return cls(one, two, reach)

    @property
    def total(self) -> int:
        """Number of sums."""
        return int(self._partners(self.reach).sum())

    def _partners(self, reach: IntArray) -> IntArray:
        return np.concatenate([[0], self.two.last]).astype(np.int64)[reach]

    def pointers(self) -> IntArray:
        """Before every partner."""
        firsts = np.concatenate([[0], self.two.last[:-1]]).astype(np.int64)
        return np.tile(firsts, (self.one.keys.size, 1))

    def sample(self, rng: np.random.Generator, count: int) -> IntArray:
        """Keys of random sums."""
        reachable = np.flatnonzero(self.reach)
        ends = self._partners(self.reach[reachable])
        first = np.searchsorted(np.cumsum(ends), rng.integers(0, ends.sum(), count), side="right")
        second = rng.integers(0, ends[first])
        return self.one.keys[reachable[first]] + self.two.keys[second]

    @property
    def span(self) -> tuple[int, int]:
        """Two numbers that the keys lie between."""
        one, two = self.one.keys, self.two.keys
        return int(one.min()) + int(two.min()), int(one.max()) + int(two.max())


class StreamJoin:
    """Passes over the slabs of two streams."""

    name = "streams"
    starts_wide = False

    def __init__(
        self, problem: HalvedProblem, limits: Limits, threads: int = 1, sums_per_slab: int | None = None
    ) -> None:
        self.problem, self.limits, self.threads = problem, limits, threads
        sizes = problem.quarter_sizes
        self.sums_per_slab = sums_per_slab or max(_SMALLEST_SLAB, _SHORTEST_STRETCH * max(sizes[0], sizes[2]))
        self.work = 0
        self.lists: tuple[SumList, SumList, SumList, SumList]
        self.a: _Stream
        self.b: _Stream
        self.is_built = False

    def first_window(self, floor: int) -> int:
        """A window that should hold twelve subsets: it costs streams little, a second pass as much as the first."""
        return self.problem.expected_error(floor, 12.0)[0]

    def bytes_needed(self) -> int:
        """The four lists, and each thread's bitmaps, picks and pointers."""
        sizes, d = self.problem.quarter_sizes, self.problem.target.size
        segments = 1 + self.problem.is_restricted * max(len(half) for half in self.problem.halves)
        bits = _table_bits(min(max(self.problem.half_sizes), self.sums_per_slab))
        pointers = 8 * (sizes[0] + sizes[2]) * segments
        picks = 20 * _pick_capacity(bits, max(sizes))
        return sum(sizes) * (8 * d + 32) + self.threads * ((1 << bits) // 4 + 2 * picks + pointers)

    def decode(self, first: int, second: int) -> IntArray:
        """The subset behind the two codes of a candidate."""
        places = (*divmod(first, self.lists[1].keys.size), *divmod(second, self.lists[3].keys.size))
        digits: dict[int, int] = {}
        for sums, place in zip(self.lists, places, strict=True):
            digits |= sums.digits(place)
        return self.problem.subset(digits)

    def build(self) -> StoppedBy | None:
        """Make the four lists."""
        if self.is_built:
            return self.limits.exceeded(self.work)
        self.lists = quarter_lists(self.problem)
        self.a = _Stream.of(self.lists[0], self.lists[1], self.problem.largest)
        self.b = _Stream.of(self.lists[2], self.lists[3], self.problem.largest)
        self.is_built = True
        return self.limits.exceeded(self.work)

    def nanoseconds_per_sum(self, floor: int) -> float:
        """A guess at the cost of the first pass, for choosing between joins."""
        if self.build() is not None:
            return 0.0
        window = self.first_window(floor)
        edges = self.edges(window)
        lanes = self._plan(edges, window)
        pairs = self._sums_per_slab(edges) * lanes.crossing / 2.0**lanes.cell_bits
        return 20.0 + 10.0 * lanes.crossing + 300.0 * pairs  # fitted at n = 40, d = 1 to 9

    def run_pass(self, buffer: Buffer, bound: int, budget: int | None) -> tuple[StoppedBy | None, bool]:  # noqa: ARG002
        """Offer every subset with an integer error up to `bound` to the buffer; why stopped, and whether finished."""
        buffer.start_pass(bound)
        window = min(bound, buffer.conclusive_bound)
        edges = self.edges(window)
        blocks = [edges[i : i + _SLABS_PER_BLOCK + 1] for i in range(0, edges.size - 1, _SLABS_PER_BLOCK)]
        context = _Pass(self, buffer, window, self._plan(edges, window))
        stopped: StoppedBy | None = None
        for found in context.results(blocks, self.threads):
            self.work += found.work
            for errors, codes in zip(found.errors, found.codes, strict=True):
                buffer.absorb(errors, codes)
            if found.dropped:
                buffer.overflowed_at = buffer.best
            stopped = found.stopped or self.limits.exceeded(self.work)
            if buffer.within_tolerance is not None:
                stopped = StoppedBy.TOLERANCE
            if stopped is not None or buffer.is_settled:
                break
        return stopped, stopped is None

    def _sums_per_slab(self, edges: IntArray) -> float:
        return (self.a.total + self.b.total) / 2 / max(1, edges.size - 1)

    def _plan(self, edges: IntArray, window: int) -> Lanes:
        width = int(np.median(np.diff(edges))) if edges.size > 1 else 1
        return plan_lanes(
            self.problem, width, window, _table_bits(min(int(self._sums_per_slab(edges)), self.sums_per_slab))
        )

    def edges(self, window: int, sums_per_slab: int | None = None, most_samples: int = _MOST_SAMPLES) -> IntArray:
        """Slabs of about equally many sums, as rising limits of the first coordinate; none outside both streams."""
        low = max(self.a.span[0] - window, self.b.span[0])
        high = min(self.a.span[1] + window, self.b.span[1])
        if low > high:
            return np.empty(0, dtype=np.int64)
        count = math.ceil((self.a.total + self.b.total) / (2 * (sums_per_slab or self.sums_per_slab)))
        if count <= 1:
            return np.array([low, high + 1], dtype=np.int64)
        rng = np.random.Generator(np.random.Philox(0))
        samples = min(most_samples, _SAMPLES_PER_SLAB * count)
        keys = np.sort(np.concatenate([self.a.sample(rng, samples), self.b.sample(rng, samples)]))
        inner = keys[np.linspace(0, keys.size - 1, count + 1).astype(np.int64)[1:-1]]
        inner = inner[(inner > low) & (inner <= high)]
        return np.unique(np.concatenate([[low], inner, [high + 1]])).astype(np.int64)


class _Pass:
    """What all slabs of one pass share."""

    def __init__(self, join: StreamJoin, buffer: Buffer, window: int, lanes: Lanes) -> None:
        self.join, self.buffer, self.window, self.lanes = join, buffer, window, lanes
        self.words = [lanes.words(sums) for sums in join.lists]
        self.shift = np.uint64(64 - lanes.table_bits)
        second = join.lists[3].keys.size
        # where cells tell little apart, fewer picks at a time: a sum is compared with all that share its cell
        comparable = _COMPARISONS_AN_ENTRY * 2.0**lanes.cell_bits / (_SHORTEST_STRETCH * lanes.crossing)
        self.pick_capacity = min(_pick_capacity(lanes.table_bits, second), max(2 * second + 64, int(comparable)))

    def results(self, blocks: list[IntArray], threads: int) -> Iterator[Found]:
        """The slabs' results, in order."""
        if threads == 1 or len(blocks) < 2:
            worker = _Worker(self)
            for block in blocks:
                yield from worker.run(block)
            return
        workers = [_Worker(self) for _ in range(threads)]
        idle = deque(workers)
        with ThreadPoolExecutor(threads) as pool:
            waiting: deque[tuple[_Worker, Future[list[Found]]]] = deque()
            todo = iter(blocks)
            try:
                while True:
                    for block in islice(todo, len(idle)):
                        worker = idle.popleft()
                        waiting.append((worker, pool.submit(_run_all, worker, block)))
                    if not waiting:
                        return
                    worker, future = waiting.popleft()
                    found = future.result()
                    idle.append(worker)
                    yield from found
            finally:
                for worker in workers:
                    worker.is_cancelled = True


def _run_all(worker: _Worker, block: IntArray) -> list[Found]:
    return list(worker.run(block))


class _Worker:
    """One thread's bitmaps and lists."""

    def __init__(self, shared: _Pass) -> None:
        self.shared = shared
        words = max(1, (1 << shared.lanes.table_bits) // 64)
        self.marks = np.zeros(words, dtype=np.uint64)
        self.pick_marks = np.zeros(words, dtype=np.uint64)
        capacity = shared.pick_capacity
        self.picked_1 = np.empty(capacity, dtype=np.int32)
        self.picked_2 = np.empty(capacity, dtype=np.int32)
        self.picked_cells = np.empty(capacity, dtype=np.uint64)
        self.following = np.empty(capacity, dtype=np.int32)
        self.heads = np.empty(1 << (capacity - 1).bit_length() >> 2, dtype=np.int32)
        self.matches = LocalMatches(shared.buffer, shared.join.decode)
        self.pointers_a = shared.join.a.pointers()
        self.pointers_b = shared.join.b.pointers()
        self.is_cancelled = False

    def run(self, edges: IntArray) -> Iterator[Found]:
        """Search the slabs between the edges, in order."""
        for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            found = Found()
            self._slab(low, high, found)
            yield found
            if found.stopped is not None or found.met_tolerance:
                return

    def _is_over(self, found: Found) -> bool:
        if found.stopped is None:
            found.stopped = StoppedBy.INTERRUPT if self.is_cancelled else self.shared.join.limits.exceeded()
        return found.stopped is not None or found.met_tolerance

    @np.errstate(over="ignore")  # words wrap around; compiled kernels do not mind
    def _slab(self, low: int, high: int, found: Found) -> None:
        shared, lanes = self.shared, self.shared.lanes
        a, b = shared.join.a, shared.join.b
        halo = shared.window
        stream_a = (a.one.keys, shared.words[0], a.reach, a.two.keys, shared.words[1], a.two.last, self.pointers_a)
        stream_b = (b.one.keys, shared.words[2], b.reach, b.two.keys, shared.words[3], b.two.last, self.pointers_b)
        move_pointers(a.one.keys, a.reach, a.two.keys, a.two.last, self.pointers_a, low - halo)
        move_pointers(b.one.keys, b.reach, b.two.keys, b.two.last, self.pointers_b, low)
        self.marks[:] = 0
        state = np.zeros(1, dtype=np.int64)
        while state[0] < a.one.keys.size and not self._is_over(found):
            found.work += mark_cells(
                *stream_a, low - halo, high + halo, lanes.halo, lanes.mask, lanes.masks, shared.shift, self.marks,
                state, _STEPS_PER_CALL,
            )  # fmt: skip
        picked = np.zeros(2, dtype=np.int64)
        while picked[0] < b.one.keys.size and not self._is_over(found):
            picked[1] = 0
            capacity = self.picked_1.size - b.two.keys.size
            while picked[0] < b.one.keys.size and picked[1] < capacity and not self._is_over(found):
                found.work += pick_marked(
                    *stream_b, low, high, lanes.mask, shared.shift, self.marks,
                    self.picked_1, self.picked_2, self.picked_cells, picked, _STEPS_PER_CALL,
                )  # fmt: skip
            self._join(low - halo, high + halo, stream_a, int(picked[1]), found)

    def _join(self, low: int, high: int, stream_a: tuple, count: int, found: Found) -> None:  # type: ignore[type-arg]
        shared, lanes = self.shared, self.shared.lanes
        problem, lists = shared.join.problem, shared.join.lists
        if count == 0 or self._is_over(found):
            return
        self.pick_marks[:] = 0
        chain_cells(self.picked_cells, count, shared.shift, self.pick_marks, self.heads, self.following)
        control = shared.buffer.control.copy()
        control[0] = 0
        state = np.array([0, 0, 0, -1], dtype=np.int64)
        while state[0] < lists[0].keys.size and not self._is_over(found):
            found.work += join_slab(
                *stream_a, low, high, lanes.halo, lanes.mask, lanes.masks, shared.shift, self.pick_marks,
                self.picked_1, self.picked_2, self.picked_cells, self.heads, self.following,
                *(sums.columns for sums in lists), *(sums.sizes for sums in lists), problem.smallest, problem.largest,
                self.matches.errors, self.matches.codes, control, state, _STEPS_PER_CALL,
            )  # fmt: skip
            found.dropped = found.dropped or state[1] == 2
            if control[1] + control[2] < 0:
                state[0] = lists[0].keys.size
            self.matches.keep(control, found)


def available_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _table_bits(slab_sums: int) -> int:
    return max(10, math.ceil(math.log2(max(2, slab_sums))) + _LOAD_BITS)


def _pick_capacity(table_bits: int, second: int) -> int:
    return (1 << max(8, table_bits - _LOAD_BITS - 1)) + 2 * second
