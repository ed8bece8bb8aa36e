"""The result store: what it keeps, and what it refuses without touching it."""

import json
import math
import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from sslth.errors import InvalidInputError
from sslth.experiments.cells import canonical_json, cell_key, result_json
from sslth.experiments.store import FORMAT_VERSION, Evaluated, Store


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.db"


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_a_result_comes_back_whatever_the_order_and_the_number_types(path):
    with Store(path) as store:
        store.put({"kind": "toy", "n": np.int64(3), "box": (0.0, 1.0)}, {"error": np.float64(0.5), "k": [1, 2]}, 0.25)
        assert store.get({"box": [-0.0, 1.0], "n": 3, "kind": "toy"}) == {"error": 0.5, "k": [1, 2]}
        assert store.get({"box": [0.0, 1.0], "n": 4, "kind": "toy"}) is None
    with Store(path, read_only=True) as store:
        (row,) = store.rows()
        assert row.parameters == {"kind": "toy", "n": 3, "box": [0.0, 1.0]}
        assert (row.seconds, row.error) == (0.25, None)
        assert row.key == cell_key(row.parameters)


def test_rows_are_ordered_by_key_and_chosen_by_kind(path):
    with Store(path) as store:
        for n in range(20):
            store.put({"kind": "even" if n % 2 == 0 else "odd", "n": n}, {"n": n}, 0.0)
        keys = [row.key for row in store.rows()]
        assert keys == sorted(keys)
        assert {row.parameters["n"] for row in store.rows("odd")} == set(range(1, 20, 2))
        assert store.rows("none") == []


def test_the_first_result_stays_and_replaces_an_error(path):
    cell = {"n": 1}
    with Store(path) as store:
        store.put_error(cell, "ValueError: no", 0.1)
        assert store.get(cell) is None
        assert store.row(cell).error == "ValueError: no"
        assert store.keys() == {cell_key(cell)}
        assert store.keys(failed=False) == set()
        store.put_error(cell, "ValueError: still no", 0.1)
        assert store.row(cell).error == "ValueError: still no"
        store.put(cell, {"x": 1}, 0.2)
        store.put(cell, {"x": 2}, 0.3)
        store.put_error(cell, "too late", 0.1)
        assert store.get(cell) == {"x": 1}
        assert len(store.rows()) == 1


def test_numbers_that_are_not_finite_are_null_with_a_reason(path):
    result = {"a": math.inf, "b": -math.inf, "b_reason": "no bound", "c": [1.0, math.nan], "d": {"e": math.inf}}
    with Store(path) as store:
        store.put({"n": 1}, result | {"f": [{"g": math.nan}]}, 0.0)
        assert store.get({"n": 1}) == {
            "a": None,
            "a_reason": "not finite: inf",
            "b": None,
            "b_reason": "no bound",
            "c": [1.0, None],
            "c_reason": "not finite: nan",
            "d": {"e": None, "e_reason": "not finite: inf"},
            "f": [{"g": None, "g_reason": "not finite: nan"}],
        }
    (text,) = sqlite3.connect(path).execute("SELECT result FROM cells").fetchone()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_keys_are_the_hash_of_canonical_json():
    assert canonical_json({"b": 1, "a": "ü"}) == '{"a":"\\u00fc","b":1}'
    assert cell_key({"n": 1}) != cell_key({"n": 1.0})
    assert canonical_json({"flag": True}) != canonical_json({"flag": 1})


@pytest.mark.parametrize("value", [math.inf, math.nan, [1.0, {"x": -math.inf}], object(), {1: 2}, b"bytes", {3}])
def test_parameters_that_json_cannot_hold_are_refused(value):
    with pytest.raises(InvalidInputError, match=r"^[^\n]+$"):
        canonical_json({"n": value})


@pytest.mark.parametrize("value", [object(), {1: 2}, b"bytes", 1 + 2j])
def test_results_that_json_cannot_hold_are_refused(value):
    with pytest.raises(InvalidInputError, match=r"^[^\n]+$"):
        result_json({"n": value})


@pytest.mark.parametrize("read_only", [False, True])
def test_another_file_is_refused_and_left_alone(path, read_only):
    path.write_bytes(b"width,error\n64,0.5\n" * 100)
    before = contents(path.parent)
    with pytest.raises(InvalidInputError, match=r"results\.db is not an SQLite file"):
        Store(path, read_only=read_only)
    assert contents(path.parent) == before


@pytest.mark.parametrize("read_only", [False, True])
def test_another_programs_database_is_refused_and_left_alone(path, read_only):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE cells (x)")
    connection.close()
    before = contents(path.parent)
    with pytest.raises(InvalidInputError, match="of another program"):
        Store(path, read_only=read_only)
    assert contents(path.parent) == before


@pytest.mark.parametrize("version", [0, FORMAT_VERSION + 1])
def test_another_version_is_refused_and_left_alone(path, version):
    with Store(path) as store:
        store.put({"n": 1}, {"x": 1}, 0.0)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    before = contents(path.parent)
    with pytest.raises(InvalidInputError, match=f"of version {version} and this is version {FORMAT_VERSION}"):
        Store(path)
    assert contents(path.parent) == before


@pytest.mark.parametrize("damage", ["truncated", "overwritten", "header only"])
def test_a_damaged_store_is_refused_and_left_alone(path, damage):
    with Store(path) as store:
        for n in range(300):
            store.put({"n": n}, {"text": "x" * 200}, 0.0)
    whole = path.read_bytes()
    path.write_bytes(
        {
            "truncated": whole[: len(whole) // 2],
            "overwritten": whole[:4096] + b"\xa5" * (len(whole) - 4096),
            "header only": whole[:50],
        }[damage]
    )
    before = contents(path.parent)
    for read_only in (False, True):
        with pytest.raises(InvalidInputError, match=r"damaged[^\n]*left as it is"):
            Store(path, read_only=read_only)
    assert path.read_bytes() == before["results.db"]


def test_a_missing_store_cannot_be_read(path):
    with pytest.raises(InvalidInputError, match="there is no result store"):
        Store(path, read_only=True)
    assert not path.exists()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InvalidInputError, match=r"there is no folder .*nowhere"):
        Store(tmp_path / "nowhere" / "results.db")


def test_a_folder_in_place_of_the_file_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="result store"):
        Store(tmp_path)


def test_an_empty_file_becomes_a_store(path):
    path.touch()
    with Store(path) as store:
        store.put({"n": 1}, {"x": 1}, 0.0)
        assert store.get({"n": 1}) == {"x": 1}


READ_ONLY_FOLDER = """
import os
from sslth.errors import InvalidInputError
from sslth.experiments.store import Store
if os.getuid() == 0:
    os.setuid(65534)  # root may write everywhere
with Store("results.db", read_only=True) as store:
    print(len(store.rows()))
for name in ("results.db", "new.db"):
    try:
        Store(name)
    except InvalidInputError as error:
        print(error)
"""


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="needs POSIX permissions")
def test_a_read_only_folder_can_be_read_and_not_written():
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        folder = Path(name)
        with Store(folder / "results.db") as store:
            store.put({"n": 1}, {"x": 1}, 0.0)
        folder.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY_FOLDER], cwd=folder, capture_output=True, text=True, timeout=60
        )
        folder.chmod(0o755)
        left = [file.name for file in folder.iterdir()]
    assert done.stderr == ""
    rows, first, second = done.stdout.splitlines()
    assert rows == "1"
    assert first.startswith("cannot open the result store results.db: ")
    assert second.startswith("cannot write the result store new.db: ")
    assert left == ["results.db"]


FULL_DISK = """
import resource, sys
from sslth.errors import InvalidInputError
from sslth.experiments.store import Store
with Store("results.db") as store:
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    try:
        for n in range(10_000):
            store.put({"n": n}, {"text": "x" * 1000}, 0.0)
    except InvalidInputError as error:
        print(n)
        print(error)
"""


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path):
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    stored, message = done.stdout.splitlines()
    assert message.startswith("cannot write to the result store results.db: ")
    assert message.endswith("what was stored before is kept")
    with Store(tmp_path / "results.db") as store:
        assert {row.parameters["n"] for row in store.rows()} == set(range(int(stored)))
        store.put({"n": -1}, {"x": 1}, 0.0)


WRITER = """
import sys
from sslth.experiments.store import Store
with Store("results.db") as store:
    for n in range(200):
        store.put({"n": n}, {"writer": sys.argv[1]}, 0.0)
"""


def test_two_processes_may_write_at_once(tmp_path):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, name], cwd=tmp_path) for name in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    with Store(tmp_path / "results.db") as store:
        assert len(store.rows()) == 200


def test_many_are_put_in_one_transaction_or_not_at_all(path):
    good = Evaluated({"n": 1}, {"x": 1}, None, 0.0)
    with Store(path) as store:
        with pytest.raises(InvalidInputError):
            store.put_all([good, Evaluated({"n": 2}, {"x": object()}, None, 0.0)])
        assert store.rows() == []
        store.put_error({"n": 1}, "no", 0.0)
        store.put_all([good, Evaluated({"n": 1}, None, "late", 0.0), Evaluated({"n": 3}, None, "no", 0.0)])
        assert [(row.result, row.error) for row in store.rows_of([cell_key({"n": 1})])] == [({"x": 1}, None)]
        assert store.row({"n": 3}).error == "no"


def test_cells_are_looked_up_and_forgotten_by_key(path):
    cells = [{"n": n} for n in range(1200)]  # more than one statement can name
    keys = [cell_key(cell) for cell in cells]
    with Store(path) as store:
        store.put_all(Evaluated(cell, {"x": cell["n"]}, None, 0.0) for cell in cells)
        found = store.rows_of([*keys[:1100], "nowhere"])
        assert [row.key for row in found] == sorted(keys[:1100])
        assert store.forget([*keys[:1100], "nowhere"]) == 1100
        assert store.keys() == set(keys[1100:])


def test_the_version_tells_what_others_wrote(path):
    with Store(path) as store, Store(path) as other:
        before = store.version()
        store.put({"n": 1}, {"x": 1}, 0.0)
        assert store.version() == before
        other.put({"n": 2}, {"x": 1}, 0.0)
        assert store.version() != before
