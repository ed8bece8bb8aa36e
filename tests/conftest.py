"""Let the tests import their plain twins: `from oracle import ...`; and know which need compiled kernels."""

import os
import signal
import sys
from pathlib import Path

import pytest

# A shell that starts this in the background has Ctrl-C ignored; the tests of it need what a terminal gives.
signal.signal(signal.SIGINT, signal.default_int_handler)

sys.path.insert(0, str(Path(__file__).parent))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With NUMBA_DISABLE_JIT=1 kernels run as plain Python: skip the tests that would take minutes."""
    if os.environ.get("NUMBA_DISABLE_JIT") != "1":
        return
    for item in items:
        if item.get_closest_marker("needs_jit"):
            item.add_marker(pytest.mark.skip(reason="minutes without the JIT"))
