"""Blocks that are searched on torch devices: as many at a time as memory takes, on several devices a share on each."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from sslth.cnn.kept_filters import Numbers
from sslth.cnn.run_all import run_all
from sslth.cnn.search import TiledSearch, most_tile_rows
from sslth.cnn.side_by_side import Problem, Share, search_share
from sslth.cnn.torch_search import device_lost

__all__ = ["devices_of", "search_on_devices"]

Filters = npt.NDArray[np.uint32]

_ON_THE_CPU = 1 << 28  # bytes of rows, and of what is computed from them
_SHARE_OF_DEVICE = 8  # of free memory: for rows; the rest is for words, float64 products and other programs
_MOST_TOGETHER = 1024


class _Stop(threading.Event):
    """Set when nobody waits for the answers; a worker in another process, which joblib ends itself, has its own."""

    def __reduce__(self) -> tuple[type[_Stop], tuple[()]]:
        return _Stop, ()


def devices_of(name: str) -> list[str]:
    """The devices that a name stands for: "cuda" is every GPU that torch sees, any other name that device.

    Examples
    --------
    >>> devices_of("cuda:1")
    ['cuda:1']
    """
    where = torch.device(name)
    seen = torch.cuda.device_count() if where.type == "cuda" and where.index is None else 1
    return [f"cuda:{number}" for number in range(seen)] if seen > 1 else [name]


def search_on_devices(
    problems: Sequence[Problem],
    search: TiledSearch,
    threads: int | None,
    finished: Callable[[int, Numbers], object] = lambda _number, _filters: None,
) -> Generator[tuple[int, Numbers], None, None]:
    """Yield (number, kept filters) of every problem: tiles on `search.device`, scales and tails on the CPU's threads.

    Problems of one dimension go together, as many as the device's memory takes; with several devices each gets a share
    of them, in a thread or a joblib worker of its own. `finished` is called once for each problem, just before it is
    yielded, and also for what other devices still bring home when one fails. Closing the generator starts no further
    group.

    Raises
    ------
    DeviceLostError
        If a device fails.
    """
    devices = devices_of(search.device or "cpu")
    parts = list(_parts(problems, devices))
    if len(devices) == 1:
        for numbers in parts:
            share = Share([problems[number] for number in numbers], devices[0])
            for place, filters in search_share(share, search, threads):
                finished(numbers[place], filters)
                yield numbers[place], filters
        return
    for first in range(0, len(parts), len(devices)):
        yield from _one_round(problems, parts[first : first + len(devices)], devices, search, threads, finished)


def _one_round(
    problems: Sequence[Problem],
    parts: Sequence[list[int]],
    devices: Sequence[str],
    search: TiledSearch,
    threads: int | None,
    finished: Callable[[int, Numbers], object],
) -> Generator[tuple[int, Numbers], None, None]:
    """A part for each device, or for the first ones."""
    shares = [Share([problems[n] for n in numbers], device) for numbers, device in zip(parts, devices, strict=False)]
    each = None if threads is None else max(1, threads // len(shares))
    stop = _Stop()
    work = partial(_whole_share, search=search, threads=each, stop=stop)

    def brought_home(place: int, found: list[tuple[int, Numbers]]) -> None:
        for i, filters in found:
            finished(parts[place][i], filters)

    with closing(run_all(work, shares, len(shares), brought_home, stop)) as results:
        for place, found in results:
            for i, filters in found:
                yield parts[place][i], filters


def _parts(problems: Sequence[Problem], devices: Sequence[str]) -> Iterator[list[int]]:
    """Numbers of problems of one dimension each, as many parts as devices or a multiple, of nearly one size."""
    groups: dict[int, list[int]] = {}
    for number, problem in enumerate(problems):
        groups.setdefault(problem.target.size, []).append(number)
    for d, numbers in groups.items():
        together = min(_blocks_at_once(d, device) for device in devices)
        rounds = math.ceil(len(numbers) / (together * len(devices)))
        size = math.ceil(len(numbers) / (rounds * len(devices)))
        for first in range(0, len(numbers), size):
            yield numbers[first : first + size]


def _blocks_at_once(d: int, device: str) -> int:
    free = _ON_THE_CPU // 4
    if (where := torch.device(device)).type == "cuda":
        try:
            free = torch.cuda.mem_get_info(where)[0] // _SHARE_OF_DEVICE
        except RuntimeError as error:
            raise device_lost(device, error) from error
    return max(1, min(_MOST_TOGETHER, free // (4 * most_tile_rows(d) * d)))


def _whole_share(
    share: Share, search: TiledSearch, threads: int | None, stop: threading.Event
) -> list[tuple[int, Numbers]]:
    return list(search_share(share, search, threads, stop))
