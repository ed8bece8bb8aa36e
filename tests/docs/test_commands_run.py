"""Every shell line of README and docs runs as it stands there, line after line, in a folder of its own.

Two things are lent: the cluster of somebody else is one on this machine, and `make demo` finds its set-up done. `make
test` is what runs this file.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
import torch
from local_cluster import local_cluster
from safetensors.torch import save_file

from sslth.cli.main import main
from tests.docs.code_blocks import PAGES, ROOT, fenced, read, shell_lines

WITH_COMMANDS = [page for page in PAGES if shell_lines(read(page))]
OUTPUTS = [block for page in PAGES for language, block in fenced(read(page)) if language == "text"]
CLUSTER = "tcp://host:8786"
MY_MODEL = """
from torch import nn


def build():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(3), nn.Flatten(), nn.Linear(16, 10))
"""


@pytest.fixture(scope="session")
def readers_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages take for granted: a network, its weights, this repository's grids, an error against width."""
    from sslth.experiments.error_vs_width import error_vs_width
    from sslth.experiments.store import Store

    folder = tmp_path_factory.mktemp("reader")
    (folder / "my_model.py").write_text(MY_MODEL)
    made: dict[str, Callable[[], torch.nn.Module]] = {}
    exec(MY_MODEL, made)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, x = made["build"]().eval(), torch.rand(4, 1, 8, 8)
    save_file(model.state_dict(), folder / "target.safetensors")
    (folder / "ticket").mkdir()
    with Store(folder / "ticket" / "error_vs_width.db") as store:
        error_vs_width(model, x[:1], x, widths=(16, 64, 256), seeds=range(2), low=0.0, high=1.0, store=store)
    return folder


@pytest.fixture
def folder(readers_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to work in."""
    shutil.copytree(readers_files, tmp_path, dirs_exist_ok=True)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "grids").symlink_to(ROOT / "docs" / "grids")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.needs_jit
@pytest.mark.timeout(900)  # the README has the demo: 40 s of one core, and more beside other work
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_run(page: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = read(page)
    for language, block in fenced(text):
        if language == "toml" and (name := re.match(r"# (\S+\.toml)\n", block)):
            (folder / name[1]).write_text(block, encoding="utf-8")
    for line in shell_lines(text):
        program, *arguments = shlex.split(line)
        status = RUN[program](arguments, folder)
        seen = capsys.readouterr()
        assert status == 0, f"{line}\n{seen.err}"
        if line in PRINTED:
            title = seen.out.splitlines()[0]
            (shown,) = (block for block in OUTPUTS if block.startswith(f"{title}\n"))
            assert PRINTED[line](seen.out) == PRINTED[line](shown)


def run_ours(arguments: list[str], folder: Path) -> int:
    if CLUSTER not in arguments:
        return main(arguments)
    with local_cluster(folder) as address:
        given = [address if word == CLUSTER else word for word in arguments]
        program = "import sys; from sslth.cli.main import main; sys.exit(main(sys.argv[1:]))"
        return subprocess.run([sys.executable, "-c", program, *given], cwd=folder, check=False).returncode


def run_module(arguments: list[str], folder: Path) -> int:
    assert arguments[0] == "-m"
    return import_module(arguments[1]).main(arguments[2:]) or 0


def run_make(arguments: list[str], folder: Path) -> int:
    """The recipe of `make demo` with this Python. Of `make test` it is enough that it runs the tests: this is one."""
    (target,) = arguments
    command = ["make", "--file", str(ROOT / "Makefile"), f"BIN={Path(sys.executable).parent}", "VENV=lent"]
    for name in ("pyproject.toml", "constraints.txt", "lent/bin/python", "lent/.demo-ready", "lent/.test-ready"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    around = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    if target == "test":
        recipe = subprocess.run([*command, "-n", target], cwd=folder, env=around, check=True, capture_output=True)
        assert b"pip" not in recipe.stdout
        assert b"python -m pytest" in recipe.stdout.splitlines()[-1]
        return 0
    assert target == "demo"
    status = subprocess.run([*command, target], cwd=folder, env=around, check=False).returncode
    made = json.loads((folder / "out" / "demo" / "summary.json").read_text(encoding="utf-8"))
    assert (folder / "out" / "demo" / "report.html").is_file()
    assert made["agreement"] == 1.0
    assert f"of {made['total_filters']:,} random filters" in read(ROOT / "README.md")
    return status


RUN = {"sslth": run_ours, "python": run_module, "make": run_make}
PRINTED: dict[str, Callable[[str], str]] = {  # lines whose output the page shows, less what differs from run to run
    "sslth reproduce burkholz2022": lambda out: re.sub(r"; [\d.]+ s\n", "\n", out).strip()
}
