"""The `sslth` commands of five pages run as they stand there, one after the other, but for those named as long.

Those of the studies and the measured pages take minutes to hours; `test_commands` parses them.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sslth.cli.main import main
from tests.docs.test_commands import FENCE, ROOT, shell_lines

PAGES = ["check-a-bound", "extract-your-network", "getting-started", "mining", "run-a-sweep"]
LONG = {
    "sslth check": "a quarter of a minute; every claim has tests of its own",
    "sslth check --full": "half an hour of a core",
    "sslth mine gem_miner": "ten seconds; tests/cli/test_mine.py has shorter ones",
    "sslth compare --out": "an hour of a core; tests/cli/test_compare.py has small ones",
    "sslth compare --quick": "minutes",
    "sslth sweep phase.toml --store results.db --backend dask": "it names somebody's cluster",
}


def lines_of(page: str) -> list[str]:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    return [line for line in shell_lines(text) if line.startswith("sslth ")]


def is_long(line: str) -> bool:
    return any(line == long or (long != "sslth check" and line.startswith(f"{long} ")) for long in LONG)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the pages take for granted: a network, its weights, grids, and an error against width."""
    from sslth.experiments.error_vs_width import error_vs_width
    from sslth.experiments.store import Store
    from sslth.networks.small_cnn import small_cnn

    (tmp_path / "my_model.py").write_text(
        "from sslth.networks import small_cnn\n\n\ndef build():\n    return small_cnn()\n"
    )
    torch.manual_seed(0)
    model = small_cnn().eval()
    save_file(model.state_dict(), tmp_path / "target.safetensors")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "grids").symlink_to(ROOT / "docs" / "grids")
    (tmp_path / "ticket").mkdir()
    x = torch.rand(4, 1, 8, 8)
    with Store(tmp_path / "ticket" / "error_vs_width.db") as store:
        error_vs_width(model, x[:1], x, widths=(16, 64, 256), seeds=range(2), low=0.0, high=1.0, store=store)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.needs_jit
@pytest.mark.parametrize("page", PAGES)
def test_commands_run(page: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _, language, block in FENCE.findall((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")):
        if language.strip() == "toml" and (name := re.match(r"# (\S+\.toml)\n", block)):
            (folder / name[1]).write_text(block, encoding="utf-8")
    ran = 0
    for line in lines_of(page):
        if not is_long(line):
            assert main(shlex.split(line)[1:]) == 0, f"{line}\n{capsys.readouterr().err}"
            ran += 1
    assert ran >= 1


def test_what_is_called_long_is_on_a_page() -> None:
    shown = [line for page in PAGES for line in lines_of(page)]
    for long in LONG:
        assert any(line == long or line.startswith(f"{long} ") for line in shown), long
