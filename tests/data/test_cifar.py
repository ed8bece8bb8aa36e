"""CIFAR's binary files: what is read, and how everything else is refused. The tests write their own tiny files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sslth.data.cifar import load_cifar10, load_cifar100, read_cifar
from sslth.data.load import load_splits
from sslth.errors import InvalidInputError

EACH = 20


def cifar_bytes(labels: np.ndarray, seed: int = 0) -> bytes:
    """Records of label bytes (one column a label) and pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 3072))
    return np.concatenate([labels, pixels], axis=1).astype(np.uint8).tobytes()


def write_cifar10(folder: Path) -> None:
    for number, name in enumerate([*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]):
        (folder / name).write_bytes(cifar_bytes(np.arange(EACH)[:, None] % 10, number))


def write_cifar100(folder: Path) -> None:
    for number, (name, count) in enumerate((("train.bin", 400), ("test.bin", 100))):
        fine = np.arange(count) % 100
        (folder / name).write_bytes(cifar_bytes(np.stack([fine // 5, fine], axis=1), number))


def test_records_come_back_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "test_batch.bin"
    content = bytes([3]) + bytes([10]) * 1024 + bytes([20]) * 1024 + bytes([30]) * 1024
    path.write_bytes(content + bytes([9]) + bytes(range(256)) * 12)
    images, labels = read_cifar(path, records=2)
    assert labels.tolist() == [[3], [9]]
    assert images[0, :, 5, 7].tolist() == [10, 20, 30]  # red, green, blue planes
    assert images[1, 0, 0].tolist() == list(range(32))  # row by row
    assert images[1, 0, 1, 0] == 32


def test_cifar10_in_three_parts(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    splits = load_cifar10(tmp_path, official=False)
    assert [len(part) for _, part in splits.parts()] == [90, 10, 20]
    assert splits.classes == 10
    assert splits.train.inputs.shape == (90, 3, 32, 32)
    assert splits.train.inputs.dtype is torch.float32
    assert 0.0 <= float(splits.train.inputs.min()) < 0.01 < 0.99 < float(splits.train.inputs.max()) <= 1.0
    assert torch.bincount(splits.validation.labels).tolist() == [1] * 10
    images, labels = read_cifar(tmp_path / "test_batch.bin")
    assert torch.equal(splits.test.labels, torch.from_numpy(labels[:, 0].astype(np.int64)))
    assert np.array_equal((splits.test.inputs.numpy() * 255).round().astype(np.uint8), images)
    assert splits.fingerprint() == load_cifar10(tmp_path, official=False).fingerprint()
    assert splits.fingerprint() != load_cifar10(tmp_path, official=False, seed=1).fingerprint()


def test_cifar100_with_fine_and_coarse_labels(tmp_path: Path) -> None:
    write_cifar100(tmp_path)
    fine = load_cifar100(tmp_path, official=False, validation=0.25)
    coarse = load_cifar100(tmp_path, official=False, validation=0.25, labels="coarse")
    assert (fine.classes, coarse.classes) == (100, 20)
    assert torch.equal(fine.test.labels // 5, coarse.test.labels)
    assert [len(part) for _, part in fine.parts()] == [300, 100, 100]
    with pytest.raises(InvalidInputError, match="labels is 'both'"):
        load_cifar100(tmp_path, labels="both")  # type: ignore[arg-type]


RECORD = cifar_bytes(np.array([[1]]))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (RECORD[:-1], "cut short"),
        (RECORD + b"\x00", "cut short"),
        (RECORD[:1], "cut short"),
        (RECORD, "holds 1 images; 2 belong there"),
        (RECORD * 3, "holds 3 images; 2 belong there"),
        (RECORD + b"\x0a" + RECORD[1:], "label 10 in image 2; 10 classes"),
        (b"\x80\x04" + RECORD, "cut short"),  # a pickle
    ],
    ids=["empty", "short", "long", "one byte", "too few", "too many", "label", "pickle"],
)
def test_damaged_files_are_refused_in_one_sentence(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=says) as caught:
        read_cifar(path, records=2)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_each_label_byte_of_cifar100_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "train.bin"
    path.write_bytes(cifar_bytes(np.array([[19, 99], [20, 5]])))
    with pytest.raises(InvalidInputError, match="label 20 in image 2; 20 classes"):
        read_cifar(path, (20, 100))
    path.write_bytes(cifar_bytes(np.array([[19, 100]])))
    with pytest.raises(InvalidInputError, match="label 100 in image 1; 100 classes"):
        read_cifar(path, (20, 100))


def test_folders_that_are_incomplete(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    with pytest.raises(InvalidInputError, match="holds 20 images; 10,000 belong there"):
        load_cifar10(tmp_path)
    (tmp_path / "data_batch_4.bin").unlink()
    with pytest.raises(InvalidInputError, match=r"no file data_batch_4\.bin"):
        load_splits(str(tmp_path))
    (tmp_path / "batches.meta").write_bytes(b"")
    with pytest.raises(InvalidInputError, match="the binary version, not the pickled one"):
        load_cifar10(tmp_path)
    (tmp_path / "data_batch_4.bin").mkdir()
    with pytest.raises(InvalidInputError, match="cannot read"):
        read_cifar(tmp_path / "data_batch_4.bin")
    with pytest.raises(InvalidInputError, match=r"no file train\.bin"):
        load_cifar100(tmp_path)
    (tmp_path / "data_batch_4.bin").rmdir()
    write_cifar10(tmp_path)
    with pytest.raises(InvalidInputError, match="cannot split"):
        load_cifar10(tmp_path, official=False, validation=0.01)
