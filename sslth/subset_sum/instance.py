"""The problem: an instance of multidimensional random subset sum, valid by construction."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sslth.errors import InvalidInputError
from sslth.subset_sum.files import write_atomically
from sslth.subset_sum.memory import require_bytes

__all__ = ["FloatArray", "Instance"]

FloatArray = npt.NDArray[np.float64]

_LARGEST_EXACT_INTEGER = 2**53
_ENTRIES_AT_ONCE = 1 << 15  # which stay in the cache


@dataclass(frozen=True, eq=False, init=False)
class Instance:
    """Rows whose subsets should sum to a target.

    Parameters
    ----------
    samples : float64[n, d]
        Row i is X_i. Anything NumPy turns into real numbers is accepted and copied, but for float64 arrays
        in C order that own their memory and are read-only: those are taken as they are. A one-dimensional
        array together with a scalar target means d = 1.
    target : float64[d]
        The vector z.
    cardinality : int, optional
        Exactly this many rows must be chosen. A value above n is allowed: such an instance is INFEASIBLE.
    max_cardinality : int, optional
        At most this many rows may be chosen.

    Raises
    ------
    InvalidInputError
        On empty arrays, shapes that do not fit, NaN, infinities, sums that overflow float64, integers
        that float64 cannot hold, and negative cardinalities.

    Notes
    -----
    The arrays are read-only. Cost O(n d) time and memory.

    Examples
    --------
    >>> instance = Instance([[1.0, 0.0], [0.5, 0.5], [0.0, 2.0]], target=[1.0, 2.0])
    >>> instance.n, instance.d
    (3, 2)
    """

    samples: FloatArray
    target: FloatArray
    cardinality: int | None
    max_cardinality: int | None

    def __init__(
        self,
        samples: npt.ArrayLike,
        target: npt.ArrayLike,
        cardinality: int | None = None,
        max_cardinality: int | None = None,
    ) -> None:
        rows = _as_float64(samples, "samples")
        goal = _as_float64(target, "target")
        if rows.ndim == 1 and goal.ndim == 0:
            rows, goal = rows[:, None], goal[None]
        if rows.ndim != 2:
            raise InvalidInputError(f"samples has {rows.ndim} dimensions; it must be an array of shape (n, d)")
        if rows.shape[0] == 0 or rows.shape[1] == 0:
            raise InvalidInputError(f"samples has shape {rows.shape}; it needs at least one row and one column")
        if goal.ndim != 1:
            raise InvalidInputError(f"target has shape {goal.shape}; it must be a vector of {rows.shape[1]} entries")
        if goal.shape[0] != rows.shape[1]:
            raise InvalidInputError(f"target has {goal.shape[0]} entries but samples have {rows.shape[1]} columns")
        reach = np.abs(goal)
        size = max(1, _ENTRIES_AT_ONCE // rows.shape[1])
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, rows.shape[0], size):
                reach += np.abs(rows[start : start + size]).sum(axis=0)
        if not np.isfinite(reach).all():
            _check_finite(rows, "samples")
            _check_finite(goal, "target")
            column = int(np.flatnonzero(~np.isfinite(reach))[0])
            raise InvalidInputError(f"the sums of column {column} overflow float64; scale samples and target down")
        rows.flags.writeable = False
        goal.flags.writeable = False
        object.__setattr__(self, "samples", rows)
        object.__setattr__(self, "target", goal)
        object.__setattr__(self, "cardinality", _as_count(cardinality, "cardinality"))
        object.__setattr__(self, "max_cardinality", _as_count(max_cardinality, "max_cardinality"))

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.samples.shape[0])

    @property
    def d(self) -> int:
        """Number of coordinates."""
        return int(self.samples.shape[1])

    @property
    def smallest_size(self) -> int:
        """The fewest rows that a subset may have."""
        return 0 if self.cardinality is None else self.cardinality

    @property
    def largest_size(self) -> int:
        """The most rows that a subset may have; below `smallest_size` if the instance is infeasible."""
        limits = [self.n]
        limits += [limit for limit in (self.cardinality, self.max_cardinality) if limit is not None]
        return min(limits)

    @property
    def is_feasible(self) -> bool:
        """Whether a subset with the wanted number of rows exists."""
        return self.smallest_size <= self.largest_size

    def __repr__(self) -> str:
        sizes = "".join(
            f", {name}={value}"
            for name, value in (("cardinality", self.cardinality), ("max_cardinality", self.max_cardinality))
            if value is not None
        )
        return f"Instance(n={self.n}, d={self.d}{sizes})"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a NumPy `.npz` file with `samples`, `target` and the cardinalities; replaced in one step."""
        arrays: dict[str, Any] = {"samples": self.samples, "target": self.target}
        for name in ("cardinality", "max_cardinality"):
            value = getattr(self, name)
            if value is not None:
                arrays[name] = np.int64(value)
        write_atomically(path, lambda stream: np.savez(stream, **arrays))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote, or any `.npz` file with `samples` and `target`; never unpickles.

        Raises
        ------
        InvalidInputError
            If the file is missing, unreadable, truncated, or lacks an array.
        """
        try:
            with Path(path).open("rb") as stream:  # np.load leaves a file that it cannot parse open
                archive = np.load(stream, allow_pickle=False)
                if not isinstance(archive, np.lib.npyio.NpzFile):
                    raise InvalidInputError(f"{path} holds one array; an .npz file with samples and target is needed")
                missing = [name for name in ("samples", "target") if name not in archive]
                if missing:
                    raise InvalidInputError(f"{path} has no array named {missing[0]!r}")
                arrays = {
                    name: archive[name]
                    for name in ("samples", "target", "cardinality", "max_cardinality")
                    if name in archive
                }
        except InvalidInputError:
            raise
        except Exception as error:  # zipfile, zlib, EOF, OS and format errors: a file may be broken in any way
            raise InvalidInputError(f"cannot read an instance from {path}: {_one_line(error)}") from error
        sizes = {name: _stored_count(arrays.pop(name), name) for name in list(arrays) if "cardinality" in name}
        return cls(arrays["samples"], arrays["target"], **sizes)


def _stored_count(array: npt.NDArray[Any], name: str) -> int:
    if array.shape != () or array.dtype.kind not in "iu":
        raise InvalidInputError(f"{name} in the file must be one integer, not {array.dtype} of shape {array.shape}")
    return int(array)


def _one_line(error: BaseException) -> str:
    return str(error).split("\n", maxsplit=1)[0] or type(error).__name__


def _as_float64(values: npt.ArrayLike, name: str) -> FloatArray:
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"{name} is not a rectangular array of numbers: {_one_line(error)}") from None
    if array.dtype.kind not in "biuf":
        raise InvalidInputError(f"{name} has dtype {array.dtype}; real numbers are needed")
    if array.dtype.kind in "iu" and array.size:
        largest = max(abs(int(array.min())), abs(int(array.max())))
        if largest > _LARGEST_EXACT_INTEGER:
            raise InvalidInputError(f"{name} holds the integer {largest}, which float64 cannot hold; scale it down")
    if type(array) is np.ndarray and array.dtype == np.float64 and array.flags.c_contiguous and _is_settled(array):
        return array
    require_bytes(8 * array.size, f"a copy of {name}, an array of shape {array.shape},")
    with np.errstate(over="ignore"):  # a long double beyond float64 becomes inf, which is refused with its place
        return np.array(array, dtype=np.float64, order="C", copy=True)


def _is_settled(array: FloatArray) -> bool:
    """Whether nobody can write to it without making it writeable again."""
    return array.flags.owndata and not array.flags.writeable


def _check_finite(array: FloatArray, name: str) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        where = tuple(int(i) for i in np.argwhere(~finite)[0])
        place = where[0] if len(where) == 1 else where
        raise InvalidInputError(f"{name}[{place}] is {array[where]}; every entry must be finite")


def _as_count(value: int | None, name: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise InvalidInputError(f"{name} is {value!r}; it must be a whole number or None")
    if value < 0:
        raise InvalidInputError(f"{name} is {value}; it cannot be negative")
    return int(value)
