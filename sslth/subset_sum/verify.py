"""Recomputing a subset's error exactly from the stored floats: the only error that users see."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from sslth.errors import InvalidInputError
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.kernels.exact_sum import sum_rows_minus_target
from sslth.subset_sum.solution import Certificate

__all__ = ["verify"]


def verify(instance: Instance, subset: npt.ArrayLike) -> Certificate:
    """Recompute the residual of a subset, exactly.

    Parameters
    ----------
    instance : Instance
    subset : int[k]
        Distinct row indices in any order.

    Returns
    -------
    Certificate
        With the residual correctly rounded and the sup-norm error rounded up.

    Raises
    ------
    InvalidInputError
        If an index is out of range, not an integer, or repeated.

    Notes
    -----
    Sums are taken in double-double arithmetic, which reports whether it lost a bit; the columns where it did
    are summed again by `math.fsum`, which rounds the exact sum once [Shewchuk1997]_. O(k d).

    .. [Shewchuk1997] J. R. Shewchuk, "Adaptive precision floating-point arithmetic and fast robust geometric
       predicates", Discrete & Computational Geometry 18, 1997. doi:10.1007/PL00009321

    Examples
    --------
    >>> certificate = verify(Instance([[0.1], [0.2], [0.7]], [0.3]), [0, 1])
    >>> certificate.error  # 0.1 + 0.2 is not 0.3 in binary; the exact difference is 2**-55
    2.7755575615628914e-17
    """
    chosen = _as_subset(subset, instance.n)
    residual = np.empty(instance.d)
    rest = np.empty(instance.d)
    lost = np.empty(instance.d)
    sum_rows_minus_target(instance.samples, chosen, instance.target, residual, rest, lost)
    for column in np.flatnonzero(lost):
        residual[column], rest[column] = _exact(instance, chosen, int(column))
    magnitude = np.abs(residual)
    cut_off = rest * np.where(residual == 0, np.sign(rest), np.sign(residual)) > 0
    magnitude[cut_off] = np.nextafter(magnitude[cut_off], np.inf)
    size = int(chosen.size)
    return Certificate(
        subset=chosen,
        residual=residual,
        error=float(magnitude.max()),
        magnitudes=magnitude,
        has_wanted_size=instance.smallest_size <= size <= instance.largest_size,
    )


def _exact(instance: Instance, subset: npt.NDArray[np.int64], column: int) -> tuple[float, float]:
    """The residual of one column rounded to nearest, and what the rounding cut off (to its sign)."""
    terms: list[float] = instance.samples[subset, column].tolist()
    terms.append(-float(instance.target[column]))
    nearest = math.fsum(terms)
    terms.append(-nearest)
    return nearest, math.fsum(terms)


def _as_subset(subset: npt.ArrayLike, n: int) -> npt.NDArray[np.int64]:
    try:
        indices: npt.NDArray[Any] = np.asarray(subset)
    except (TypeError, ValueError):
        raise InvalidInputError("subset is ragged; it must be a vector of row indices") from None
    if indices.size == 0:
        return np.empty(0, dtype=np.int64)
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise InvalidInputError(
            f"subset must be a vector of row indices, not an array of {indices.dtype} with shape {indices.shape}"
        )
    if indices.min() < 0 or indices.max() >= n:
        wrong = int(indices.min() if indices.min() < 0 else indices.max())
        raise InvalidInputError(f"subset holds the index {wrong}, but the instance has rows 0 to {n - 1}")
    chosen = np.sort(indices.astype(np.int64))
    repeated = np.flatnonzero(np.diff(chosen) == 0)
    if repeated.size:
        raise InvalidInputError(f"subset holds the index {int(chosen[repeated[0]])} twice")
    return chosen
