"""Every script of the gallery runs alone, as a reader would run it, and leaves a figure with something in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

GALLERY = Path(__file__).parents[2] / "docs" / "gallery"
SCRIPTS = sorted(GALLERY.glob("*.py"))
RUN = """
import runpy, sys
from matplotlib.figure import Figure
from PIL import Image
figure = runpy.run_path(sys.argv[1], run_name="__main__")["figure"]
assert isinstance(figure, Figure), type(figure)
figure.savefig("figure.png")
assert len(Image.open("figure.png").convert("RGB").getcolors(1 << 20)) > 10, "the picture is blank"
"""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_script_runs(script: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", RUN, str(script)],
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": "Agg"},
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"], "a script writes no files"


def test_the_promised_figures_are_there() -> None:
    stems = {script.stem for script in SCRIPTS}
    assert stems >= {
        "a_construction",
        "b_one_instance",
        "c_phase_transition",
        "d_error_against_width",
        "e_kept_filters",
        "f_a_claim",
    }


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_script_begins_with_a_title(script: Path) -> None:
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[0] == '"""'
    assert lines[2] == "=" * len(lines[1])
