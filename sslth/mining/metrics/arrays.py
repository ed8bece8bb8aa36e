"""Checked arrays of probabilities and labels, and what is read off them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sslth.errors import InvalidInputError

__all__ = ["FloatArray", "checked", "checked_confidences", "confidences", "labels_of"]

FloatArray = npt.NDArray[np.float64]
_SUMS_WITHIN = 1e-4  # probabilities that were float32 sum to 1 within about 1e-6


def checked(probabilities: npt.ArrayLike) -> FloatArray:
    """The probabilities as float64[m, classes].

    Raises
    ------
    InvalidInputError
        If a row is no distribution, or there is none.
    """
    found = np.asarray(probabilities, dtype=np.float64)
    if found.ndim != 2 or found.size == 0:
        raise InvalidInputError(f"probabilities have shape {list(found.shape)}; one row an example is needed")
    if not (np.isfinite(found).all() and found.min() >= 0.0):
        raise InvalidInputError("probabilities must be finite and not negative; give the softmax of outputs")
    worst = float(np.abs(found.sum(axis=1) - 1.0).max())
    if worst > _SUMS_WITHIN:
        raise InvalidInputError(f"a row of probabilities is {worst:.2g} off the sum 1; give the softmax of outputs")
    return found


def labels_of(labels: npt.ArrayLike, probabilities: FloatArray) -> npt.NDArray[np.int64]:
    """The labels as int64[m].

    Raises
    ------
    InvalidInputError
        If there are not as many as rows, or one is no class.
    """
    found = np.asarray(labels)
    if found.shape != probabilities.shape[:1] or found.dtype.kind not in "iu":
        raise InvalidInputError(
            f"labels are {found.dtype}{list(found.shape)}; one whole number for each of {len(probabilities)} rows is "
            "needed"
        )
    if int(found.min()) < 0 or int(found.max()) >= probabilities.shape[1]:
        raise InvalidInputError(
            f"labels lie in {int(found.min())} to {int(found.max())}, but there are {probabilities.shape[1]} classes"
        )
    return found.astype(np.int64)


def confidences(
    probabilities: npt.ArrayLike, labels: npt.ArrayLike
) -> tuple[FloatArray, npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """The highest probability of each row, whether its class is the label, and the labels; the first class of ties."""
    rows = checked(probabilities)
    true = labels_of(labels, rows)
    return rows.max(axis=1), rows.argmax(axis=1) == true, true


def checked_confidences(values: npt.ArrayLike, what: str) -> FloatArray:
    """Numbers, one an example, as float64[m].

    Raises
    ------
    InvalidInputError
        If there are none, or one is NaN.
    """
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or found.size == 0 or bool(np.isnan(found).any()):
        raise InvalidInputError(f"{what} have shape {list(found.shape)}; one number an example is needed, and no NaN")
    return found
