"""The torch generator draws the very bits of the compiled one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sslth.cnn import torch_weights
from sslth.subset_sum.kernels.normal import normals_of_words
from sslth.subset_sum.random_weights import Part, draw_rows

DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])


@pytest.mark.parametrize("device", DEVICES)
def test_normals_of_random_words_and_edges(device: str) -> None:
    rng = np.random.default_rng(0)
    words = np.concatenate(
        [
            rng.integers(0, 2**32, 300_000, dtype=np.uint32),
            np.array([0, 1, 1486847, 1486848, 2**31 - 1, 2**31, 2**32 - 1], dtype=np.uint32),
        ]
    )
    expected = np.empty(words.size, dtype=np.float32)
    normals_of_words(words, expected, words.size)
    found = torch_weights.normals_of_words(torch.from_numpy(words.astype(np.int64)).to(device)).cpu().numpy()
    assert np.array_equal(found.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("seed", "d"), [(0, 1), (2**64 - 1, 37), (0xF00DFACE12345678, 144)])
def test_rows(device: str, seed: int, d: int) -> None:
    filters = np.array([0, 5, 2**32 - 1, 123_456], dtype=np.uint32)
    expected = draw_rows(seed, 7, Part.U, 2**31 + 3, filters, d).astype(np.float32)
    found = torch_weights.draw_rows(
        seed, 7, Part.U, 2**31 + 3, torch.from_numpy(filters.astype(np.int64)).to(device), d
    )
    assert np.array_equal(found.cpu().numpy().view(np.uint32), expected.view(np.uint32))
