"""Random instances that are the same on every machine and version, because the generator is ours."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sslth.errors import InvalidInputError
from sslth.subset_sum.arguments import seed_number, whole_number
from sslth.subset_sum.instance import FloatArray, Instance
from sslth.subset_sum.random_weights import Part, draw_column, draw_rows, draw_words

__all__ = ["LAWS", "draw_instance"]

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
    Cost O(n d). Rows come from Philox4x32-10, see `sslth.subset_sum.random_weights`.

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
    filters = np.arange(rows, dtype=np.uint32)
    if law == "uniform":
        samples = _uniform(draw_words(seed, 0, Part.INSTANCE_ROWS, 0, filters, columns))
    else:
        scales = draw_column(seed, 0, Part.INSTANCE_SCALES, 0, filters, 0) if law == "nsn" else None
        samples = draw_rows(seed, 0, Part.INSTANCE_ROWS, 0, filters, columns, scales)
    if target is None:
        target = _uniform(draw_words(seed, 0, Part.INSTANCE_TARGET, 0, filters[:1], columns))[0]
    return Instance(samples, target, cardinality, max_cardinality)


def _uniform(words: npt.NDArray[np.uint32]) -> FloatArray:
    """Midpoints of 2**32 equal cells of [-1, 1]: exact in float64."""
    return (words.astype(np.float64) + 0.5) * 2.0**-31 - 1.0
