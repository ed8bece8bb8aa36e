"""Backends: the same table from each, dying workers, batches, and a dask cluster with real worker processes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from local_cluster import local_cluster

from sslth.errors import InvalidInputError
from sslth.experiments.backends import Lost, make_backend
from sslth.experiments.backends.serial import Serial
from sslth.experiments.backends.worker import evaluate_batch, evaluate_in_worker
from sslth.experiments.grid import run_grid
from sslth.experiments.grid_file import make_grid
from sslth.experiments.store import Store
from sslth.experiments.sweep import sweep

CONTENT = {"kind": "success", "seed": 1, "repetitions": 2, "grid": {"n": [5, 6], "d": [1, 2], "epsilon": [0.3, 0.03]}}
GRID = make_grid(CONTENT)


def table(store):
    return [(row.key, row.parameters, row.result, row.error) for row in store.rows()]


def swept(backend):
    with Store(":memory:") as store:
        summary = sweep(GRID, store, backend)
        assert (summary.cells, summary.done, summary.failed, summary.evaluated) == (8, 8, 0, 8)
        return table(store)


@pytest.fixture(scope="module")
def serial():
    return swept(make_backend("serial"))


def test_loky_gives_the_same_bits(serial):
    assert swept(make_backend("loky", jobs=2)) == serial


@pytest.fixture
def cluster(tmp_path):
    """The address of a scheduler with two workers, all of them processes of their own."""
    with local_cluster(tmp_path) as address:
        yield address


DASK = """
import json, os, sys
from sslth.experiments.backends import make_backend
from sslth.experiments.grid import run_grid
from sslth.experiments.grid_file import make_grid
from sslth.experiments.store import Store
from sslth.experiments.sweep import sweep

address, grid = sys.argv[1], json.loads(sys.argv[2])
with Store("dask.db") as store:
    sweep(make_grid(grid), store, make_backend("dask", address=address))

def where(cell):
    if cell["n"] == 3:
        raise ValueError("three")
    if cell["n"] == 4:
        os._exit(1)
    return {"process": os.getpid()}

with Store("where.db") as store:
    run_grid([{"n": n} for n in range(20)], where, store, backend=make_backend("dask", address=address))
    print(os.getpid())
"""


def test_a_dask_cluster_gives_the_same_bits_and_stores_failures(serial, cluster, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", DASK, cluster, json.dumps(CONTENT)],
        cwd=tmp_path, capture_output=True, text=True, timeout=200, check=True,
    )  # fmt: skip
    with Store(tmp_path / "dask.db") as store:
        assert table(store) == serial
    with Store(tmp_path / "where.db") as store:
        rows = sorted(store.rows(), key=lambda row: row.parameters["n"])
    assert len(rows) == 20
    assert rows[3].error == "ValueError: three"
    assert rows[4].error.startswith("the process that evaluated it died: ")
    processes = {row.result["process"] for row in rows if row.result is not None}
    assert len([row for row in rows if row.result is not None]) == 18
    assert int(done.stdout) not in processes


def test_a_cell_that_kills_its_process_is_stored_and_does_not_stop_the_rest():
    def evaluate(cell):  # a closure travels by value: workers need not import this file
        if cell["n"] == 5:
            os._exit(1)
        return {"square": cell["n"] ** 2, "here": os.getpid()}

    with Store(":memory:") as store:
        run_grid([{"n": n} for n in range(12)], evaluate, store, jobs=2)
        rows = sorted(store.rows(), key=lambda row: row.parameters["n"])
    assert [row.result and row.result["square"] for row in rows] == [None if n == 5 else n * n for n in range(12)]
    assert rows[5].error.startswith("the process that evaluated it died: ")
    assert os.getpid() not in {row.result["here"] for row in rows if row.result is not None}


class DyingOnce(Serial):
    """Its worker stores two cells of the first batch that has more, and dies."""

    batch_seconds = 1.0
    died = False

    def submit(self, number, evaluate, cells, store):
        if len(cells) < 3 or self.died:
            super().submit(number, evaluate, cells, store)
            return
        self.died = True
        with Store(store) as theirs:
            evaluate_batch(evaluate, cells[:2], 60.0, theirs.put_one)
        self._waiting.append((number, lambda: Lost("killed")))


def test_cells_that_a_dead_worker_has_stored_are_not_evaluated_again(tmp_path):
    evaluated, told, backend = [], [], DyingOnce()

    def evaluate(cell):
        evaluated.append(cell["n"])
        return {"n": cell["n"]}

    with Store(tmp_path / "store.db") as store:
        cells = [{"n": n} for n in range(20)]
        run_grid(cells, evaluate, store, lambda *so_far: told.append(so_far[:2]), backend=backend)
        assert len(store.rows()) == 20
    assert backend.died
    assert sorted(evaluated) == list(range(20))
    assert told == sorted(told)
    assert told[-1] == (20, 20)


def test_workers_that_cannot_take_the_cells_end_the_grid_with_one_sentence():
    lock = threading.Lock()

    def evaluate(cell):
        return {"locked": lock.locked()}

    with Store(":memory:") as store:
        with pytest.raises(InvalidInputError, match=r"^the workers cannot evaluate the cells [^\n]*lock"):
            run_grid([{"n": 1}, {"n": 2}], evaluate, store, jobs=2)
        assert store.rows() == []


def test_what_progress_raises_stops_the_workers():
    def evaluate(cell):
        time.sleep(0.01 if cell["n"] == 0 else 600)
        return {}

    def stop(done, total, stage):
        if done:
            raise KeyboardInterrupt

    with Store(":memory:") as store:
        with pytest.raises(KeyboardInterrupt):
            run_grid([{"n": n} for n in range(4)], evaluate, store, stop, jobs=2)
        assert [row.parameters for row in store.rows()] == [{"n": 0}]


def test_a_batch_hands_in_what_is_finished_when_its_time_is_over():
    cells = [{"n": n} for n in range(5)]
    assert [done.parameters for done in evaluate_batch(dict, cells, 0.0)] == cells[:1]
    assert [done.result for done in evaluate_batch(dict, cells, 600.0)] == cells


def test_a_worker_of_another_release_is_refused():
    with pytest.raises(InvalidInputError, match="install the same one"):
        evaluate_in_worker("0.0", dict, [{"n": 1}], 1.0)


def test_serial_keeps_ctrl_c_from_the_solvers_and_gives_it_back():
    before = signal.getsignal(signal.SIGINT)
    with make_backend("serial"):
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    "arguments",
    [("threads",), ("loky", 0), ("serial", 2), ("dask",), ("dask", 2, "tcp://x:1"), ("loky", 2, "tcp://x:1")],
)
def test_backends_that_cannot_be_are_one_sentence(arguments):
    with pytest.raises(InvalidInputError, match=r"^[^\n]+$"):
        make_backend(*arguments)


def test_an_address_where_nobody_is_is_one_sentence(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("sslth.experiments.backends.dask_cluster._PATIENCE", 0.3)
    for address in ("tcp://127.0.0.1:1", "nonsense://x"):
        with (
            Store(":memory:") as store,
            pytest.raises(InvalidInputError, match=r"^no dask cluster with workers at [^\n]+$"),
        ):
            run_grid([{"n": 1}], dict, store, backend=make_backend("dask", address=address))
