"""The images that target networks are trained on."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from sslth.errors import InvalidInputError
from sslth.experiments.reproduce.setup import Images, Setup, accuracy, one_thread
from sslth.networks.two_layer import two_layer


def test_the_digits_are_enlarged() -> None:
    images = Images()
    split = images.split
    assert tuple(split.train_images.shape) == (1437, 1, 28, 28)
    assert tuple(split.test_images.shape) == (360, 1, 28, 28)
    assert 0 <= split.train_images.min() <= split.train_images.max() <= 1
    assert "digits" in images.name
    assert images.fingerprint == Images().fingerprint


def test_idx_files_have_their_own_fingerprint_and_no_path(tiny: Setup) -> None:
    assert tiny.images.fingerprint != Images().fingerprint
    assert str(tiny.images.folder) not in tiny.images.name


def test_a_target_is_trained_once_and_again_the_same(idx_folder: Path) -> None:
    def train(images: Images, seed: int = 0):
        return images.target(
            lambda: two_layer(4), ("two_layer", 4), epochs=1, seed=seed, progress=lambda *_: None
        )  # fmt: skip

    images = Images(idx_folder)
    assert train(images) is train(images)
    first, again, other = train(images), train(Images(idx_folder)), train(images, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.linear1.weight, other.linear1.weight)


def test_other_sizes_and_more_classes_are_refused(idx_folder: Path, tmp_path: Path) -> None:
    for path in idx_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    labels = tmp_path / "train-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x0a")
    with pytest.raises(InvalidInputError, match="beyond 9"):
        _ = Images(tmp_path).split
    for part, count in (("train", 60), ("t10k", 20)):
        header = struct.pack(">BBBB3I", 0, 0, 8, 3, count, 8, 8)
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(header + bytes(count * 64))
    with pytest.raises(InvalidInputError, match="8x8; 28x28 is needed"):
        _ = Images(tmp_path).split


def test_accuracy_counts_every_image() -> None:
    logits = torch.from_numpy(np.eye(10, dtype=np.float32)[np.arange(2500) % 10])
    labels = torch.arange(2500) % 10
    labels[::4] = (labels[::4] + 1) % 10
    assert accuracy(torch.nn.Identity(), logits, labels) == 0.75


def test_one_thread_gives_the_threads_back() -> None:
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
