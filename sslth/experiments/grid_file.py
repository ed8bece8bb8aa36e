"""Grid files: TOML that says which cells a sweep has, each checked before anything runs."""

from __future__ import annotations

import itertools
import math
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sslth.errors import InvalidInputError
from sslth.experiments.cells import cell_key
from sslth.experiments.kinds import KINDS, Kind, kind_named

__all__ = ["MOST_CELLS", "Grid", "make_grid", "read_grid"]

MOST_CELLS = 1_000_000  # some gigabytes of memory; more is several sweeps
_RANGE = ({"from", "to"}, {"from", "to", "step"})


@dataclass(frozen=True)
class Grid:
    """A kind of experiment and its cells, complete (defaults filled in), by their keys, in the order of the file."""

    kind: Kind
    by_key: Mapping[str, Mapping[str, Any]]

    @property
    def cells(self) -> list[Mapping[str, Any]]:
        """The parameters of each cell."""
        return list(self.by_key.values())


def read_grid(path: str | os.PathLike[str]) -> Grid:
    """Return the grid of a TOML file; see `make_grid` for what it holds.

    Raises
    ------
    InvalidInputError
        In one line that names file, key and value: if it cannot be read or is no TOML, or what `make_grid` refuses.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except OSError as error:
        raise InvalidInputError(f"cannot read the grid {path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} is no TOML: {' '.join(str(error).split())}") from error
    try:
        return make_grid(content)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error}") from error


def make_grid(content: Mapping[str, Any]) -> Grid:
    """Return the cells that a grid describes, checked one by one.

    Parameters
    ----------
    content : mapping
        `kind`; parameters that all cells share, such as `seed`; `grid`, a table of lists, every combination of which
        is a cell, the last key varying fastest; `cells`, tables of parameters, each of which is one more cell. In
        `grid`, {from = 0, to = 8, step = 2} stands for the list 0, 2, 4, 6, 8. Without `grid` and `cells` the shared
        parameters are the only cell.

    Raises
    ------
    InvalidInputError
        For an unknown kind or key, a value that the kind refuses, an empty list, a key that is given twice, or more
        than `MOST_CELLS` cells, which are counted before the first one is made.

    Examples
    --------
    >>> grid = make_grid({"kind": "success", "epsilon": 0.1, "grid": {"n": [8, 10], "d": [1, 2]}})
    >>> [(cell["n"], cell["d"]) for cell in grid.cells]
    [(8, 1), (8, 2), (10, 1), (10, 2)]
    >>> grid.cells[0]["repetitions"]
    20
    """
    kind = _kind(content)
    shared = {key: value for key, value in content.items() if key not in ("kind", "grid", "cells")}
    axes, more = _axes(content.get("grid", {})), _more(content.get("cells", []))
    _check_keys(kind, [*shared, *axes, *(key for cell in more for key in cell)])
    twice = sorted(set(shared) & set(axes))
    if twice:
        raise InvalidInputError(f"{twice[0]} stands both in [grid] and outside of it; keep one")
    count = math.prod(_length(values) for values in axes.values()) if axes or not more else 0
    if count + len(more) > MOST_CELLS:
        raise InvalidInputError(
            f"the grid has {count + len(more):,} cells, and {MOST_CELLS:,} is the most; shorten the lists of [grid]"
        )
    cells: dict[str, Mapping[str, Any]] = {}
    for given in itertools.chain(_product(axes) if count else (), more):
        cell = _complete(kind, {**shared, **given})
        cells.setdefault(cell_key(cell), cell)
    return Grid(kind, cells)


def _kind(content: Mapping[str, Any]) -> Kind:
    known = ", ".join(sorted(KINDS))
    if "kind" not in content:
        raise InvalidInputError(f'the grid has no kind; write kind = "…" in its first line: {known}')
    if not isinstance(content["kind"], str):
        raise InvalidInputError(f"kind is {content['kind']!r}; take one of {known}")
    return kind_named(content["kind"])


def _axes(table: Any) -> dict[str, Sequence[Any]]:
    if not isinstance(table, Mapping):
        raise InvalidInputError(f"grid is {_short(table)}; it is a table: [grid], then lists")
    axes: dict[str, Sequence[Any]] = {}
    for key, values in table.items():
        if isinstance(values, Mapping):
            values = _range(key, values)
        if not isinstance(values, list | range):
            raise InvalidInputError(f"{key} is {_short(values)} in [grid]; write a list, or move it above [grid]")
        if not values:
            raise InvalidInputError(f"{key} is an empty list in [grid], which leaves no cell")
        axes[key] = values
    return axes


def _range(key: str, table: Mapping[str, Any]) -> range:
    numbers = [table.get("from"), table.get("to"), table.get("step", 1)]
    whole = all(isinstance(number, int) and not isinstance(number, bool) for number in numbers)
    if set(table) not in _RANGE or not whole or numbers[2] < 1 or numbers[0] > numbers[1]:
        raise InvalidInputError(
            f"{key} is {_short(dict(table))} in [grid]; a range is {{from = 0, to = 8, step = 2}}, whole and upwards"
        )
    return range(numbers[0], numbers[1] + 1, numbers[2])


def _length(values: Sequence[Any]) -> int:
    """`len` of a range above 2**63 is an error."""
    return -(-(values.stop - values.start) // values.step) if isinstance(values, range) else len(values)


def _more(tables: Any) -> list[Mapping[str, Any]]:
    if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables):
        raise InvalidInputError(f"cells is {_short(tables)}; it is a list of tables: [[cells]], then parameters")
    return tables


def _check_keys(kind: Kind, keys: Sequence[str]) -> None:
    known = kind.settings.model_fields
    for key in keys:
        if key not in known:
            raise InvalidInputError(f"{kind.name} has no parameter {key!r}; it has {', '.join(sorted(known))}")


def _product(axes: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    return (dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values()))


def _complete(kind: Kind, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of one cell as they are stored, with every default."""
    for key, value in given.items():
        if isinstance(value, bool) and "bool" not in str(kind.settings.model_fields[key].annotation):
            raise InvalidInputError(f"{key} is {str(value).lower()}, which {kind.name} cannot use; write a number")
    try:
        settings = kind.settings(**given)
    except ValidationError as error:
        raise InvalidInputError(_first_problem(kind, error)) from error
    return {"kind": kind.name, **settings.model_dump(mode="json")}


def _first_problem(kind: Kind, error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    said = str(problem["msg"]).removeprefix("Value error, ")
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "missing":
        return f"{where} is missing, which {kind.name} needs"
    if not where:
        return f"{kind.name}: {said}"
    return f"{where} is {_short(problem['input'])}: {said[:1].lower()}{said[1:]}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
