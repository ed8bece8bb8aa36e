"""What does not fit is refused before it is allocated."""

from __future__ import annotations

import numpy as np
import pytest

from sslth.errors import InvalidInputError
from sslth.subset_sum.draw_instance import draw_instance
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.memory import available_bytes, peak_bytes, require_bytes
from sslth.subset_sum.solve import solve


def test_a_large_instance_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLTH_MEMORY_BYTES", str(4 << 30))
    with pytest.raises(
        InvalidInputError, match=r"n = 1000000, d = 600 needs 13\.4 GiB, but 4 GiB are available"
    ) as refusal:
        draw_instance("gaussian", 10**6, 600)
    assert "\n" not in str(refusal.value)
    huge = np.broadcast_to(np.float64(1.0), (10**6, 600))  # 8 bytes in truth
    with pytest.raises(
        InvalidInputError, match=r"copy of samples, an array of shape \(1000000, 600\), needs 4\.47 GiB"
    ):
        Instance(huge, np.zeros(600))


def test_solving_needs_room_for_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = Instance(np.ones((40_000, 30)), np.zeros(30))
    monkeypatch.setenv("SSLTH_MEMORY_BYTES", "10000000")
    with pytest.raises(InvalidInputError, match=r"solving Instance\(n=40000, d=30\) needs"):
        solve(instance)


def test_small_needs_are_never_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLTH_MEMORY_BYTES", "1")
    assert draw_instance("uniform", 10, 2).n == 10


def test_the_system_is_asked_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSLTH_MEMORY_BYTES", raising=False)
    available = available_bytes()
    assert available is None or available > 1 << 20
    require_bytes(1 << 25, "a test")


def test_a_variable_that_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLTH_MEMORY_BYTES", "much")
    with pytest.raises(InvalidInputError, match="'much'"):
        require_bytes(1 << 30, "a test")


def test_the_peak_covers_what_was_touched() -> None:
    before = peak_bytes()
    touched = np.ones(4_000_000)
    after = peak_bytes()
    assert before is None or after is None or after >= max(before, touched.nbytes)
