"""Packed filter numbers: where they may be held, copied and sent."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from sslth.cnn.kept_filters import Keeping, KeptFilters
from sslth.cnn.spool import Spool
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
