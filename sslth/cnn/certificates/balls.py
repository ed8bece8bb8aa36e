"""Balls of inputs: what of the box is close to one input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sslth.errors import InvalidInputError

__all__ = ["ball"]

FloatArray = npt.NDArray[np.float64]

# An input in float32 may leave a float64 box by its rounding.
_CLIPPED = 1e-6


def ball(
    around: Any, radius: float | None, low: npt.ArrayLike, high: npt.ArrayLike, input_shape: tuple[int, ...]
) -> tuple[FloatArray, FloatArray]:
    """The corners of all inputs of the box within a radius of one of them, entry by entry: float64[*input_shape] each.

    Raises
    ------
    InvalidInputError
        If the radius is not positive, one of the two is missing, or the input has another shape or is not in the box.

    Examples
    --------
    >>> low, high = ball([0.0, 0.5], 0.1, 0.0, 1.0, (2,))
    >>> low.tolist(), high.tolist()
    ([0.0, 0.4], [0.1, 0.6])
    """
    if around is None or radius is None:
        raise InvalidInputError("around and radius make a ball together; give both or neither")
    if isinstance(radius, bool) or not isinstance(radius, int | float) or not 0 < radius < math.inf:
        raise InvalidInputError(f"radius is {radius!r}; it must be a positive number")
    if isinstance(around, torch.Tensor):
        around = around.detach().cpu().numpy()
    try:
        centre = np.array(around, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInputError("around is no array of numbers; give one input, without a batch") from None
    if centre.shape != tuple(input_shape):
        raise InvalidInputError(f"around has shape {centre.shape}, but one input has {tuple(input_shape)}")
    bottom, top = (np.broadcast_to(np.asarray(end, dtype=np.float64), input_shape) for end in (low, high))
    inside = (centre >= bottom - _CLIPPED * (1 + np.abs(bottom))) & (centre <= top + _CLIPPED * (1 + np.abs(top)))
    if not inside.all():
        raise InvalidInputError("around lies outside the box (or holds NaN); a ball is a part of the box")
    centre = np.clip(centre, bottom, top)
    return np.maximum(bottom, centre - radius), np.minimum(top, centre + radius)
