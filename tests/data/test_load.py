"""One name for any data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from sslth.data.load import load_splits
from sslth.data.splits import digit_splits
from sslth.errors import InvalidInputError


def test_the_digits_by_name() -> None:
    assert load_splits("digits", seed=3).fingerprint() == digit_splits(3).fingerprint()


def test_nothing_that_can_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="no folder nowhere; give digits"):
        load_splits("nowhere")
    with pytest.raises(InvalidInputError, match="neither IDX nor CIFAR"):
        load_splits(str(tmp_path))
    (tmp_path / "data.csv").write_text("1,2")
    with pytest.raises(InvalidInputError, match=r"only \.npz files"):
        load_splits(str(tmp_path / "data.csv"))
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"")
    with pytest.raises(InvalidInputError, match="no IDX file"):
        load_splits(str(tmp_path))
