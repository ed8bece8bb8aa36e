"""A labelled data set in three parts: to train on, to choose hyper-parameters on, to report on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sslth.data.digits import Split, load_digits
from sslth.errors import InvalidInputError

__all__ = ["Examples", "Splits", "digit_splits", "split_arrays", "split_rows", "with_validation"]


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs float32[m, ...] and labels int64[m], one a row.

    Raises
    ------
    InvalidInputError
        If there are none, their numbers differ, labels are not whole or negative, or an input is not finite.
    """

    inputs: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.labels.dim() != 1 or self.labels.dtype != torch.int64:
            raise InvalidInputError(f"labels are {self.labels.dtype}{list(self.labels.shape)}; int64[m] is needed")
        if len(self.inputs) != len(self.labels) or len(self.labels) == 0:
            raise InvalidInputError(f"{len(self.inputs)} inputs and {len(self.labels)} labels do not belong together")
        if not self.inputs.is_floating_point() or not bool(torch.isfinite(self.inputs).all()):
            raise InvalidInputError("inputs must be finite floating-point numbers")
        if int(self.labels.min()) < 0:
            raise InvalidInputError(f"a label is {int(self.labels.min())}; classes count from 0")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Splits:
    """Three disjoint parts of one data set, and how many classes it has.

    `train` is learned from, `validation` picks hyper-parameters, `test` is looked at once, for the report.

    Raises
    ------
    InvalidInputError
        If the parts differ in the shape of their inputs, or a label is not below `classes`.
    """

    train: Examples
    validation: Examples
    test: Examples
    classes: int

    def __post_init__(self) -> None:
        for name, part in self.parts():
            if part.inputs.shape[1:] != self.train.inputs.shape[1:]:
                raise InvalidInputError(
                    f"inputs of {name} have shape {list(part.inputs.shape[1:])}, those of train "
                    f"{list(self.train.inputs.shape[1:])}"
                )
            if int(part.labels.max()) >= self.classes:
                raise InvalidInputError(
                    f"{name} has the label {int(part.labels.max())}, but there are {self.classes} classes, 0 to "
                    f"{self.classes - 1}"
                )

    def parts(self) -> tuple[tuple[str, Examples], ...]:
        """The three parts with their names."""
        return ("train", self.train), ("validation", self.validation), ("test", self.test)

    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when any input or label does."""
        digest = hashlib.sha256(str(self.classes).encode())
        for _, part in self.parts():
            digest.update(str(tuple(part.inputs.shape)).encode())
            digest.update(part.inputs.detach().cpu().contiguous().numpy().tobytes())
            digest.update(part.labels.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


def split_arrays(
    inputs: npt.ArrayLike, labels: npt.ArrayLike, *, validation: float = 0.16, test: float = 0.2, seed: int = 0
) -> Splits:
    """Split arrays at random, each class in proportion; `validation` and `test` are shares of the whole.

    Raises
    ------
    InvalidInputError
        If a share is not inside (0, 1), or a class has too few examples for three parts.

    Examples
    --------
    >>> labels = np.repeat([0, 1], 50)
    >>> splits = split_arrays(np.zeros((100, 3)), labels)
    >>> [len(part) for _, part in splits.parts()]
    [64, 16, 20]
    """
    from sklearn.model_selection import train_test_split

    if not (0 < validation < 1 and 0 < test < 1 and validation + test < 1):
        raise InvalidInputError(f"shares validation={validation}, test={test} leave nothing to train on")
    x, y = np.asarray(inputs, dtype=np.float32), np.asarray(labels)
    if y.dtype.kind not in "iu":
        raise InvalidInputError(f"labels have type {y.dtype}; whole numbers are needed")
    try:
        rest, test_x, rest_y, test_y = train_test_split(x, y, test_size=test, random_state=seed, stratify=y)
        train_x, val_x, train_y, val_y = train_test_split(
            rest, rest_y, test_size=validation / (1 - test), random_state=seed, stratify=rest_y
        )
    except ValueError as error:
        raise InvalidInputError(f"cannot split {len(y)} examples: {' '.join(str(error).split())}") from None
    pairs = ((train_x, train_y), (val_x, val_y), (test_x, test_y))
    parts = [Examples(torch.from_numpy(a), torch.from_numpy(b.astype(np.int64))) for a, b in pairs]
    return Splits(parts[0], parts[1], parts[2], int(y.max()) + 1)


def split_rows(labels: Tensor, share: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Row numbers in two parts, the second a share of the whole, each class in proportion.

    Raises
    ------
    InvalidInputError
        If the share is not inside (0, 1), or a class has too few examples for two parts.
    """
    from sklearn.model_selection import train_test_split

    if not 0 < share < 1:
        raise InvalidInputError(f"validation is {share}; it is a share of the training part, inside (0, 1)")
    rows = np.arange(len(labels))
    try:
        kept, held = train_test_split(rows, test_size=share, random_state=seed, stratify=labels.numpy())
    except ValueError as error:
        raise InvalidInputError(f"cannot split {len(labels)} examples: {' '.join(str(error).split())}") from None
    return torch.from_numpy(kept), torch.from_numpy(held)


def with_validation(split: Split, *, validation: float = 0.2, seed: int = 0, classes: int | None = None) -> Splits:
    """Take a share of the training part of a two-part split, each class in proportion, as the validation part.

    `classes` is one more than the highest label, if not given.
    """
    labels = split.train_labels
    kept, held = split_rows(labels, validation, seed)
    return Splits(
        Examples(split.train_images[kept], labels[kept]),
        Examples(split.train_images[held], labels[held]),
        Examples(split.test_images, split.test_labels),
        int(torch.cat((labels, split.test_labels)).max()) + 1 if classes is None else classes,
    )


def digit_splits(seed: int = 0) -> Splits:
    """The digits bundled with scikit-learn: 1,149 to train on, 288 to validate, 360 to test, 8x8 pixels in [0, 1].

    Examples
    --------
    >>> [len(part) for _, part in digit_splits().parts()]
    [1149, 288, 360]
    """
    return with_validation(load_digits(seed=seed), seed=seed)
