"""Convolution in NumPy, exact for integers, and how far a layer can carry an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sslth.errors import InvalidInputError

__all__ = ["convolve", "layer_gain"]

Array = npt.NDArray[Any]


def convolve(kernel: Array, x: Array, stride: int = 1, padding: int = 0, dilation: int = 1) -> Array:
    """Return K * x as networks mean it: cross-correlation, zeros around the input.

    Parameters
    ----------
    kernel : [c_out, c_in, kh, kw]
    x : [c_in, h, w]
        With integers of both the result is exact, as long as it fits the type.

    Returns
    -------
    [c_out, oh, ow], of NumPy's common type. O(c_out c_in kh kw oh ow).

    Raises
    ------
    InvalidInputError
        If channels differ or the kernel is larger than the padded input.

    Examples
    --------
    >>> convolve(np.array([[[[1, 2]]]]), np.array([[[1, 10, 100]]])).tolist()
    [[[21, 210]]]
    """
    if kernel.ndim != 4 or x.ndim != 3 or kernel.shape[1] != x.shape[0]:
        raise InvalidInputError(f"a kernel of shape {kernel.shape} does not fit an input of shape {x.shape}")
    reach = [dilation * (size - 1) + 1 for size in kernel.shape[2:]]
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    if padded.shape[1] < reach[0] or padded.shape[2] < reach[1]:
        raise InvalidInputError(f"the kernel reaches over {reach} pixels, the padded input has {padded.shape[1:]}")
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(1, 2))
    windows = windows[:, ::stride, ::stride, ::dilation, ::dilation]
    result: Array = np.tensordot(kernel, windows, axes=([1, 2, 3], [0, 3, 4]))
    return result


def layer_gain(kernel: Array) -> Any:
    """Return max over filters of ‖K_o‖₁, the largest ‖K * x‖_∞ for ‖x‖_∞ <= 1 away from the padding.

    Examples
    --------
    >>> int(layer_gain(np.array([[[[1, -2]]], [[[0, 4]]]])))
    4
    """
    return np.abs(kernel).reshape(kernel.shape[0], -1).sum(axis=1).max()
