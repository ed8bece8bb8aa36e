"""Finished blocks on disk, and an extraction that goes on: after an error, after kill -9, on other workers."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from torch import nn

import sslth
from sslth.cnn.block_store import BlockStore, block_key
from sslth.cnn.layers import Layer, Wiring
from sslth.cnn.own_weights import OwnPair
from sslth.cnn.random_layer import Block
from sslth.cnn.run_all import run_all
from sslth.cnn.ticket_file import ticket_bytes
from sslth.errors import InvalidInputError

LAYER = Layer("layer", 0, Wiring("linear", 2, 3, True), 10, 20, False, 1.0)
BLOCK = Block(5, LAYER, 1)
WIDTH = 200


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


def extracted(path: Path | None = None, **settings: object) -> bytes:
    return ticket_bytes(sslth.extract(network(), torch.zeros(1, 6), WIDTH, progress=False, _blocks=path, **settings))


def test_what_was_put_comes_back(tmp_path: Path) -> None:
    target = np.ones(3)
    key = block_key(BLOCK, 1, target, "search")
    with BlockStore(tmp_path / "blocks.db") as store:
        assert store.get(key, BLOCK) is None
        store.put(key, np.array([19, 3], dtype=np.uint32))
        store.put(key, np.array([1], dtype=np.uint32))  # the first stays
    with BlockStore(tmp_path / "blocks.db") as store:
        found = store.get(key, BLOCK)
        assert found is not None
        assert found.tolist() == [3, 19]
        assert len(store) == 1


def test_the_key_knows_all_that_the_answer_depends_on() -> None:
    target = np.ones(3)
    v, u = np.ones((4, 2), np.float32), np.ones((4, 3), np.float32)
    own = replace(LAYER, law="own", own=OwnPair(v, u))
    keys = [
        block_key(BLOCK, 1, target, "search"),
        block_key(BLOCK, -1, target, "search"),
        block_key(BLOCK, 1, target * (1 + 1e-15), "search"),
        block_key(BLOCK, 1, target, "another"),
        block_key(replace(BLOCK, seed=6), 1, target, "search"),
        block_key(replace(BLOCK, channel=0), 1, target, "search"),
        block_key(replace(BLOCK, is_constant=True), 1, target, "search"),
        block_key(replace(BLOCK, is_tap=True), 1, target, "search"),
        block_key(replace(BLOCK, layer=replace(LAYER, index=1)), 1, target, "search"),
        block_key(replace(BLOCK, layer=replace(LAYER, width=11)), 1, target, "search"),
        block_key(replace(BLOCK, layer=replace(LAYER, law="uniform")), 1, target, "search"),
        block_key(replace(BLOCK, layer=own), 1, target, "search"),
        block_key(replace(BLOCK, layer=replace(own, own=OwnPair(v, 2 * u))), 1, target, "search"),
    ]
    assert len(set(keys)) == len(keys)
    assert block_key(replace(BLOCK, layer=replace(LAYER, gain=2.0)), 1, target, "search") == keys[0]  # in the target


def test_files_that_are_no_store_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, and long enough to be looked at" * 100)
    with sqlite3.connect(tmp_path / "other") as other:
        other.execute("CREATE TABLE theirs (a)")
    other.close()
    for path in (tmp_path / "text", tmp_path / "other", tmp_path / "nowhere" / "blocks.db"):
        with pytest.raises(InvalidInputError, match="cannot be used to store finished blocks") as caught:
            BlockStore(path)
        assert "\n" not in str(caught.value)


def test_a_spoilt_entry_is_refused(tmp_path: Path) -> None:
    key = block_key(BLOCK, 1, np.ones(3), "search")
    with BlockStore(tmp_path / "blocks.db") as store:
        store.put(key, np.array([3, 19], dtype=np.uint32))
        store._database.execute("UPDATE blocks SET filters = ?", (b"\xff\xff",))
        with pytest.raises(InvalidInputError, match="cannot be used"):
            store.get(key, BLOCK)


def test_an_extraction_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(count: int, total: int, stage: str) -> None:
        if stage == "searching blocks" and count == 4:
            raise Stop

    path = tmp_path / "blocks.db"
    with pytest.raises(Stop):
        sslth.extract(network(), torch.zeros(1, 6), WIDTH, progress=stop, jobs=1, _blocks=path)
    with BlockStore(path) as store:
        found = len(store)
    assert found >= 4  # and those that were done by then
    assert extracted(path) == extracted()
    with BlockStore(path) as store:
        complete = len(store)
    assert complete >= found
    assert extracted(path, seed=1) == extracted(seed=1)  # another network does not take these for its own
    with BlockStore(path) as store:
        assert len(store) == 2 * complete


def test_kill_9_loses_only_what_was_running(tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import os, signal, sys, torch
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_block_store import WIDTH, network
        import sslth
        def progress(done, total, stage):
            if stage == "searching blocks" and done == 6:
                os.kill(os.getpid(), signal.SIGKILL)
        sslth.extract(network(), torch.zeros(1, 6), WIDTH, progress=progress, jobs=2, _blocks=sys.argv[1])
        """
    )
    path = tmp_path / "blocks.db"
    result = subprocess.run([sys.executable, "-c", script, str(path)], timeout=240, check=False, stderr=subprocess.PIPE)
    assert result.returncode == -signal.SIGKILL, result.stderr.decode()
    with BlockStore(path) as store:
        assert len(store) >= 6
    assert extracted(path) == extracted()


@pytest.mark.parametrize("workers", [1, 2])
def test_threads_and_processes_give_the_same_bytes(workers: int) -> None:
    expected = extracted(jobs=1)
    assert extracted(jobs=workers) == expected
    if workers == 2:
        with joblib.parallel_config(backend="loky", n_jobs=2):
            assert extracted() == expected


def test_closing_hands_in_what_is_still_running() -> None:
    noted: list[int] = []
    results = run_all(lambda item: item, list(range(50)), 2, lambda number, _result: noted.append(number))
    first = next(results)
    results.close()
    assert first[0] in noted
    assert len(noted) == len(set(noted))


def test_an_error_in_a_piece_of_work_is_raised() -> None:
    def work(item: int) -> float:
        return 1 / item

    with pytest.raises(ZeroDivisionError):
        list(run_all(work, [1, 0, 2], 2))
    assert list(run_all(work, [], 2)) == []


def test_dask_workers_give_the_same_bytes(tmp_path: Path) -> None:
    """Two worker processes of a local dask cluster; in a process of its own, so that nothing of it stays here."""
    pytest.importorskip("distributed")
    script = textwrap.dedent(
        f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import joblib
        from distributed import Client, LocalCluster
        from test_block_store import extracted

        if __name__ == "__main__":
            expected = extracted(jobs=1)
            with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
                with Client(cluster), joblib.parallel_config(backend="dask"):
                    found = extracted()
            sys.exit(0 if found == expected else 3)
        """
    )
    (tmp_path / "on_dask.py").write_text(script)
    command = [sys.executable, str(tmp_path / "on_dask.py")]
    result = subprocess.run(command, timeout=300, check=False, stderr=subprocess.PIPE)
    assert result.returncode == 0, result.stderr.decode()
