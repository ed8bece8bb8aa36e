"""A folder of 28x28 images that is small enough to train on within a test."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from sslth.experiments.reproduce import Setup
from sslth.experiments.reproduce.setup import Images


@pytest.fixture(scope="session")
def idx_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("idx")
    rng = np.random.default_rng(0)
    for part, count in (("train", 60), ("t10k", 20)):
        images, labels = rng.integers(0, 256, (count, 28, 28)), rng.permutation(np.arange(count) % 10)
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            (folder / name).write_bytes(header + array.astype(np.uint8).tobytes())
    return folder


@pytest.fixture(scope="session")
def tiny(idx_folder: Path) -> Setup:
    return Setup(images=Images(idx_folder), quick=True)
