"""The 1,797 handwritten digits of 8x8 pixels that come with scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ["Split", "load_digits"]


@dataclass(frozen=True, eq=False)
class Split:
    """Images float32[m, 1, 8, 8] in [0, 1] and labels int64[m], for training and held out."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def load_digits(held_out: float = 0.2, seed: int = 0) -> Split:
    """Split the digits at random, each class in proportion; nothing is downloaded.

    Source: E. Alpaydin, C. Kaynak, "Optical recognition of handwritten digits", UCI repository, 1998.
    doi:10.24432/C50P49
    """
    from sklearn.datasets import load_digits as bundled
    from sklearn.model_selection import train_test_split

    data = bundled()
    images = (data.images / 16.0).astype(np.float32)[:, None]
    labels = data.target.astype(np.int64)
    parts = train_test_split(images, labels, test_size=held_out, random_state=seed, stratify=labels)
    train_images, test_images, train_labels, test_labels = (torch.from_numpy(part) for part in parts)
    return Split(train_images, train_labels, test_images, test_labels)
