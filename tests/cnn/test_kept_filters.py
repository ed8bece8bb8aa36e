"""Packed filter numbers: where they may be held, copied and sent."""

from __future__ import annotations

import copy
import pickle
import resource
from pathlib import Path

import numpy as np
import pytest

from sslth.cnn.kept_filters import Keeping, KeptFilters
from sslth.cnn.kept_layer import KeptLayer
from sslth.cnn.layers import Layer, Wiring
from sslth.cnn.spool import Spool
from sslth.cnn.ticket import Ticket
from sslth.cnn.ticket_file import ticket_bytes
from sslth.errors import InvalidInputError


def test_no_folder_for_a_spool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sslth.cnn.spool._HELD", 100)
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: ["/not/there"])
    with pytest.raises(InvalidInputError, match=r"cannot write kept filters \(.*usable.*; set TMPDIR"):
        Spool().add([b"x" * 101])


def test_kept_filters_are_copied_without_files_and_sent_as_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sslth.cnn.spool._HELD", 100)
    monkeypatch.setattr("sslth.cnn.kept_filters._STRETCH", 7)
    numbers = np.arange(0, 900, 3, dtype=np.uint32)
    kept, keeping = KeptFilters.of(numbers), Keeping()
    assert copy.deepcopy([kept])[0] is kept
    for part in np.split(numbers[:-1], [10, 100]):
        keeping.add(part)
    kept, keeping = pickle.loads(pickle.dumps((kept, keeping)))
    assert np.array_equal(kept, numbers)
    assert np.array_equal(keeping.with_others(numbers[-1:]), numbers)


def test_a_ticket_of_many_blocks_that_are_on_disk_opens_one_file_when_it_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sslth.cnn.spool._HELD", 10)
    spool = Spool()
    block = KeptFilters.of(np.arange(0, 900, 3, dtype=np.uint32), spool)
    wiring = Wiring("linear", 5000, 1, has_bias=False)
    layer = Layer("", 0, wiring, width=600, constants=0, nonnegative=False, gain=1.0)
    kept = KeptLayer(layer, tuple(KeptFilters.of(block, spool) for _ in range(5000)), ())
    ticket = Ticket(0, 600, (kept,), np.array(0.0), np.array(1.0), (5000,), "", {})
    sent = pickle.dumps(ticket)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (sum(1 for _ in Path("/dev/fd").iterdir()) + 20, before[1]))
    try:
        twin = pickle.loads(sent)
        copied = copy.deepcopy(twin)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert len({part.spool for part in twin.layers[0].channels}) == 1
    assert all(np.array_equal(part, block) for part in copied.layers[0].channels[::1000])
    assert ticket_bytes(twin) == ticket_bytes(ticket)
