"""Three disjoint parts, each class in proportion; bad arrays are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sslth.data.splits import Examples, Splits, digit_splits, split_arrays
from sslth.errors import InvalidInputError


def test_digits_fall_into_three_disjoint_parts() -> None:
    splits = digit_splits()
    assert splits.classes == 10
    rows = [tuple(row) for _, part in splits.parts() for row in part.inputs.flatten(1).tolist()]
    assert len(rows) == 1797
    assert len(set(rows)) == 1797  # no two digits are the same image, hence none is in two parts
    for _, part in splits.parts():
        share = torch.bincount(part.labels, minlength=10) / len(part)
        assert float((share - 0.1).abs().max()) < 0.02
    assert splits.fingerprint() == digit_splits().fingerprint() != digit_splits(1).fingerprint()


@pytest.mark.parametrize(
    ("inputs", "labels", "message"),
    [
        (torch.zeros(3, 2), torch.zeros(2, dtype=torch.int64), "do not belong together"),
        (torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64), "do not belong together"),
        (torch.zeros(2, 2), torch.zeros(2), "int64"),
        (torch.zeros(2, 2), torch.tensor([0, -1]), "a label is -1"),
        (torch.tensor([[1.0, torch.nan]]), torch.tensor([0]), "finite"),
    ],
)
def test_bad_examples(inputs: torch.Tensor, labels: torch.Tensor, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Examples(inputs, labels)


def test_parts_that_do_not_fit() -> None:
    part = Examples(torch.zeros(3, 4), torch.tensor([0, 1, 2]))
    with pytest.raises(InvalidInputError, match="label 2, but there are 2 classes"):
        Splits(part, part, part, 2)
    with pytest.raises(InvalidInputError, match="inputs of test have shape"):
        Splits(part, part, Examples(torch.zeros(3, 5), torch.tensor([0, 1, 2])), 3)


def test_arrays_that_cannot_be_split() -> None:
    with pytest.raises(InvalidInputError, match="nothing to train on"):
        split_arrays(np.zeros((9, 2)), np.zeros(9, dtype=int), validation=0.5, test=0.5)
    with pytest.raises(InvalidInputError, match="cannot split"):
        split_arrays(np.zeros((4, 2)), np.arange(4))
    with pytest.raises(InvalidInputError, match="whole numbers"):
        split_arrays(np.zeros((9, 2)), np.zeros(9))
