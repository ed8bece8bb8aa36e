"""The built wheel installs and imports in an empty environment, and works once its dependencies are there."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import sslth

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(ROOT)], check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "sslth/py.typed" in names
    assert "sslth/experiments/templates/report.html.j2" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"sslth"}


def test_wheel_installs_and_imports_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "empty"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)],
        check=True,
        capture_output=True,
    )

    def run(script: str, *options: str) -> str:
        command = [str(python), *options, "-c", script]
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path).stdout.strip()

    assert run("import sslth; print(sslth.__version__)") == sslth.__version__
    assert str(environment) in run("import sslth; print(sslth.__file__)")
    # lend it our dependencies, behind its own packages, and let it work
    lent = f"import sys; sys.path.append({sysconfig.get_paths()['purelib']!r}); import sslth; "
    solved = run(lent + "print(sslth.solve(sslth.Instance([[1.0], [2.0]], [3.0])).status.value)")
    assert solved == "OPTIMAL"
