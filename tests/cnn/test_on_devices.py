"""Blocks split over several GPUs, none of which is there: only what a GPU would compute is computed on the CPU."""

from __future__ import annotations

import pickle
import threading
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from torch import nn

import sslth
from sslth.cnn import on_devices, side_by_side, torch_search, wide
from sslth.cnn.block_store import BlockStore
from sslth.cnn.layers import Layer, Wiring
from sslth.cnn.on_devices import devices_of
from sslth.cnn.plan import Task, search, search_all
from sslth.cnn.random_layer import RandomLayer
from sslth.cnn.search import TiledSearch
from sslth.cnn.side_by_side import Problem, Share
from sslth.cnn.ticket_file import ticket_bytes
from sslth.errors import DeviceLostError

WIDTH = 300
DECIDE = torch_search._decide


class Gpus:
    """As many as there are; what each has decided; what happens there before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        self.blocks: Counter[str] = Counter()
        self.before: Callable[[str, int], object] = lambda _device, _blocks: None
        monkeypatch.setattr(torch.cuda, "device_count", lambda: number)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _where: (2**30, 2**30))
        monkeypatch.setattr(torch_search, "_decide", self.decide)
        monkeypatch.setattr("sslth.cnn.prepared.resolve_device", lambda _name: torch.device("cpu"))

    def decide(self, streams: list[torch_search.Stream], tiles: list[object], where: torch.device) -> object:
        self.before(str(where), len(streams))
        self.blocks[str(where)] += len(streams)
        return DECIDE(streams, tiles, torch.device("cpu"))  # type: ignore[arg-type]


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Gpus]:
    return lambda number: Gpus(monkeypatch, number)


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 7))


def extracted(device: str, path: Path | None = None, jobs: int | None = None) -> bytes:
    example = torch.zeros(1, 1, 4, 4)
    ticket = sslth.extract(network(), example, WIDTH, device=device, progress=False, jobs=jobs, _blocks=path)
    return ticket_bytes(ticket)


def some_tasks(channels: int = 5, n: int = 400, d: int = 9) -> list[Task]:
    layer = Layer("layer", 0, Wiring("linear", channels, d, False), n, 0, False, 1.0)
    rng = np.random.default_rng(0)
    return [Task(block, sign, rng.standard_normal(d)) for block in RandomLayer(5, layer).channels for sign in (1, -1)]


@pytest.mark.parametrize(("seen", "expected"), [(0, ["cuda"]), (1, ["cuda"]), (3, ["cuda:0", "cuda:1", "cuda:2"])])
def test_cuda_is_every_gpu_and_a_number_is_one(seen: int, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: seen)
    assert devices_of("cuda") == expected
    assert devices_of("cuda:1") == ["cuda:1"]
    assert devices_of("cpu") == ["cpu"]


def test_parts_are_of_one_dimension_and_nearly_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = some_tasks(5, d=9) + some_tasks(1, d=4)
    problems = [Problem(task.block, task.sign, task.target) for task in tasks]
    monkeypatch.setattr(on_devices, "_blocks_at_once", lambda _d, device: {"cpu:0": 4, "cpu:1": 3}[device])
    parts = list(on_devices._parts(problems, ["cpu:0", "cpu:1"]))
    assert [len(part) for part in parts] == [3, 3, 3, 1, 1, 1]
    assert sorted(number for part in parts for number in part) == list(range(12))
    assert [len(part) for part in on_devices._parts(problems, ["cpu:0"])] == [4, 4, 2, 2]


@pytest.mark.parametrize(("number", "jobs"), [(1, None), (2, 1), (3, 4)])
def test_the_ticket_does_not_depend_on_the_number_of_gpus(
    number: int, jobs: int | None, gpus: Callable[[int], Gpus]
) -> None:
    expected = extracted("cpu")
    there = gpus(number)
    assert extracted("cuda", jobs=jobs) == expected
    names = ["cuda"] if number == 1 else [f"cuda:{i}" for i in range(number)]
    assert sorted(there.blocks) == names
    assert min(there.blocks.values()) >= 4  # of 16


def test_a_gpu_with_a_number_works_alone(gpus: Callable[[int], Gpus]) -> None:
    there = gpus(2)
    extracted("cuda:1")
    assert list(there.blocks) == ["cuda:1"]


def test_the_order_of_devices_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wide blocks too; here the devices are the CPU's, twice."""
    monkeypatch.setattr(wide, "SORTED_AT_MOST", 3000)
    monkeypatch.setattr(wide, "_SMALL_ROWS", 600)
    tasks = [*some_tasks(2, n=2000), *some_tasks(3)]
    alone = [search(task, TiledSearch(), None) for task in tasks]
    for devices in (["cpu:0", "cpu:1"], ["cpu:1", "cpu:0"], ["cpu:0", "cpu:0", "cpu:0"]):
        monkeypatch.setattr(on_devices, "devices_of", lambda _name, devices=devices: devices)
        found = dict(search_all(tasks, TiledSearch(device="cpu:0"), None, 2))
        assert sorted(found) == list(range(len(tasks)))
        assert all(np.array_equal(found[number], alone[number]) for number in found)


def test_workers_of_joblib_take_a_share_each(gpus: Callable[[int], Gpus]) -> None:
    tasks, there = some_tasks(), gpus(2)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        found = dict(search_all(tasks, TiledSearch(device="cuda"), None, None))
    assert all(np.array_equal(found[number], search(task, TiledSearch(), None)) for number, task in enumerate(tasks))
    assert dict(there.blocks) == {"cuda:0": 5, "cuda:1": 5}


def test_a_share_can_be_sent_to_another_process() -> None:
    tasks = some_tasks(1)
    share = Share([Problem(task.block, task.sign, task.target) for task in tasks], "cpu")
    work = partial(on_devices._whole_share, search=TiledSearch(), threads=1, stop=on_devices._Stop())
    work, share = pickle.loads(pickle.dumps((work, share)))
    for place, filters in work(share):
        assert np.array_equal(filters, search(tasks[place], TiledSearch(), None))


@pytest.mark.parametrize("failure", [RuntimeError, torch.AcceleratorError])
def test_a_gpu_that_fails_leaves_what_was_finished(
    failure: type[Exception], gpus: Callable[[int], Gpus], tmp_path: Path
) -> None:
    """The other one brings its share home; the same call then searches what is left."""
    whole = gpus(1)
    expected = extracted("cuda")
    there, path = gpus(2), tmp_path / "blocks.db"

    def fail(device: str, _blocks: int) -> None:
        if device == "cuda:1":
            raise failure("CUDA error: uncorrectable\nECC error")

    there.before = fail
    with pytest.raises(DeviceLostError, match=r"cuda:1 failed .CUDA error: uncorrectable ECC.*give the same command"):
        extracted("cuda", path)
    kept = there.blocks.total()
    assert kept > 0
    with BlockStore(path) as store:
        assert len(store) == kept
    there.before = lambda _device, _blocks: None
    assert extracted("cuda", path) == expected
    assert there.blocks["cuda:1"] > 0
    assert there.blocks.total() == whole.blocks.total()  # nothing was searched twice


def test_a_gpu_that_is_gone_before_it_begins(gpus: Callable[[int], Gpus], monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(2)

    def gone(where: torch.device) -> tuple[int, int]:
        raise torch.AcceleratorError(f"CUDA error: no {where}")

    monkeypatch.setattr(torch.cuda, "mem_get_info", gone)
    with pytest.raises(DeviceLostError, match="cuda:0 failed"):
        list(search_all(some_tasks(), TiledSearch(device="cuda"), None, 2))


def test_without_memory_on_one_gpu_only_that_one_takes_fewer(gpus: Callable[[int], Gpus]) -> None:
    tasks, there = some_tasks(), gpus(2)

    def scarce(device: str, blocks: int) -> None:
        if device == "cuda:1" and blocks > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    there.before = scarce
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        found = dict(search_all(tasks, TiledSearch(device="cuda"), None, 2))
    assert ["not enough memory on cuda:1 for 5 blocks" in str(one.message) for one in said] == [True]
    assert all(np.array_equal(found[number], search(task, TiledSearch(), None)) for number, task in enumerate(tasks))


def test_who_stops_does_not_wait_for_the_other_gpu(
    gpus: Callable[[int], Gpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closed after the first answer: the other device gives up after the tile at hand."""
    there, gate = gpus(2), threading.Event()
    monkeypatch.setattr(side_by_side, "most_tile_rows", lambda _d: 32)

    class Stop(threading.Event):
        def set(self) -> None:
            super().set()
            gate.set()

    monkeypatch.setattr(on_devices, "_Stop", Stop)
    there.before = lambda device, _blocks: device == "cuda:0" or gate.wait(60)
    results = search_all(some_tasks(), TiledSearch(device="cuda"), None, 2)
    assert next(results)[0] < 5  # of the first device
    results.close()
    assert there.blocks["cuda:1"] == 5  # five blocks, one tile
    assert there.blocks["cuda:0"] > 10 * 5
