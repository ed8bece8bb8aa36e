"""Tables out of a store: columns, CSV, parquet, and files that are complete or not there."""

import csv
import json

import pytest

from sslth.errors import InvalidInputError
from sslth.experiments.export import flat_table, write_table
from sslth.experiments.store import Store


@pytest.fixture
def rows():
    with Store(":memory:") as store:
        store.put({"kind": "toy", "n": 1, "box": [0, 1]}, {"error": 0.5, "n": 7, "deep": {"a": {"b": True}}}, 0.25)
        store.put({"kind": "toy", "n": 2, "box": [0, 1]}, {"error": float("inf"), "tag": 1}, 0.25)
        store.put({"kind": "toy", "n": 3, "law": "ü"}, {"error": 1, "tag": "x"}, 0.25)
        store.put_error({"kind": "toy", "n": 4}, 'said "no", twice', 0.5)
        return sorted(store.rows(), key=lambda row: row.parameters["n"])


COLUMNS = {"kind", "n", "box", "law", "error", "error_reason", "result_n", "deep.a.b", "tag"}
COLUMNS |= {"cell_key", "cell_error", "cell_seconds"}


def test_columns_are_flat_and_the_same_for_every_cell(rows):
    table = flat_table(rows)
    assert {tuple(row) for row in table} == {tuple(table[0])}
    assert set(table[0]) == COLUMNS
    assert [row["n"] for row in table] == [1, 2, 3, 4]
    assert (table[0]["result_n"], table[0]["deep.a.b"], table[1]["error"]) == (7, True, None)
    assert (table[3]["cell_error"], table[3]["error"]) == ('said "no", twice', None)


def test_csv_comes_back(rows, tmp_path):
    write_table(flat_table(rows), tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as stream:
        back = list(csv.DictReader(stream))
    assert [row["error"] for row in back] == ["0.5", "", "1", ""]
    assert (back[2]["law"], back[3]["cell_error"]) == ("ü", 'said "no", twice')
    assert json.loads(back[0]["box"]) == [0, 1]


def test_parquet_comes_back_with_types(rows, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_table(flat_table(rows), tmp_path / "t.parquet")
    table = parquet.read_table(tmp_path / "t.parquet")
    assert set(table.column_names) == COLUMNS
    assert table.column("n").to_pylist() == [1, 2, 3, 4]
    assert table.column("error").to_pylist() == [0.5, None, 1.0, None]
    assert table.column("box").to_pylist() == [[0, 1], [0, 1], None, None]
    assert table.column("tag").to_pylist() == [None, "1", '"x"', None]  # no one type: JSON
    assert [file.name for file in tmp_path.iterdir()] == ["t.parquet"]


def test_what_cannot_be_written_leaves_the_file_as_it_was(rows, tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    path.write_bytes(b"before")
    for table, name in ((rows, "t.xlsx"), ([], "t.csv"), (rows, "nowhere/t.csv")):
        with pytest.raises(InvalidInputError, match=r"^[^\n]+$"):
            write_table(flat_table(table), tmp_path / name)

    def stop(_descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr("sslth.subset_sum.files.os.fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        write_table(flat_table(rows), path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"t.parquet": b"before"}
