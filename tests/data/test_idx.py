"""IDX files: what is read, and how kindly everything else is refused."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from sslth.data.idx import load_idx_folder, read_idx
from sslth.errors import InvalidInputError


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_folder(folder: Path, images: int = 3, side: int = 2, end: str = "", mark: str = "-") -> None:
    rng = np.random.default_rng(0)
    for part in ("train", "t10k"):
        for name, array in (
            (f"{part}-images{mark}idx3-ubyte{end}", rng.integers(0, 256, (images, side, side))),
            (f"{part}-labels{mark}idx1-ubyte{end}", rng.integers(0, 10, images)),
        ):
            content = idx_bytes(array)
            (folder / name).write_bytes(gzip.compress(content, mtime=0) if end else content)


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (0, 3, 3)])
def test_arrays_come_back(shape, tmp_path):
    array = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    (tmp_path / "a").write_bytes(idx_bytes(array))
    (tmp_path / "a.gz").write_bytes(gzip.compress(idx_bytes(array), mtime=0))
    for name in ("a", "a.gz"):
        read = read_idx(tmp_path / name)
        assert read.dtype == np.uint8
        assert np.array_equal(read, array)
        assert read.shape == shape


GOOD = idx_bytes(np.arange(6).reshape(2, 3))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no IDX file"),
        (b"\x80\x04K\x01.", "no IDX file"),  # a pickle
        (b"\x00\x00\x08", "no IDX file"),
        (b"\x00\x00\x0d" + GOOD[3:], "0x0d"),
        (b"\x00\x00\x08\x00", "header"),
        (GOOD[:9], "ends within its header"),
        (GOOD[:-1], "cut short"),
        (GOOD + b"\x00", "left over"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1), "cut short"),
    ],
)
def test_damaged_files_are_refused_in_one_sentence(content, says, tmp_path):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(InvalidInputError, match=says) as caught:
        read_idx(tmp_path / "a")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"not gzip at all", gzip.compress(GOOD, mtime=0)[:-9], gzip.compress(GOOD, mtime=0)[:15]]
)
def test_damaged_gzip_is_refused(content, tmp_path):
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(InvalidInputError):
        read_idx(tmp_path / "a.gz")


@pytest.mark.parametrize(("end", "mark"), [("", "-"), (".gz", "-"), ("", ".")])
def test_a_folder_of_four_files(end, mark, tmp_path):
    write_folder(tmp_path, end=end, mark=mark)
    split = load_idx_folder(tmp_path)
    assert tuple(split.train_images.shape) == (3, 1, 2, 2)
    assert split.train_images.min() >= 0
    assert 0.5 < split.train_images.max() <= 1
    assert len(split.test_labels) == 3
    first = np.random.default_rng(0).integers(0, 256, (3, 2, 2))
    assert np.allclose(split.train_images[:, 0].numpy() * 255, first, atol=1e-4)


def test_folders_that_do_not_fit(tmp_path):
    with pytest.raises(InvalidInputError, match="no folder"):
        load_idx_folder(tmp_path / "nowhere")
    with pytest.raises(InvalidInputError, match="train-images-idx3-ubyte"):
        load_idx_folder(tmp_path)
    write_folder(tmp_path)
    labels = tmp_path / "t10k-labels-idx1-ubyte"
    labels.write_bytes(idx_bytes(np.zeros(4)))
    with pytest.raises(InvalidInputError, match="3 t10k images but labels"):
        load_idx_folder(tmp_path)
    labels.write_bytes(idx_bytes(np.zeros(3)))
    images = tmp_path / "t10k-images-idx3-ubyte"
    images.write_bytes(idx_bytes(np.zeros((3, 3, 3))))
    with pytest.raises(InvalidInputError, match="differ in size"):
        load_idx_folder(tmp_path)
    images.write_bytes(idx_bytes(np.zeros((3, 4))))
    with pytest.raises(InvalidInputError, match="shape"):
        load_idx_folder(tmp_path)
