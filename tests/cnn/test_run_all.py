"""Pieces of work side by side: never more at a time than may be taken."""

from __future__ import annotations

import threading
import time

import pytest

from sslth.cnn.run_all import run_all


class _Watched:
    """Notes how much is held while each item is worked on."""

    def __init__(self, sizes: list[int]) -> None:
        self.sizes, self.lock, self.now, self.seen = sizes, threading.Lock(), 0, [0] * len(sizes)

    def __call__(self, number: int) -> int:
        with self.lock:
            self.now += self.sizes[number]
            self.seen[number] = self.now
        time.sleep(0.002)
        with self.lock:
            self.now -= self.sizes[number]
        return -number


def test_no_more_is_taken_than_allowed_but_for_one_that_takes_more() -> None:
    sizes = [3, 5, 2, 9, 1, 4, 20, 4, 3, 2, 1, 7] * 4
    work = _Watched(sizes)
    results = dict(run_all(work, range(len(sizes)), threads=4, taking=(sizes, 8)))
    assert results == {number: -number for number in range(len(sizes))}
    for size, held in zip(sizes, work.seen, strict=True):
        assert held <= 8 or held == size


def test_what_fits_runs_side_by_side() -> None:
    """Two items that wait for each other end only if they run at the same time."""
    meeting = threading.Barrier(2, timeout=30)
    assert len(list(run_all(lambda _: meeting.wait(), [0, 1], threads=2, taking=([4, 4], 8)))) == 2


def test_an_item_that_fails_gives_back_what_it_took() -> None:
    def work(number: int) -> int:
        if number == 0:
            raise ValueError("no")
        return number

    brought_home: list[int] = []
    with pytest.raises(ValueError, match="no"):
        list(run_all(work, [0, 1, 2], 2, lambda number, _: brought_home.append(number), taking=([5, 5, 5], 5)))
    assert set(brought_home) <= {1, 2}
    assert dict(run_all(work, [1, 2], 2, taking=([5, 5], 5))) == {0: 1, 1: 2}
