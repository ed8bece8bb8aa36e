"""`import sslth` is cheap, and gives every public name."""

from __future__ import annotations

import subprocess
import sys

import pytest

import sslth

HEAVY = ("torch", "ortools", "matplotlib", "numba", "scipy", "sklearn", "numpy")


def test_import_loads_nothing_heavy() -> None:
    script = f"import sys, sslth; print([name for name in {HEAVY} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert loaded.strip() == "[]"


def test_solving_needs_no_torch_and_no_matplotlib() -> None:
    script = (
        "import sys, sslth; sslth.solve(sslth.draw_instance('nsn', n=12, d=2)); "
        "print([name for name in ('torch', 'ortools', 'matplotlib') if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert loaded.strip() == "[]"


@pytest.mark.parametrize("name", sslth.__all__)
def test_public_names_exist_and_are_documented(name: str) -> None:
    value = getattr(sslth, name)
    assert value.__doc__
    assert name in dir(sslth)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = sslth.nonsense


def test_version_is_a_version() -> None:
    assert [part.isdigit() for part in sslth.__version__.split(".")] == [True] * 3
