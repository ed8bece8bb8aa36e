"""The grid runner: resuming, failing cells, Ctrl-C, kill -9."""

import os
import signal
import subprocess
import sys
import time

import pytest

from sslth.errors import InvalidInputError
from sslth.experiments.grid import evaluate_cell, missing_cells, run_grid
from sslth.experiments.store import Store

CELLS = [{"kind": "square", "n": n} for n in range(6)]


def square(cell):
    return {"square": cell["n"] ** 2}


@pytest.fixture
def store():
    with Store(":memory:") as store:
        yield store


def table(store):
    return [(row.key, row.parameters, row.result, row.error) for row in store.rows()]


def test_each_cell_is_evaluated_once(store):
    seen = []

    def evaluate(cell):
        seen.append(cell["n"])
        return square(cell)

    run_grid(CELLS[:3], evaluate, store)
    run_grid([*CELLS, CELLS[5]], evaluate, store)
    run_grid(CELLS, evaluate, store)
    assert seen == [0, 1, 2, 3, 4, 5]
    assert [store.get(cell)["square"] for cell in CELLS] == [0, 1, 4, 9, 16, 25]
    assert all(row.seconds >= 0 for row in store.rows())


def test_a_failing_cell_is_stored_and_does_not_stop_the_rest(store):
    def evaluate(cell):
        if cell["n"] == 2:
            raise ZeroDivisionError("two\nlines")
        return {"bad": object()} if cell["n"] == 3 else square(cell)

    run_grid(CELLS, evaluate, store)
    assert store.row(CELLS[2]).error == "ZeroDivisionError: two lines"
    assert store.row(CELLS[3]).error.startswith("InvalidInputError: result.bad is of type object")
    assert store.get(CELLS[5]) == {"square": 25}
    assert missing_cells(CELLS, store) == []
    assert missing_cells(CELLS, store, retry_failed=True) == CELLS[2:4]
    run_grid(CELLS, square, store)
    assert store.get(CELLS[2]) is None
    run_grid(CELLS, square, store, retry_failed=True)
    assert [store.get(cell)["square"] for cell in CELLS] == [0, 1, 4, 9, 16, 25]


def test_ctrl_c_keeps_what_is_done(store):
    def evaluate(cell):
        if cell["n"] == 3:
            raise KeyboardInterrupt
        return square(cell)

    with pytest.raises(KeyboardInterrupt):
        run_grid(CELLS, evaluate, store)
    assert missing_cells(CELLS, store) == CELLS[3:]


def test_progress_counts_stored_cells_and_may_stop(store):
    calls = []
    run_grid(CELLS[:2], square, store)
    run_grid(CELLS, square, store, progress=lambda *call: calls.append(call))
    assert [call[:2] for call in calls] == [(2, 6), (3, 6), (4, 6), (5, 6), (6, 6)]
    assert calls[1][2] == "n=2"

    class Enough(Exception):
        pass

    def stop(done, total, stage):
        if done == 8:
            raise Enough

    more = [{"n": n} for n in range(10)]
    with pytest.raises(Enough):
        run_grid(more, square, store, progress=stop)
    assert len(missing_cells(more, store)) == 2


def test_an_error_of_the_store_stops_the_grid(tmp_path):
    store = Store(tmp_path / "results.db")

    def evaluate(cell):
        store.close()
        return square(cell)

    with pytest.raises(InvalidInputError, match="cannot write to the result store"):
        run_grid(CELLS, evaluate, store)


def test_evaluate_cell_lets_ctrl_c_through():
    def evaluate(cell):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_cell(evaluate, {"n": 1})


KILLED = """
import time
from sslth.experiments.grid import run_grid
from sslth.experiments.store import Store

def evaluate(cell):
    time.sleep(0.01)
    return {"square": cell["n"] ** 2}

with Store("results.db") as store:
    run_grid([{"n": n} for n in range(40)], evaluate, store)
"""


def test_kill_9_and_resume_give_the_same_table(tmp_path):
    path = tmp_path / "results.db"
    running = subprocess.Popen([sys.executable, "-c", KILLED], cwd=tmp_path)
    stored, deadline = 0, time.monotonic() + 60
    while stored < 5 and time.monotonic() < deadline:
        time.sleep(0.005)
        if path.exists() and path.stat().st_size > 0:
            try:
                with Store(path, read_only=True) as store:
                    stored = len(store.rows())
            except InvalidInputError:  # between its creation and its first page
                continue
    running.kill()
    running.wait(60)
    with Store(path) as store:
        left = len(store.rows())
    assert stored <= left < 40
    subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, check=True, timeout=60)
    with Store(path) as resumed, Store(":memory:") as undisturbed:
        run_grid([{"n": n} for n in range(40)], square, undisturbed)
        assert table(resumed) == table(undisturbed)


SHORT_CELLS = """
import os, time
from sslth.experiments.grid import run_grid
from sslth.experiments.store import Store

def evaluate(cell):
    with open("begun", "ab", buffering=0) as begun:
        begun.write(b".")
    time.sleep(0.001)
    return {"square": cell["n"] ** 2}

with Store("results.db") as store:
    run_grid([{"n": n} for n in range(100_000)], evaluate, store, jobs=2)
"""


def test_kill_9_of_all_processes_loses_the_running_cells_only(tmp_path):
    running = subprocess.Popen([sys.executable, "-c", SHORT_CELLS], cwd=tmp_path, start_new_session=True)
    begun, deadline = tmp_path / "begun", time.monotonic() + 60
    try:
        while not (begun.exists() and begun.stat().st_size >= 300):  # past the first batches, which are one cell
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait(60)
    with Store(tmp_path / "results.db") as store:
        assert begun.stat().st_size - 2 <= len(store.keys()) <= begun.stat().st_size
