"""Second moments of a layer's inputs as its window sees them, added up exactly, in whatever order they come."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sslth.cnn.constant_channel import ones_for
from sslth.cnn.layers import Wiring
from sslth.cnn.operation import convolve, pad_input, window_rank

__all__ = ["Gram", "Moments", "batched"]

FloatArray = npt.NDArray[np.float64]

_TILE = 1 << 23  # entries of the unfolded inputs that are held at a time
_MOST_BITS = 20


@dataclass(frozen=True, eq=False)
class Moments:
    """What a Gram adds up to, for every group g of a layer, in the units of the activations.

    Features are the inputs under the window, [channel of the group, sign, tap]: relu(x), and relu(-x) where the layer
    sees both signs. Constants are the taps of a channel of ones where padding shows, and last the number 1.

    Attributes
    ----------
    hessian : float64[g, F, F] or None
        Features times features; None where they are too many.
    crossed : float64[g, F, C]
        Features times constants.
    constants : float64[g, C, C]
    targets : float64[g, F, O]
        Features times the target's own results.
    means : float64[g, C, O]
        Constants times the target's own results.
    """

    hessian: FloatArray | None
    crossed: FloatArray
    constants: FloatArray
    targets: FloatArray
    means: FloatArray


class Gram:
    """Adds up moments batch by batch.

    Activations are rounded to whole multiples of a power of two, so few bits that every sum of products is exact in
    float64: the result depends neither on the order of the inputs nor on threads or the matrix library.

    Parameters
    ----------
    wiring : Wiring
    both_signs : bool
    with_taps : bool
        Whether the taps of a constant channel are among the constants.
    largest_input, largest_target : float
        Upper bounds on what will be added.
    rows : int
        How many output positions will be added in all.
    with_hessian : bool
    """

    def __init__(
        self,
        wiring: Wiring,
        both_signs: bool,
        with_taps: bool,
        largest_input: float,
        largest_target: float,
        rows: int,
        with_hessian: bool,
    ) -> None:
        self.wiring, self.both_signs, self.with_taps = wiring, both_signs, with_taps
        bits = min(_MOST_BITS, (52 - max(1, rows).bit_length()) // 2)
        self._input_unit = _unit(largest_input, bits)
        self._target_unit = _unit(largest_target, bits)
        groups, taps = wiring.groups, math.prod(wiring.kernel_size)
        features = wiring.inputs_per_group * (2 if both_signs else 1) * taps
        constants = (taps if with_taps else 0) + 1
        outputs = wiring.outputs_per_group
        self._hessian = torch.zeros((groups, features, features) if with_hessian else (0,), dtype=torch.float64)
        self._crossed = torch.zeros((groups, features, constants), dtype=torch.float64)
        self._constants = torch.zeros((groups, constants, constants), dtype=torch.float64)
        self._targets = torch.zeros((groups, features, outputs), dtype=torch.float64)
        self._means = torch.zeros((groups, constants, outputs), dtype=torch.float64)
        self._with_hessian = with_hessian

    def add(self, x: Tensor, z: Tensor) -> None:
        """Add a batch: the layer's inputs in the ticket, and the target's own results without its bias, float64."""
        x, z = batched(x, self.wiring), _outputs(z, self.wiring)
        size = max(1, _TILE // max(1, self._crossed.shape[1] * self.wiring.groups * z.shape[2]))
        for part, wanted in zip(torch.split(x, size), torch.split(z, size), strict=True):
            self._add(part, wanted)

    def _add(self, x: Tensor, z: Tensor) -> None:
        groups = self.wiring.groups
        whole = torch.round(x / self._input_unit)
        sides = [torch.relu(whole), torch.relu(-whole)] if self.both_signs else [torch.relu(whole)]
        views = torch.stack([_unfolded(side, self.wiring) for side in sides], dim=2)  # [N, c_in, sides, taps, L]
        count, positions = views.shape[0], views.shape[-1]
        rows = views.reshape(count, groups, -1, positions).permute(1, 0, 3, 2).flatten(1, 2)  # [g, N L, F]
        wanted = torch.round(z / self._target_unit).reshape(count, groups, -1, positions)
        wanted = wanted.permute(1, 0, 3, 2).flatten(1, 2)
        ones = rows.new_ones((groups, count * positions, 1))
        if self.with_taps:
            taps = _unfolded_ones(x, self.wiring).permute(0, 3, 1, 2).reshape(groups, 1, positions, -1)
            ones = torch.cat([taps.expand(-1, count, -1, -1).flatten(1, 2), ones], dim=2)
        turned = rows.transpose(1, 2)
        if self._with_hessian:
            self._hessian += turned @ rows
        self._crossed += turned @ ones
        self._targets += turned @ wanted
        self._constants += ones.transpose(1, 2) @ ones
        self._means += ones.transpose(1, 2) @ wanted

    def moments(self) -> Moments:
        """Return what was added up."""
        a, b = self._input_unit, self._target_unit
        return Moments(
            (self._hessian * (a * a)).numpy() if self._with_hessian else None,
            (self._crossed * a).numpy(),
            self._constants.numpy(),
            (self._targets * (a * b)).numpy(),
            (self._means * b).numpy(),
        )


def _unit(largest: float, bits: int) -> float:
    """The power of two of which at most 2^bits make the largest number."""
    return 1.0 if largest == 0.0 else 2.0 ** (math.frexp(largest)[1] - bits)


def batched(x: Tensor, wiring: Wiring) -> Tensor:
    """The input as [N, c_in, *spatial], whatever axes it came with."""
    if wiring.kind == "linear":
        return x.reshape(-1, x.shape[-1], 1, 1)
    if wiring.kind == "batch_norm":
        return x.flatten(2)[..., None] if x.dim() > 2 else x[:, :, None, None]
    return x if x.dim() == window_rank(wiring) + 2 else x[None]


def _outputs(z: Tensor, wiring: Wiring) -> Tensor:
    """The output as [N, c_out, L]."""
    if wiring.kind == "linear":
        return z.reshape(-1, z.shape[-1], 1)
    return batched(z, wiring).flatten(2)


def _unfolded(x: Tensor, wiring: Wiring) -> Tensor:
    """What every tap sees of every channel: [N, c_in, taps, L]."""
    if wiring.pointwise:
        return x.flatten(2)[:, :, None]
    x = pad_input(x, wiring)
    views = convolve(x.flatten(0, 1)[:, None], _one_hot(wiring).to(x), wiring, 1)
    return views.reshape(x.shape[0], x.shape[1], views.shape[1], -1)


def _unfolded_ones(x: Tensor, wiring: Wiring) -> Tensor:
    """What every tap sees of a constant channel: [groups, 1, taps, L]."""
    ones = ones_for(x, wiring)
    views = convolve(ones.flatten(0, 1)[:, None], _one_hot(wiring).to(x), wiring, 1)
    return views.reshape(wiring.groups, 1, views.shape[1], -1)


def _one_hot(wiring: Wiring) -> Tensor:
    """Kernels with a single 1: convolving with them shows a tap as a channel."""
    taps = math.prod(wiring.kernel_size)
    shape = (1, taps) if wiring.transposed else (taps, 1)
    return torch.eye(taps).reshape(*shape, *wiring.kernel_size)
