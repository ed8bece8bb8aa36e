"""Random instances that are the same on every machine and version, because the generator is ours."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sslth.errors import InvalidInputError
from sslth.subset_sum.arguments import seed_number, whole_number
from sslth.subset_sum.instance import FloatArray, Instance
from sslth.subset_sum.memory import require_bytes
from sslth.subset_sum.random_weights import Part, draw_rows, draw_words

__all__ = ["LAWS", "draw_instance"]

_FINE = 2.0**-24

LAWS = ("gaussian", "nsn", "uniform")


def draw_instance(
    law: str,
    n: int,
    d: int,
    seed: int = 0,
    cardinality: int | None = None,
    max_cardinality: int | None = None,
    target: npt.ArrayLike | None = None,
) -> Instance:
    """Draw n random rows of dimension d, and a target uniform in [-1, 1]^d unless one is given.

    Parameters
    ----------
    law : {"nsn", "gaussian", "uniform"}
        Normally-scaled normal rows Z * (Z_1, ..., Z_d); standard normal entries; entries uniform in (-1, 1).
    n, d : int
        Number of rows and of coordinates, at least 1.
    seed : int
        From 0 to 2**64 - 1. The first rows do not depend on n.
    cardinality, max_cardinality, target
        As in `Instance`.

    Raises
    ------
    InvalidInputError
        For an unknown law, sizes below 1 and whatever `Instance` refuses.

    Notes
    -----
    Cost O(n d). Numbers come from Philox4x32-10, see `sslth.subset_sum.random_weights`, two words each: a weight of
    24 bits would put the rows on a grid, and the errors of n > 40 rows with it. To a float32 normal number another one
    times 2^-24 is added, which makes the variance 1 + 2^-48.

    Examples
    --------
    >>> instance = draw_instance("gaussian", n=3, d=2, seed=1)
    >>> instance.samples.shape, bool(abs(instance.target).max() <= 1)
    ((3, 2), True)
    """
    if law not in LAWS:
        raise InvalidInputError(f"there is no law named {law!r}; choose one of {', '.join(LAWS)}")
    rows, columns = whole_number(n, "n", 1, 2**32 - 1), whole_number(d, "d", 1, 2**32 - 1)
    seed = seed_number(seed)
    require_bytes(24 * rows * columns, f"an instance of n = {rows}, d = {columns}")
    filters = np.arange(rows, dtype=np.uint32)
    if law == "uniform":
        samples = _uniform(seed, Part.INSTANCE_ROWS, Part.INSTANCE_ROWS_FINE, filters, columns)
    else:
        samples = draw_rows(seed, 0, Part.INSTANCE_ROWS, 0, filters, columns)
        samples += _FINE * draw_rows(seed, 0, Part.INSTANCE_ROWS_FINE, 0, filters, columns)
    if law == "nsn":
        scales = draw_rows(seed, 0, Part.INSTANCE_SCALES, 0, filters, 1)
        samples *= scales + _FINE * draw_rows(seed, 0, Part.INSTANCE_SCALES_FINE, 0, filters, 1)
    if target is None:
        target = _uniform(seed, Part.INSTANCE_TARGET, Part.INSTANCE_TARGET_FINE, filters[:1], columns)[0]
    return Instance(samples, target, cardinality, max_cardinality)


def _uniform(seed: int, part: Part, fine: Part, filters: npt.NDArray[np.uint32], columns: int) -> FloatArray:
    """Midpoints of 2**52 equal cells of [-1, 1]: exact in float64."""
    cells = draw_words(seed, 0, part, 0, filters, columns).astype(np.float64) * 2.0**20
    cells += draw_words(seed, 0, fine, 0, filters, columns) >> np.uint32(12)
    return (cells + 0.5) * 2.0**-51 - 1.0
