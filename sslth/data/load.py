"""One name or path for any data set: the bundled digits, MNIST-1D, or what lies on disk."""

from __future__ import annotations

from pathlib import Path

from sslth.data.arrays import load_npz
from sslth.data.cifar import CIFAR10_TEST, CIFAR10_TRAIN, CIFAR100_TEST, CIFAR100_TRAIN, load_cifar10, load_cifar100
from sslth.data.idx import load_idx_folder
from sslth.data.image_folder import load_image_folder
from sslth.data.mnist1d import mnist1d_splits
from sslth.data.splits import Splits, digit_splits, with_validation
from sslth.errors import InvalidInputError

__all__ = ["load_splits"]


def load_splits(name: str, *, seed: int = 0) -> Splits:
    """Read or generate a data set in three parts; `seed` decides which examples go where.

    Parameters
    ----------
    name : str
        "digits", "mnist1d", or a path: an .npz file, or a folder with IDX files in MNIST's layout, with the binary
        version of CIFAR-10 or CIFAR-100, or with a folder of images for each class.

    Raises
    ------
    InvalidInputError
        If there is nothing of that name, or it is damaged.

    Examples
    --------
    >>> [len(part) for _, part in load_splits("digits").parts()]
    [1149, 288, 360]
    """
    if name == "digits":
        return digit_splits(seed)
    if name == "mnist1d":
        return mnist1d_splits(seed=seed)
    path = Path(name)
    if path.is_file():
        if path.suffix.lower() != ".npz":
            raise InvalidInputError(f"{path} is a file; only .npz files are read, all else from a folder")
        return load_npz(path, seed=seed)
    if not path.is_dir():
        raise InvalidInputError(f"there is no folder {name}; give digits, mnist1d, an .npz file or a folder")
    files = {entry.name for entry in path.iterdir() if entry.is_file()}
    if any(entry.startswith(("train-images", "t10k-images")) for entry in files):
        return with_validation(load_idx_folder(path), seed=seed)
    if files & {*CIFAR10_TRAIN, *CIFAR10_TEST}:
        return load_cifar10(path, seed=seed)
    if files & {*CIFAR100_TRAIN, *CIFAR100_TEST}:
        return load_cifar100(path, seed=seed)
    if not any(entry.is_dir() for entry in path.iterdir()):
        raise InvalidInputError(f"{path} holds neither IDX nor CIFAR files, nor a folder of images for each class")
    return load_image_folder(path, seed=seed)
