"""Laws of random weights: float32 functions of the generator's words, so that a seed and a law are a random CNN."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sslth.cnn.layers import Wiring
from sslth.subset_sum.random_weights import Part, draw_column, draw_rows, draw_words

__all__ = ["LAWS", "kaiming_gain", "law_column", "law_rows", "uniforms_of_words"]

LAWS = ("normal", "uniform", "kaiming")

Filters = npt.NDArray[np.uint32]
Float32 = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]

_ROOT_THREE = np.float32(math.sqrt(3.0))


def uniforms_of_words(words: npt.NDArray[np.uint32]) -> Float32:
    """Uniform numbers of variance 1: float32(√3) * (2 (w >> 8) + 1 - 2^24) / 2^24, with one rounding, the product.

    The quotient is an odd whole number below 2^24 times 2^-24, so float32 holds it; it is never 0 nor ±1.

    Examples
    --------
    >>> uniforms_of_words(np.array([0, 2**31, 2**32 - 1], dtype=np.uint32))
    array([-1.7320507e+00,  1.0323827e-07,  1.7320507e+00], dtype=float32)
    """
    odd = 2 * (words >> np.uint32(8)).astype(np.int32) + 1 - (1 << 24)
    return odd.astype(np.float32) * np.float32(2.0**-24) * _ROOT_THREE


def law_column(
    law: str, seed: int, layer: int, part: Part, channel: int, filters: Filters, entry: int
) -> npt.NDArray[np.float32]:
    """One entry of each given filter by a law, float32[k]; "kaiming" draws normals, its scale is in the gain. O(k)."""
    if law != "uniform":
        return draw_column(seed, layer, part, channel, filters, entry)
    words = draw_words(seed, layer, part, channel, filters, 4, first_group=entry >> 2)
    return uniforms_of_words(words[:, entry & 3])


def law_rows(
    law: str,
    seed: int,
    layer: int,
    part: Part,
    channel: int,
    filters: Filters,
    d: int,
    factors: Float32 | None = None,
) -> FloatArray:
    """Entries 0 to d - 1 of the given filters by a law, each row times its factor, as float64[k, d]. O(k d)."""
    if law != "uniform":
        return draw_rows(seed, layer, part, channel, filters, d, factors)
    words = draw_words(seed, layer, part, channel, filters, d)
    rows = uniforms_of_words(words).astype(np.float64)
    return rows if factors is None else rows * factors[:, None]  # of two float32 numbers: exact


def kaiming_gain(wiring: Wiring, width: int) -> float:
    """The gain that makes normal weights those of Kaiming's initialisation for ReLU: V and U with variance 2 / fan-in.

    V reads all input channels; an entry of U's output reads the filters of its group through the window. Both scales
    are one number a layer, because relu(c x) = c relu(x) for c > 0: y = sum relu(v x) U / gain. The filters that read
    the constant have the same one. [He et al. 2015, doi:10.1109/ICCV.2015.123]

    Examples
    --------
    >>> kaiming_gain(Wiring("conv2d", 2, 4, False, (3, 3)), width=8)  # √(2 / 2) √(2 / (2 * 16 * 9)) = 1 / 12
    12.0
    """
    fan_in = 2 * width * wiring.inputs_per_group * math.prod(wiring.kernel_size)
    return math.sqrt(wiring.in_channels * fan_in) / 2
