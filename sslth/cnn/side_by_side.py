"""The tiled search of many blocks side by side on a torch device; what each finds is what it finds alone."""

from __future__ import annotations

import math
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import closing
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sslth.cnn.kept_filters import Keeping, Numbers
from sslth.cnn.random_layer import Block
from sslth.cnn.run_all import run_all
from sslth.cnn.search import Ordered, TiledSearch, candidates, most_tile_rows
from sslth.cnn.spool import Spool
from sslth.cnn.torch_search import Stream, decide_together
from sslth.cnn.wide import WideBlock, by_falling_scale, is_wide

__all__ = ["Problem", "Share", "search_share"]

Filters = npt.NDArray[np.uint32]
FloatArray = npt.NDArray[np.float64]


class Problem(NamedTuple):
    """One sign of a block and its target, float64[d], which is not zero."""

    block: Block
    sign: int
    target: FloatArray


class Share(NamedTuple):
    """Problems of one dimension, and the device that they are for."""

    problems: list[Problem]
    device: str


def search_share(
    share: Share, search: TiledSearch, threads: int | None, stop: threading.Event | None = None
) -> Generator[tuple[int, Numbers], None, None]:
    """Yield (place, kept filters) of every problem of a share: tiles on its device, the rest on the CPU's threads.

    Raises
    ------
    DeviceLostError
        If the device fails.
    CancelledError
        Soon after `stop` is set.
    """
    problems, device = share
    wide = [i for i, p in enumerate(problems) if is_wide(p.block) and search.takes(p.block.size // 2, p.target.size)]
    spool = Spool()  # one for all: a thousand blocks may be wide, and files are few
    kept = {place: Keeping(spool) for place in wide}
    large = _decide_large([problems[place] for place in wide], list(kept.values()), device, stop)
    begun = {
        place: Ordered(problems[place].block, *small, left, problems[place].block.size // 2)
        for place, (small, left) in zip(wide, large, strict=True)
    }
    others = [place for place in range(len(problems)) if place not in kept]
    for number, found in run_all(partial(_begun, search=search), [problems[place] for place in others], threads):
        if isinstance(found, Ordered):
            begun[others[number]] = found
        else:
            yield others[number], found
    decide_together([_main_stream(problems[place].block, item) for place, item in begun.items()], device, stop)
    ends = [(item, float(np.linalg.norm(problems[place].target)), kept.get(place)) for place, item in begun.items()]
    places = list(begun)
    with closing(run_all(_finished, ends, threads)) as results:
        for number, filters in results:
            if stop is not None and stop.is_set():
                raise CancelledError
            yield places[number], filters


def _decide_large(
    problems: Sequence[Problem], kept: Sequence[Keeping], device: str, stop: threading.Event | None
) -> list[tuple[tuple[Filters, npt.NDArray[np.float32]], FloatArray]]:
    """Decide the large filters of wide blocks; the small ones of each, in order, and what is left of its target."""
    if not problems:
        return []
    size = most_tile_rows(problems[0].target.size)
    small: list[list[tuple[Filters, npt.NDArray[np.float32]]]] = [[] for _ in problems]
    residuals = [problem.target.copy() for problem in problems]

    def tiles(place: int) -> Iterator[tuple[Filters, FloatArray]]:
        block, sign, _ = problems[place]
        for filters, lengths in WideBlock(block, sign, size).stretches(size, small[place]):
            yield filters, lengths.astype(np.float64)

    streams = [
        Stream(problem.block, tiles(place), residuals[place], lambda filters, keep, to=to: to.add(filters[keep]))  # type: ignore[misc]
        for place, (problem, to) in enumerate(zip(problems, kept, strict=True))
    ]
    decide_together(streams, device, stop)
    return [(by_falling_scale(parts), left) for parts, left in zip(small, residuals, strict=True)]


def _begun(problem: Problem, search: TiledSearch) -> Ordered | Numbers:
    """A block that is decided in order; or the answer, where rows are too few for signs."""
    block, sign, target = problem
    filters, scales = candidates(block, sign)
    if filters.size == 0 or not search.takes(filters.size, target.size):
        return search.search(block, sign, target)
    return Ordered(block, filters, scales, target, filters.size)


def _main_stream(block: Block, ordered: Ordered) -> Stream:
    size = max(1, min(ordered.main.size, most_tile_rows(block.d)))
    done = 0

    def tiles() -> Iterator[tuple[Filters, FloatArray]]:
        for place in range(math.ceil(ordered.main.size / size)):
            part = slice(place * size, (place + 1) * size)
            yield ordered.main[part], ordered.lengths[part]

    def decided(filters: Filters, keep: npt.NDArray[np.bool_]) -> None:
        nonlocal done
        ordered.keep[done : done + filters.size] = keep
        done += filters.size

    return Stream(block, tiles(), ordered.residual, decided)


def _finished(end: tuple[Ordered, float, Keeping | None]) -> Numbers:
    ordered, length, kept = end
    return ordered.finished(length, kept)
