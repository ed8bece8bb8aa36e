"""Grid files: which cells they give, and what is refused in one line before anything runs."""

import pytest

from sslth.errors import InvalidInputError
from sslth.experiments.cells import cell_key
from sslth.experiments.grid_file import MOST_CELLS, make_grid, read_grid

TEXT = """
kind = "success"
seed = 3
epsilon = 0.1
repetitions = 2
[grid]
n = {from = 4, to = 8, step = 2}
d = [1, 2]
[[cells]]
n = 20
d = 1
repetitions = 7
[[cells]]
n = 4
d = 1
"""


def test_a_product_and_further_cells_each_once(tmp_path):
    (tmp_path / "g.toml").write_text(TEXT)
    grid = read_grid(tmp_path / "g.toml")
    assert [(cell["n"], cell["d"], cell["repetitions"]) for cell in grid.cells] == [
        (4, 1, 2), (4, 2, 2), (6, 1, 2), (6, 2, 2), (8, 1, 2), (8, 2, 2), (20, 1, 7),
    ]  # fmt: skip
    assert all(cell["kind"] == "success" and cell["seed"] == 3 and cell["law"] == "gaussian" for cell in grid.cells)
    assert list(grid.by_key) == [cell_key(cell) for cell in grid.cells]


def test_shared_parameters_alone_are_one_cell():
    (cell,) = make_grid({"kind": "success", "n": 4, "d": 1, "epsilon": 1}).cells
    assert isinstance(cell["epsilon"], float)  # 1 and 1.0 would be two names of one cell
    only = make_grid({"kind": "success", "d": 1, "epsilon": 1, "cells": [{"n": 4}, {"n": 5}]})
    assert [cell["n"] for cell in only.cells] == [4, 5]


GOOD = {"kind": "success", "n": 4, "d": 1, "epsilon": 0.1}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "nonsense"}, "no kind of experiment 'nonsense'; take one of"),
        ({"kind": 3}, "kind is 3"),
        ({"widht": 3}, "success has no parameter 'widht'; it has d, epsilon"),
        ({"grid": {"widht": [3]}}, "no parameter 'widht'"),
        ({"cells": [{"widht": 3}]}, "no parameter 'widht'"),
        ({"repetitions": 0}, "repetitions is 0: input should be greater than or equal to 1"),
        ({"n": -1}, "n is -1: "),
        ({"n": 4.5}, "n is 4.5: "),
        ({"n": "four"}, "n is 'four': "),
        ({"n": True}, "n is true, "),
        ({"epsilon": float("nan")}, "epsilon is nan: "),
        ({"epsilon": [0.1]}, r"epsilon is \[0.1\]: "),
        ({"law": "cauchy"}, "law is 'cauchy': "),
        ({"grid": {"n": [4, 5]}}, r"n stands both in \[grid\] and outside"),
        ({"grid": {"seed": []}}, "seed is an empty list"),
        ({"grid": {"seed": 5}}, "seed is 5 in .grid.; write a list"),
        ({"grid": {"seed": [1, "x"]}}, "seed is 'x': "),
        ({"grid": {"seed": {"from": 3}}}, "seed is .* a range is"),
        ({"grid": {"seed": {"from": 3, "to": 1}}}, "seed is .* a range is"),
        ({"grid": {"seed": {"from": 1, "to": 3, "step": 0}}}, "seed is .* a range is"),
        ({"grid": {"seed": {"from": 1, "to": 3, "stop": 1}}}, "seed is .* a range is"),
        ({"grid": [1]}, "grid is .1.; it is a table"),
        ({"cells": {"n": 1}}, "cells is .*; it is a list of tables"),
        ({"cells": []} | {"grid": {"seed": list(range(1001)), "k": list(range(1001))}}, "1,002,001 cells"),
    ],
)
def test_what_cannot_be_is_one_line_with_key_and_value(change, said):
    with pytest.raises(InvalidInputError, match=said) as caught:
        make_grid(GOOD | change)
    assert "\n" not in str(caught.value)


def test_a_missing_parameter_and_a_missing_kind_are_named():
    with pytest.raises(InvalidInputError, match="n is missing, which success needs"):
        make_grid({key: value for key, value in GOOD.items() if key != "n"})
    with pytest.raises(InvalidInputError, match="has no kind"):
        make_grid({"n": 3})


def test_a_million_million_cells_are_refused_before_one_is_made(monkeypatch):
    monkeypatch.setattr("sslth.experiments.grid_file._complete", lambda *_: pytest.fail("a cell was made"))
    many = {"from": 0, "to": 999_999}
    with pytest.raises(InvalidInputError, match=f"1,000,000,000,000 cells, and {MOST_CELLS:,} is the most"):
        make_grid({"kind": "success", "d": 1, "epsilon": 0.1, "n": 4, "grid": {"seed": many, "repetitions": many}})


@pytest.mark.parametrize("content", [b"kind = ", b"\xff\xfe", b'kind = "success"\nkind = "success"'])
def test_a_file_that_is_no_toml_is_named(tmp_path, content):
    (tmp_path / "g.toml").write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"g\.toml is no TOML: [^\n]+$"):
        read_grid(tmp_path / "g.toml")


def test_files_are_named_in_every_error(tmp_path):
    with pytest.raises(InvalidInputError, match=r"cannot read the grid .*none\.toml"):
        read_grid(tmp_path / "none.toml")
    with pytest.raises(InvalidInputError, match="cannot read the grid"):
        read_grid(tmp_path)
    (tmp_path / "g.toml").write_text(TEXT + "\nrepetitions = 0\n")
    with pytest.raises(InvalidInputError, match=r"g\.toml: repetitions is 0"):
        read_grid(tmp_path / "g.toml")


def test_the_kind_of_solvers_checks_what_belongs_together():
    base = {"kind": "solver", "d": 1, "n": 4}
    assert make_grid(base).cells[0]["time_limit"] == 10.0
    assert make_grid(base | {"max_work": 5}).cells[0]["time_limit"] is None
    with pytest.raises(InvalidInputError, match="k is 5 and n is 4"):
        make_grid(base | {"k": 5})
    with pytest.raises(InvalidInputError, match="solver is 'oracle'; take one of"):
        make_grid(base | {"solver": "oracle"})


def test_a_range_that_no_list_could_hold_is_refused():
    with pytest.raises(InvalidInputError, match=f"the grid has {10**24:,} cells, and {MOST_CELLS:,} is the most"):
        make_grid({"kind": "success", "epsilon": 0.1, "n": 4, "grid": {"d": {"from": 1, "to": 10**24}}})
