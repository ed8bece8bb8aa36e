"""Arrays on disk: the two forms of .npz, pairs of .npy, and files that hold something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sslth.data.arrays import load_arrays, load_npz
from sslth.data.load import load_splits
from sslth.errors import InvalidInputError

LABELS = np.repeat([0, 1, 2], 20)
INPUTS = np.arange(60 * 6).reshape(60, 1, 6)


def test_one_pair_is_split_in_three(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", inputs=INPUTS, labels=LABELS.astype(np.uint8))
    splits = load_splits(str(tmp_path / "a.npz"))
    rows = torch.cat([part.inputs for _, part in splits.parts()]).flatten(1)
    assert sorted(rows[:, 0].tolist()) == list(range(0, 360, 6))
    assert splits.train.inputs.dtype is torch.float32
    assert splits.classes == 3
    for _, part in splits.parts():
        assert torch.equal(part.inputs[:, 0, 0].long() // 120, part.labels)
    np.save(tmp_path / "x.npy", INPUTS)
    np.save(tmp_path / "y.npy", LABELS)
    again = load_arrays(tmp_path / "x.npy", tmp_path / "y.npy")
    assert again.fingerprint() == splits.fingerprint()


def test_parts_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    parts = {"train_inputs": INPUTS, "train_labels": LABELS, "test_inputs": INPUTS[:7], "test_labels": LABELS[:7]}
    np.savez(path, **parts)
    splits = load_npz(path, validation=0.25)
    assert [len(part) for _, part in splits.parts()] == [45, 15, 7]
    assert splits.classes == 3
    np.savez(path, **parts, validation_inputs=INPUTS[20:30], validation_labels=LABELS[20:30])
    splits = load_npz(path)
    assert [len(part) for _, part in splits.parts()] == [60, 10, 7]
    assert splits.validation.labels.tolist() == [1] * 10


def test_truncated_empty_and_pickled_files(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, inputs=INPUTS, labels=LABELS)
    whole = path.read_bytes()
    (tmp_path / "whole.npz").write_bytes(whole)
    np.savez(tmp_path / "pickled.npz", inputs=np.array([{}, {}], dtype=object), labels=np.array([0, 1]))
    np.save(tmp_path / "a.npy", INPUTS)
    short = (tmp_path / "a.npy").read_bytes()[:-9]
    for content in (
        b"",
        b"text",
        whole[: len(whole) // 2],
        whole[:60],
        short,
        (tmp_path / "pickled.npz").read_bytes(),
    ):
        path.write_bytes(content)
        with pytest.raises(InvalidInputError, match="is damaged") as caught:
            load_npz(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(InvalidInputError, match="no file"):
        load_npz(tmp_path / "nowhere.npz")
    with pytest.raises(InvalidInputError, match="holds one array"):
        load_npz(tmp_path / "a.npy")
    with pytest.raises(InvalidInputError, match=r"is an \.npz file"):
        load_arrays(tmp_path / "whole.npz", tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x": INPUTS, "y": LABELS}, "holds x, y; inputs and labels are needed"),
        ({"inputs": INPUTS}, "holds inputs; inputs and labels"),
        ({"train_inputs": INPUTS, "train_labels": LABELS}, "are needed"),
        ({"inputs": INPUTS, "labels": LABELS[:-1]}, r"labels of .* int64\[59\]; whole numbers \[60\]"),
        ({"inputs": INPUTS, "labels": LABELS.astype(float)}, r"float64\[60\]"),
        ({"inputs": INPUTS, "labels": LABELS - 1}, "from -1 to 1"),
        ({"inputs": INPUTS[:0], "labels": LABELS[:0]}, r"inputs of .* \[examples, ...\]"),
        ({"inputs": LABELS, "labels": LABELS}, "numbers"),
        ({"inputs": INPUTS.astype(str), "labels": LABELS}, "numbers"),
        ({"inputs": np.where(INPUTS == 7, np.nan, INPUTS), "labels": LABELS}, "not finite"),
        ({"inputs": np.full(INPUTS.shape, 1e300), "labels": LABELS}, "not finite"),
    ],
    ids=["names", "unlabelled", "no test", "fewer", "real", "negative", "empty", "flat", "text", "nan", "huge"],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
def test_arrays_that_do_not_fit(arrays: dict[str, np.ndarray], says: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=says):
        load_npz(path)


def test_parts_that_differ_in_shape(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, train_inputs=INPUTS, train_labels=LABELS, test_inputs=INPUTS[:, :, :2], test_labels=LABELS)
    with pytest.raises(InvalidInputError, match="inputs of test have shape"):
        load_npz(path)
