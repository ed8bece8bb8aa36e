"""Meet in the middle on torch devices: slabs of two streams, shared among the devices, as a way to join halves."""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from threading import Event

import numpy as np
import numpy.typing as npt
import torch

from sslth.errors import InvalidInputError
from sslth.subset_sum.exact.choose import readable_size
from sslth.subset_sum.exact.device_slabs import Found, SlabSearch
from sslth.subset_sum.exact.device_streams import DeviceStream
from sslth.subset_sum.exact.devices import is_out_of_memory
from sslth.subset_sum.exact.lanes import Lanes, plan_lanes
from sslth.subset_sum.exact.problem import HalvedProblem
from sslth.subset_sum.exact.search import Buffer
from sslth.subset_sum.exact.streams import StreamJoin
from sslth.subset_sum.fixed_point import UNREACHABLE
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import StoppedBy

__all__ = ["DeviceJoin", "lists_bytes", "with_fitting_lists"]

IntArray = npt.NDArray[np.int64]

_BYTES_PER_SUM = 384  # tensors alive at a time: 70 where few pairs are compared, 318 counted at d = 20
_FEWEST_SUMS = 64
_LEAST_FOR_CHUNKS = _FEWEST_SUMS * _BYTES_PER_SUM
_LONGEST_CHUNK = {"cpu": 1 << 17}  # best of 2**15 to 2**20 there; tens of milliseconds between two looks at the clock
_LONGEST_CHUNK_ELSEWHERE = 1 << 24
_MOST_SAMPLES = 1 << 20
_LEADS = (4, 2, 0)  # log2 of how many times longer list 2 may be than list 1; 6 and 8 were slower on a CPU
_LISTS_SHARE = 4
_REASON = 100  # characters of a device's own words


def lists_bytes(problem: HalvedProblem) -> int:
    """What a device needs besides chunks: the four lists, and a stretch for each segment and entry of list 1."""
    sizes, d = problem.quarter_sizes, problem.target.size
    segments = 1 + problem.is_restricted * max(len(half) for half in problem.halves)
    return sum(sizes) * (8 * d + 32) + 40 * (sizes[0] + sizes[2]) * segments


def with_fitting_lists(problem: HalvedProblem, memory_bytes: int) -> HalvedProblem:
    """The same problem with list 2 as much longer than list 1 as leaves room for chunks; else with the least memory.

    A short list 1 is quickly located, and its sums come in long stretches of list 2.
    """
    ways = [replace(problem, lead=lead * math.log(2.0)) for lead in _LEADS]
    for way in ways:
        if max(_LISTS_SHARE * lists_bytes(way), lists_bytes(way) + _LEAST_FOR_CHUNKS) <= memory_bytes:
            return way
    return min(ways, key=lists_bytes)


class DeviceJoin:
    """Passes over the slabs of two streams, each slab on one device; the answers do not depend on which.

    Parameters
    ----------
    problem : HalvedProblem
    limits : Limits
    devices : list of torch.device
    memory_bytes : int
        What may be allocated on each device.
    """

    name = "device"
    starts_wide = False

    def __init__(self, problem: HalvedProblem, limits: Limits, devices: list[torch.device], memory_bytes: int) -> None:
        self.limits, self.devices = limits, devices
        self.problem = with_fitting_lists(problem, memory_bytes)
        self.streams = StreamJoin(self.problem, limits)
        self.work = self.pairs = self.slabs = 0
        lists = lists_bytes(self.problem)
        if lists + _LEAST_FOR_CHUNKS > memory_bytes:
            raise InvalidInputError(
                f"meet_in_the_middle_torch needs {readable_size(lists + _LEAST_FOR_CHUNKS)} on each device,"
                f" but may use {readable_size(memory_bytes)}; give it more memory_bytes, or a cardinality"
            )
        longest = min(_LONGEST_CHUNK.get(where.type, _LONGEST_CHUNK_ELSEWHERE) for where in devices)
        fitting = 1 << ((memory_bytes - lists) // _BYTES_PER_SUM).bit_length() - 1
        self.sums_per_slab = min(longest, fitting) // 2  # so that few slabs are longer than a chunk
        self.chunks = [2 * self.sums_per_slab] * len(devices)
        self.cancelled = Event()
        self.is_short = False  # whether a device had less memory than was asked of it

    def first_window(self, floor: int) -> int:
        """As for streams."""
        return self.streams.first_window(floor)

    def bytes_needed(self) -> int:
        """On one device: the lists and chunks of sums."""
        return lists_bytes(self.problem) + _BYTES_PER_SUM * max(self.chunks)

    def decode(self, first: int, second: int) -> IntArray:
        """The subset behind the two codes of a candidate."""
        return self.streams.decode(first, second)

    def build(self) -> StoppedBy | None:
        """Make the four lists."""
        return self.streams.build()

    def run_pass(self, buffer: Buffer, bound: int, budget: int | None) -> tuple[StoppedBy | None, bool]:  # noqa: ARG002
        """Offer every subset with an integer error up to `bound` to the buffer; why stopped, and whether finished."""
        buffer.start_pass(bound)
        window = min(bound, buffer.conclusive_bound)
        edges = self.streams.edges(window, self._slab_size(window), _MOST_SAMPLES)
        stopped: StoppedBy | None = None
        for found in self._results(edges.tolist(), self._lanes(edges, window), window, buffer):
            self.work += found.work + found.pairs
            self.pairs += found.pairs
            self.slabs += 1
            buffer.absorb(found.errors, found.codes)
            if found.dropped:
                buffer.overflowed_at = buffer.best
            if found.trouble is not None:
                warnings.warn(found.trouble, RuntimeWarning, stacklevel=2)
            stopped = found.stopped or self.limits.exceeded(self.work)
            if buffer.within_tolerance is not None:
                stopped = StoppedBy.TOLERANCE
            if stopped is not None or buffer.is_settled:
                break
        return stopped, stopped is None

    def _slab_size(self, window: int) -> int:
        """Sums of a slab: half a chunk, or more where the window around a slab holds more sums than the slab.

        With H sums in the window and C in a chunk, S sums a slab cost (S + H)(1 + S / C) / S each; best is the root
        of H C.
        """
        _, width = self.problem.expected_error(0)
        halo = min(1.0, 2.0 * window / width) * self.streams.a.total
        return max(self.sums_per_slab, math.isqrt(int(halo) * 2 * self.sums_per_slab))

    def _lanes(self, edges: IntArray, window: int) -> Lanes:
        width = int(np.median(np.diff(edges))) if edges.size > 1 else 1
        sums = min(self.streams.a.total, 2 * self.sums_per_slab)
        return plan_lanes(self.problem, width, window, sums.bit_length() + 2)

    def _results(self, edges: list[int], lanes: Lanes, window: int, buffer: Buffer) -> Iterator[Found]:
        """The slabs' results, in order."""
        slabs = iter(list(pairwise(edges)))
        self.cancelled.clear()
        searches = [self._search(where, lanes, window) for where in self.devices]
        if len(searches) == 1:
            for low, high in slabs:
                yield self._slab(0, searches[0], low, high, buffer.control.tolist())
            return
        with ThreadPoolExecutor(len(searches)) as pool:
            waiting: deque[tuple[int, Future[Found]]] = deque()

            def submit(which: int) -> None:
                slab = next(slabs, None)
                if slab is not None:
                    control = buffer.control.tolist()  # here, where nobody changes it
                    waiting.append((which, pool.submit(self._slab, which, searches[which], *slab, control)))

            try:
                for which in range(len(searches)):
                    submit(which)
                while waiting:
                    which, future = waiting.popleft()
                    found = future.result()
                    submit(which)
                    yield found
            finally:
                self.cancelled.set()

    def _search(self, where: torch.device, lanes: Lanes, window: int) -> SlabSearch:
        lists, problem = self.streams.lists, self.problem
        try:
            a = DeviceStream.of(lists[0], lists[1], self.streams.a.reach, lanes, where)
            b = DeviceStream.of(lists[2], lists[3], self.streams.b.reach, lanes, where)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise InvalidInputError(
                f"{where} has no room for the four lists of this instance; use fewer rows"
            ) from None
        sizes = (problem.smallest, problem.largest, problem.is_restricted)
        return SlabSearch(a, b, lanes, window, *sizes, self._limit_reached)

    def _limit_reached(self) -> StoppedBy | None:
        return StoppedBy.INTERRUPT if self.cancelled.is_set() else self.limits.exceeded()

    def _slab(self, which: int, search: SlabSearch, low: int, high: int, control: list[int]) -> Found:
        """One slab; again, with chunks half as long, where the device has no memory for them."""
        _, best, band, bound, tolerance_points = control
        enough = tolerance_points - max(0, band) if tolerance_points < UNREACHABLE else -1
        where, trouble = self.devices[which], None
        while True:
            found = Found(best, band, bound, enough, trouble=trouble)
            chunk = self.chunks[which]
            try:
                search.run(low, high, chunk, found)
                return found
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    if where.type == "cpu":
                        raise
                    said = " ".join(str(error).split())[:_REASON]
                    found.trouble = f"the device {where} failed ({said}); the best subset so far comes without a proof"
                    found.stopped = StoppedBy.DONE
                    return found
                if chunk <= _FEWEST_SUMS:
                    raise InvalidInputError(f"{where} has no memory for {chunk} sums; use another device") from None
            self.chunks[which] = chunk // 2
            if not self.is_short:
                self.is_short = True
                trouble = f"not enough memory on {where} for {chunk} sums at a time; the search goes on with fewer"
