"""Triton kernels without a GPU: run in Triton's interpreter, in a process of its own, and compiled for a GPU."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")


def run_in_the_interpreter(script: str, folder: Path) -> dict[str, npt.NDArray[Any]]:
    """What the script wrote with `numpy.savez` to the file of its only argument; kernels are interpreted there."""
    here = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": here}
    subprocess.run([sys.executable, script, str(folder / "made.npz")], check=True, env=environment)
    with np.load(folder / "made.npz") as made:
        return dict(made)


def fused_multiply_adds(kernel: Any, types: dict[str, str], constants: dict[str, int], options: dict[str, Any]) -> int:
    """How many there are in the kernel when it is compiled for compute capability 9.0, which need not be there."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    source = ASTSource(kernel, types | dict.fromkeys(constants, "constexpr"), constants)
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    return len(re.findall(r"\bfma\.", made.asm["ptx"]))
