"""Sweeps: kill -9 and resume, two processes on one store, Ctrl-C, forecasts."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from sslth.errors import InvalidInputError
from sslth.experiments.backends import make_backend
from sslth.experiments.cells import cell_key
from sslth.experiments.grid import run_grid
from sslth.experiments.grid_file import Grid, read_grid
from sslth.experiments.kinds import Kind, Settings, rng_of
from sslth.experiments.store import Evaluated, Store
from sslth.experiments.sweep import forecast, standing, sweep
from sslth.experiments.sweep_bar import sweep_bar


class Toy(Settings):
    n: int


def evaluate(parameters, rng):
    if parameters["n"] < 0:
        raise ValueError("below 0")
    return {"drawn": float(rng.random())}


TOY = Kind("toy", Toy, evaluate, lambda _parameters: 10.0, "Draws one number.")


def toys(ns, seed=0):
    cells = [{"kind": "toy", "n": n, "seed": seed} for n in ns]
    return Grid(TOY, {cell_key(cell): cell for cell in cells})


@pytest.fixture
def store():
    with Store(":memory:") as store:
        yield store


def table(store):
    return [(row.key, row.parameters, row.result, row.error) for row in store.rows()]


def test_what_a_cell_draws_comes_from_seed_and_cell_alone(store):
    sweep(toys(range(5)), store, make_backend())
    with Store(":memory:") as other:
        sweep(toys([4, 2]), other, make_backend())
        sweep(toys([3, 2, 1, 0]), other, make_backend())
        assert table(other) == table(store)
        sweep(toys(range(5), seed=1), other, make_backend())
        assert len({row.result["drawn"] for row in other.rows()}) == 10
    cell = {"kind": "toy", "n": 3, "seed": 0}
    assert store.get(cell) == {"drawn": np.random.Generator.random(rng_of(cell))}


def test_failures_are_counted_kept_and_tried_again(store):
    grid = toys([-1, -2, 0, 1])
    summary = sweep(grid, store, make_backend())
    assert (summary.cells, summary.done, summary.failed, summary.evaluated) == (4, 2, 2, 4)
    assert summary.failures == ("ValueError: below 0",)
    assert sweep(grid, store, make_backend()).evaluated == 0
    assert sweep(grid, store, make_backend(), retry_failed=True).evaluated == 2
    assert standing(toys([0, 5]), store).done == 1


def test_a_forecast_is_the_kinds_guess_until_cells_are_measured(store):
    grid = toys(range(-1, 9))
    guess = forecast(grid, None, workers=4)
    assert (guess.to_run, guess.work_seconds, guess.wall_seconds, guess.measured) == (10, 100.0, 25.0, 0)
    assert forecast(grid, None, workers=64).wall_seconds == 10.0  # no faster than one cell
    store.put_all(Evaluated(cell, {"drawn": 0.5}, None, 2.0) for cell in grid.cells[1:5])
    store.put_error(grid.cells[0], "no", 0.0)
    known = forecast(grid, store, workers=1)
    assert (known.to_run, known.work_seconds, known.measured) == (5, 10.0, 4)
    assert (known.standing.done, known.standing.failed) == (4, 1)
    assert forecast(grid, store, workers=1, retry_failed=True).to_run == 6


def test_cells_that_another_process_stored_meanwhile_are_not_evaluated(tmp_path, monkeypatch):
    monkeypatch.setattr("sslth.experiments.grid._LOOK_EVERY", 0.0)
    cells, seen, calls = [{"n": n} for n in range(10)], [], []
    with Store(tmp_path / "r.db") as ours, Store(tmp_path / "r.db") as theirs:

        def evaluate(cell):
            seen.append(cell["n"])
            if cell["n"] == 2:
                theirs.put_all(Evaluated({"n": n}, {"by": "them"}, None, 0.0) for n in (2, 4, 5, 6, 9))
            return {"by": "us"}

        run_grid(cells, evaluate, ours, lambda *call: calls.append(call[:2]))
        assert seen == [0, 1, 2, 3, 7, 8]
        assert [ours.get(cell)["by"] for cell in cells[1:4]] == ["us", "them", "us"]
        assert calls[-1] == (10, 10)
        assert sorted(calls) == calls


GRID = """
kind = "success"
law = "gaussian"
epsilon = 1e-3
n = 18
repetitions = 30
[grid]
d = [1, 2]
seed = {from = 1, to = 30}
"""
SWEEP = [sys.executable, "-m", "sslth.cli.main", "sweep", "g.toml", "--quiet"]


def stored(path):
    try:
        with Store(path, read_only=True) as store:
            return len(store.keys())
    except InvalidInputError:  # not there yet, or between its creation and its first page
        return 0


@pytest.fixture
def start(tmp_path):
    """Starts sweeps in the folder of the test; none of them outlives it."""
    started = []

    def start(*arguments, **keywords):
        started.append(subprocess.Popen([*SWEEP, *arguments], cwd=tmp_path, **keywords))
        return started[-1]

    yield start
    for running in started:
        running.kill()
        running.communicate()


def wait_for(path, cells, running):
    deadline = time.monotonic() + 120
    while stored(path) < cells:
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)


def children(process):
    listing = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(None, 2) for line in listing.stdout.splitlines()]
    return [int(pid) for pid, parent, *rest in rows if int(parent) == process and "popen_loky" in " ".join(rest)]


def alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False)
    return bool(state.stdout.strip()) and not state.stdout.strip().startswith("Z")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "g.toml").write_text(GRID)
    return tmp_path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    path = tmp_path_factory.mktemp("grid") / "g.toml"
    path.write_text(GRID)
    with Store(":memory:") as store:
        sweep(read_grid(path), store, make_backend())
        return table(store)


def test_kill_9_in_the_middle_and_resume_give_the_same_table(folder, undisturbed, start):
    running = start("--jobs", "2")
    wait_for(folder / "g.db", 10, running)
    workers = children(running.pid)
    assert len(workers) >= 2
    running.send_signal(signal.SIGKILL)
    assert running.wait(60) == -signal.SIGKILL
    deadline = time.monotonic() + 60
    while any(alive(worker) for worker in workers):  # they would go on computing what nobody stores
        assert time.monotonic() < deadline
        time.sleep(0.05)
    left = stored(folder / "g.db")
    assert 10 <= left < 60
    subprocess.run([*SWEEP, "--jobs", "2"], cwd=folder, check=True, timeout=120)
    with Store(folder / "g.db") as store:
        assert table(store) == undisturbed


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_is_130_and_half_a_search_is_no_result(folder, undisturbed, start, jobs):
    running = start("--jobs", jobs, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(folder / "g.db", 5, running)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to the workers too
    _, said = running.communicate(timeout=60)
    assert (running.returncode, said) == (130, "sslth: interrupted\n")
    with Store(folder / "g.db") as store:
        found = table(store)
    assert 5 <= len(found) < 60
    assert set(map(repr, found)) <= set(map(repr, undisturbed))


def test_two_processes_on_one_store_do_no_harm(folder, undisturbed, start):
    both = [start("--jobs", "1") for _ in range(2)]
    assert [running.wait(120) for running in both] == [0, 0]
    with Store(folder / "g.db") as store:
        assert table(store) == undisturbed


def test_the_bar_tells_the_time_left_of_this_run():
    class Terminal:
        text = ""
        encoding = "utf-8"

        def write(self, text):
            self.text += text

        def flush(self):
            pass

        def isatty(self):
            return True

    terminal, times = Terminal(), iter([0.0, 100.0, 100.0])
    with sweep_bar(True, terminal, lambda: next(times)) as report:
        report(50, 100, "")
        report(60, 100, "n=3")
    assert "60/100" in terminal.text
    assert "7 min left" in terminal.text  # 400 s: 10 cells took 100 s, 40 are left
    silent = Terminal()
    with sweep_bar(False, silent) as report:
        report(1, 2, "")
    assert silent.text == ""
