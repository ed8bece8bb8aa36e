"""MNIST-1D: small one-dimensional digits that the `mnist1d` package generates; nothing is downloaded."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from sslth.data.digits import Split
from sslth.data.splits import Splits, with_validation
from sslth.errors import InvalidInputError

__all__ = ["mnist1d_splits"]


def mnist1d_splits(*, examples: int = 5000, validation: float = 0.2, seed: int = 0) -> Splits:
    """Generate `examples` signals float32[m, 1, 40] of ten classes; a fifth is the test part.

    `validation` is a share of the rest. Equal seeds give equal data; the global random states are as before.
    Needs the extra: pip install "sslth[mining]". Source: S. Greydanus, D. Kobak, "Scaling Down Deep Learning with
    MNIST-1D", ICML 2024. arXiv:2011.14439

    Raises
    ------
    InvalidInputError
        If the package is missing or cannot be imported, or there are fewer than 100 examples.
    """
    if examples < 100:
        raise InvalidInputError(f"examples is {examples}; at least 100 are needed for three parts of ten classes")
    with _random_states_kept():  # importing may draw from them as well
        make_dataset, arguments = _package()
        arguments.num_samples, arguments.seed, arguments.train_split = examples, seed, 0.8
        made = make_dataset(arguments)
        parts = []
        for end in ("", "_test"):
            signals = np.asarray(made[f"x{end}"], dtype=np.float32)
            parts.append(torch.from_numpy(signals.reshape(len(signals), 1, -1)))
            parts.append(torch.from_numpy(np.asarray(made[f"y{end}"]).astype(np.int64)))
        return with_validation(Split(*parts), validation=validation, seed=seed, classes=10)


def _package() -> tuple[Any, Any]:
    try:
        from mnist1d.data import get_dataset_args, make_dataset
    except ModuleNotFoundError as error:
        if error.name not in ("mnist1d", "mnist1d.data"):
            raise InvalidInputError(f"the mnist1d package cannot be imported: {error}") from None
        raise InvalidInputError('MNIST-1D needs the package mnist1d: pip install "sslth[mining]"') from None
    except ImportError as error:
        raise InvalidInputError(f"the mnist1d package cannot be imported: {' '.join(str(error).split())}") from None
    return make_dataset, get_dataset_args(as_dict=False)


@contextmanager
def _random_states_kept() -> Iterator[None]:
    """The package seeds the global generators of Python and NumPy."""
    plain, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(plain)
        np.random.set_state(numpys)  # noqa: NPY002
