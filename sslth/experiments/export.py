"""Tables out of a store: flat columns, as CSV or parquet."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sslth.errors import InvalidInputError
from sslth.experiments.store import Row
from sslth.subset_sum.files import write_atomically, write_bytes

__all__ = ["check_table_path", "flat_table", "write_table"]

SUFFIXES = (".csv", ".parquet")


def flat_table(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return one dict a cell: parameters, then results, then `cell_key`, `cell_error` and `cell_seconds`.

    A mapping within a cell becomes columns with a dot, `certificate.upper`. A result that is called like a parameter
    has `result_` before its name. All dicts have the same keys in the same order; what a cell does not have is None.

    Examples
    --------
    >>> row = Row("ab", {"n": 3, "seed": 0}, {"seed": 7, "bound": {"low": 0.5}}, None, 0.1)
    >>> flat_table([row])
    [{'n': 3, 'seed': 0, 'result_seed': 7, 'bound.low': 0.5, 'cell_key': 'ab', 'cell_error': None, 'cell_seconds': 0.1}]
    """
    rows = list(rows)
    inputs = [_flat(row.parameters) for row in rows]
    outputs = [_flat(row.result or {}) for row in rows]
    names = {name: None for cell in inputs for name in cell}
    results = {name: None for cell in outputs for name in cell}
    table = []
    for row, given, came in zip(rows, inputs, outputs, strict=True):
        flat = {name: given.get(name) for name in names}
        flat |= {f"result_{name}" if name in names else name: came.get(name) for name in results}
        table.append(flat | {"cell_key": row.key, "cell_error": row.error, "cell_seconds": row.seconds})
    return table


def write_table(table: Sequence[Mapping[str, Any]], path: str | os.PathLike[str]) -> None:
    """Write rows with the same keys as CSV or parquet, as the suffix says; the file is complete or as it was.

    In CSV None is an empty field and a list or mapping is JSON. In parquet so is a column whose values have no one
    type.

    Raises
    ------
    InvalidInputError
        For another suffix, without rows, without pyarrow (parquet), or a path that cannot be written.
    """
    path = Path(path)
    check_table_path(path)
    if not table:
        raise InvalidInputError(f"there are no rows to write to {path}")
    if path.suffix == ".csv":
        write_bytes(path, _csv(table))
    else:
        _write_parquet(table, path)


def check_table_path(path: Path) -> None:
    """Refuse, before hours of work, a table that could not be written after them.

    Raises
    ------
    InvalidInputError
        For another suffix, or a folder that is not there.
    """
    if path.suffix not in SUFFIXES:
        raise InvalidInputError(f"a table cannot be written as {path.name!r}; take one of {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise InvalidInputError(f"cannot write {path}: there is no folder {path.parent}")


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{key}.")
        else:
            flat[f"{before}{key}"] = value
    return flat


def _csv(table: Sequence[Mapping[str, Any]]) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table[0])
    for row in table:
        writer.writerow(_text(value) for value in row.values())
    return stream.getvalue().encode("utf-8")


def _text(value: Any) -> Any:
    if isinstance(value, bool | list | tuple | dict):
        return json.dumps(value)
    return value


def _write_parquet(table: Sequence[Mapping[str, Any]], path: Path) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as problem:
        raise InvalidInputError(
            f"writing {path.name} needs an extra: pip install sslth[parquet]; or write a .csv"
        ) from problem

    def column(name: str) -> Any:
        values = [row[name] for row in table]
        try:
            return pyarrow.array(values)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, OverflowError):
            return pyarrow.array([None if value is None else json.dumps(value) for value in values])

    columns = {name: column(name) for name in table[0]}
    write_atomically(path, lambda stream: parquet.write_table(pyarrow.table(columns), stream))
