"""The box the inputs live in."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sslth.errors import InvalidInputError

__all__ = ["as_box"]

FloatArray = npt.NDArray[np.float64]


def as_box(low: Any, high: Any, input_shape: tuple[int, ...]) -> tuple[FloatArray, FloatArray]:
    """Check the box's corners: float64 scalars or arrays of the input's shape, copied.

    Raises
    ------
    InvalidInputError
        If they are not finite, do not fit the input, or low is above high.
    """
    corners = []
    for name, values in (("low", low), ("high", high)):
        if isinstance(values, torch.Tensor):
            values = values.detach().cpu().numpy()
        try:
            corner = np.array(values, dtype=np.float64)
        except (TypeError, ValueError):
            raise InvalidInputError(f"{name} is {values!r}; it must be a number or an array of numbers") from None
        if not np.isfinite(corner).all():
            raise InvalidInputError(f"{name} holds NaN or infinite values; the box must be bounded")
        if corner.ndim:
            try:
                corner = np.broadcast_to(corner, input_shape).copy()
            except ValueError:
                raise InvalidInputError(
                    f"{name} has shape {corner.shape}, which does not fit inputs of shape {input_shape}"
                ) from None
        corners.append(corner)
    bottom, top = corners
    if (bottom > top).any():
        raise InvalidInputError(f"low is above high (for example {bottom.max()} > {top.min()}); swap them")
    return bottom, top
