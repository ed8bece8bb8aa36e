"""Arrays that a user has on disk: NumPy's .npz and .npy files."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sslth.data.splits import Examples, Splits, split_arrays, split_rows
from sslth.errors import InvalidInputError

__all__ = ["load_arrays", "load_npz"]

Array = npt.NDArray[Any]


def load_npz(path: Path, *, validation: float = 0.16, test: float = 0.2, seed: int = 0) -> Splits:
    """Read `inputs` and `labels`, or `train_inputs`, `train_labels`, `test_inputs`, `test_labels`, from an .npz file.

    In the second form `validation_inputs` and `validation_labels` may be there too; without them `validation` is a
    share of the training part. In the first both shares are of the whole. Numbers are taken as they are, as float32;
    nothing is ever unpickled.

    Raises
    ------
    InvalidInputError
        If the file cannot be read, lacks an array or has others, or the arrays do not fit together.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "data.npz"
    ...     np.savez(path, inputs=np.zeros((100, 3)), labels=np.repeat([0, 1], 50))
    ...     splits = load_npz(path)
    >>> [len(part) for _, part in splits.parts()], splits.classes
    ([64, 16, 20], 2)
    """
    arrays = _opened(path)
    if not isinstance(arrays, dict):
        raise InvalidInputError(f"{path} holds one array; an .npz file with inputs and labels is needed")
    names = set(arrays)
    if names == {"inputs", "labels"}:
        inputs, labels = _pair(arrays, "", path)
        return split_arrays(inputs, labels, validation=validation, test=test, seed=seed)
    needed = {f"{part}_{kind}" for part in ("train", "test") for kind in ("inputs", "labels")}
    optional = {"validation_inputs", "validation_labels"}
    if names - needed not in (set(), optional) or not needed <= names:
        found = ", ".join(sorted(names)) or "nothing"
        raise InvalidInputError(
            f"{path} holds {found[:100]}; inputs and labels are needed, or train_inputs, train_labels, test_inputs and "
            "test_labels (and validation_ likewise)"
        )
    parts = {}
    for part in sorted({name.partition("_")[0] for name in names}):
        inputs, labels = _pair(arrays, f"{part}_", path)
        parts[part] = Examples(torch.from_numpy(inputs), torch.from_numpy(labels))
    classes = 1 + max(int(part.labels.max()) for part in parts.values())
    if "validation" not in parts:
        whole = parts["train"]
        kept, held = split_rows(whole.labels, validation, seed)
        parts["train"] = Examples(whole.inputs[kept], whole.labels[kept])
        parts["validation"] = Examples(whole.inputs[held], whole.labels[held])
    return Splits(parts["train"], parts["validation"], parts["test"], classes)


def load_arrays(inputs: Path, labels: Path, *, validation: float = 0.16, test: float = 0.2, seed: int = 0) -> Splits:
    """Read the inputs and labels of two .npy files; `validation` and `test` are shares of the whole.

    Raises
    ------
    InvalidInputError
        If a file cannot be read or is no .npy file, or the two do not fit together.
    """
    arrays = {}
    for kind, path in (("inputs", inputs), ("labels", labels)):
        array = _opened(path)
        if isinstance(array, dict):
            raise InvalidInputError(f"{path} is an .npz file; give it alone")
        arrays[kind] = array
    x, y = _pair(arrays, "", inputs)
    return split_arrays(x, y, validation=validation, test=test, seed=seed)


def _opened(path: Path) -> Array | dict[str, Array]:
    try:
        with path.open("rb") as stream:  # NumPy leaves a damaged file open that it opened itself
            found = np.load(stream, allow_pickle=False)
            return found if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
    except FileNotFoundError:
        raise InvalidInputError(f"there is no file {path}") from None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        detail = " ".join(str(error).split())[:120]
        raise InvalidInputError(f"{path} is no file of plain arrays, or is damaged: {detail}") from None


def _pair(
    arrays: Mapping[str, Array], prefix: str, path: Path
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    inputs, labels = arrays[f"{prefix}inputs"], arrays[f"{prefix}labels"]
    if inputs.dtype.kind not in "iufb" or inputs.ndim < 2 or inputs.size == 0:
        raise InvalidInputError(
            f"{prefix}inputs of {path} are {inputs.dtype}{list(inputs.shape)}; numbers [examples, ...] are needed"
        )
    if labels.dtype.kind not in "iu" or labels.shape != inputs.shape[:1]:
        raise InvalidInputError(
            f"{prefix}labels of {path} are {labels.dtype}{list(labels.shape)}; whole numbers [{len(inputs)}] are needed"
        )
    if int(labels.min()) < 0 or int(labels.max()) >= 1 << 31:
        raise InvalidInputError(f"{prefix}labels of {path} go from {labels.min()} to {labels.max()}; count from 0")
    values = inputs.astype(np.float32)
    if not np.isfinite(values).all():
        raise InvalidInputError(f"{prefix}inputs of {path} hold a number that is not finite as float32")
    return values, labels.astype(np.int64)
